//! Where a socket listens or connects to.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    str::FromStr,
};

/// The longest path that fits a Unix socket's address on Linux, with its closing zero.
const PATH_BYTES: usize = 107;

/// An endpoint in ZeroMQ's notation.
///
/// | text | meaning |
/// | --- | --- |
/// | `tcp://host:port` | a name or an address; IPv6 addresses in brackets |
/// | `tcp://*:port` | all interfaces; for listeners |
/// | `tcp://host:0`, `tcp://host:*` | any free port; for listeners |
/// | `ipc://path` | a Unix socket |
///
/// CZMQ's prefixes `@` (bind) and `>` (connect) are accepted and dropped. `Display` gives the
/// same notation back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// A TCP address.
    Tcp {
        /// A host name, an IPv4 or IPv6 address without brackets, or `*`.
        host: String,
        /// The port; 0 stands for any free one.
        port: u16,
    },
    /// A Unix socket.
    Ipc {
        /// Its path, at most 107 bytes.
        path: PathBuf,
    },
}

impl Endpoint {
    /// Whether only this machine can reach it: loopback addresses, `localhost` and `ipc`.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => match host.parse::<IpAddr>() {
                Ok(address) => address.to_canonical().is_loopback(),
                Err(_) => host.eq_ignore_ascii_case("localhost"),
            },
            Self::Ipc { .. } => true,
        }
    }

    /// Checks that it names one place to connect to.
    ///
    /// # Errors
    /// When it has `*` or port 0, which are for listeners.
    pub fn check_dialable(&self) -> Result<(), NotDialable> {
        match self {
            Self::Tcp { host, port } if host == "*" || *port == 0 => Err(NotDialable(self.clone())),
            Self::Tcp { .. } | Self::Ipc { .. } => Ok(()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ipc { path } => write!(f, "ipc://{}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let bare = text.strip_prefix(['@', '>']).unwrap_or(text);
        let Some((scheme, address)) = bare.split_once("://") else {
            return Err(EndpointError::NoTransport(text.to_owned()));
        };
        match scheme {
            "tcp" => parse_tcp(address),
            "ipc" => parse_ipc(address),
            other => Err(EndpointError::UnknownTransport(other.to_owned())),
        }
    }
}

fn parse_tcp(address: &str) -> Result<Endpoint, EndpointError> {
    let Some((host, port)) = address.rsplit_once(':') else {
        return Err(EndpointError::NoPort(address.to_owned()));
    };
    let port = match port {
        "*" => 0,
        digits => digits
            .parse()
            .map_err(|_| EndpointError::Port(digits.to_owned()))?,
    };
    Ok(Endpoint::Tcp {
        host: parse_host(host)?,
        port,
    })
}

fn parse_host(host: &str) -> Result<String, EndpointError> {
    let invalid = || EndpointError::Host(host.to_owned());
    if let Some(bracketed) = host.strip_prefix('[') {
        let inner = bracketed.strip_suffix(']').ok_or_else(invalid)?;
        let address: Ipv6Addr = inner.parse().map_err(|_| invalid())?;
        return Ok(address.to_string());
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host == "*" || (!host.is_empty() && host.chars().all(is_name)) {
        return Ok(host.to_owned());
    }
    Err(invalid())
}

fn parse_ipc(path: &str) -> Result<Endpoint, EndpointError> {
    if path.is_empty() || path == "*" {
        return Err(EndpointError::NoPath);
    }
    if path.starts_with('@') {
        return Err(EndpointError::AbstractPath(path.to_owned()));
    }
    if path.contains('\0') {
        return Err(EndpointError::ZeroInPath);
    }
    if path.len() > PATH_BYTES {
        return Err(EndpointError::PathTooLong {
            path: path.to_owned(),
            bytes: path.len(),
        });
    }
    Ok(Endpoint::Ipc { path: path.into() })
}

/// Why a text is not an [`Endpoint`], and what would be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// There is no `://`.
    #[error("`{0}` has no transport: write tcp://host:port or ipc://path")]
    NoTransport(String),
    /// Neither `tcp` nor `ipc`.
    #[error("the transport `{0}` is not known: use tcp:// or ipc://")]
    UnknownTransport(String),
    /// A TCP address without a port.
    #[error("`{0}` has no port: write tcp://host:port")]
    NoPort(String),
    /// A port that is no number up to 65,535 and not `*`.
    #[error("`{0}` is not a port: write 1 to 65535, or 0 or * for any free one")]
    Port(String),
    /// A host that is no name, no address and not `*`.
    #[error(
        "`{0}` is not a host: write a name, an IPv4 address, an IPv6 address in brackets, or *"
    )]
    Host(String),
    /// `ipc://` without a path.
    #[error("an ipc endpoint needs a path: write ipc:///run/plantd/broker.sock")]
    NoPath,
    /// A name in Linux's abstract namespace.
    #[error("`{0}` is an abstract socket, which is not supported: write a path in the file system")]
    AbstractPath(String),
    /// A path that cannot be a file's.
    #[error("the path of an ipc endpoint contains a zero byte")]
    ZeroInPath,
    /// A path that no Unix socket can have.
    #[error("the path `{path}` has {bytes} bytes: a Unix socket's has at most 107")]
    PathTooLong {
        /// The path.
        path: String,
        /// Its length.
        bytes: usize,
    },
}

/// Says that an endpoint is one to listen at (`*` or port 0), and not one to connect to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is an endpoint to listen at, not to connect to: write a host and a port")]
pub struct NotDialable(Endpoint);

#[cfg(test)]
mod tests;
