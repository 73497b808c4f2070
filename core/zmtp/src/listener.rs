//! A socket that accepts connections, TCP or Unix.

use std::{
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::UnixStream as StdUnixStream,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    net::{TcpListener, UnixListener, lookup_host},
    sync::mpsc,
    time::sleep,
};

use crate::{Endpoint, Stream};

/// Connections that wait to be accepted; the kernel may allow fewer.
const BACKLOG: i32 = 4096;
/// How long [`Listener::run`] waits after it could not accept.
const PAUSE: Duration = Duration::from_millis(100);

/// A bound socket.
///
/// An ipc listener's file is reachable by its owner only (mode 0600) and is removed when the
/// listener is dropped.
#[derive(Debug)]
pub struct Listener {
    socket: Bound,
    endpoint: Endpoint,
    /// Removed with the listener.
    _file: Option<SocketFile>,
}

#[derive(Debug)]
enum Bound {
    Tcp(TcpListener),
    Ipc(UnixListener),
}

/// A connection that nobody has looked at.
#[derive(Debug)]
pub struct Arrival {
    /// The number of the listener that it came to.
    pub door: usize,
    /// The connection.
    pub accepted: Result<(Stream, RemoteAddress), CannotAccept>,
}

/// A connection could not be accepted, mostly since no descriptors are left. The listener goes on.
#[derive(Debug, thiserror::Error)]
#[error("cannot accept connections at {endpoint}: {source}")]
pub struct CannotAccept {
    /// The listener's endpoint.
    pub endpoint: Endpoint,
    /// The system's reason.
    pub source: io::Error,
}

/// Where a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAddress {
    /// An address on the network; IPv4 ones as such, also when they came to an IPv6 socket.
    Tcp(SocketAddr),
    /// A process of this machine.
    Ipc,
}

impl Listener {
    /// Binds an endpoint. A socket file that nobody listens at is replaced.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) if somebody listens there, or if the path is a file
    /// of another kind; those of the system; [`NotFound`](io::ErrorKind::NotFound) if the name has
    /// no address.
    pub async fn bind(endpoint: &Endpoint) -> io::Result<Self> {
        match endpoint {
            Endpoint::Tcp { host, port } => bind_tcp(host, *port).await,
            Endpoint::Ipc { path } => bind_ipc(path),
        }
    }

    /// What was bound, with the actual port.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Waits for a connection.
    ///
    /// # Errors
    /// Those of the system, such as no descriptors being left. The listener stays usable, and the
    /// caller must wait before trying again: the connection that could not be accepted is still
    /// there.
    pub async fn accept(&self) -> io::Result<(Stream, RemoteAddress)> {
        loop {
            match self.accept_once().await {
                Ok(Some(accepted)) => return Ok(accepted),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Accepts until whoever takes the arrivals is gone; `door` is this listener's number there.
    pub async fn run(self, door: usize, arrivals: mpsc::Sender<Arrival>) {
        loop {
            // A place first: what nobody can take in is left to the kernel's queue.
            let Ok(place) = arrivals.reserve().await else {
                return;
            };
            let accepted = self.accept().await.map_err(|source| CannotAccept {
                endpoint: self.endpoint.clone(),
                source,
            });
            let failed = accepted.is_err();
            place.send(Arrival { door, accepted });
            if failed {
                sleep(PAUSE).await;
            }
        }
    }

    /// `None` if the connection was gone before it could be used.
    async fn accept_once(&self) -> io::Result<Option<(Stream, RemoteAddress)>> {
        match &self.socket {
            Bound::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                // Options of a connection that its peer has reset are refused on some systems.
                let stream = Stream::from_tcp(stream).ok();
                Ok(stream.map(|stream| (stream, RemoteAddress::Tcp(address))))
            }
            Bound::Ipc(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(Some((stream.into(), RemoteAddress::Ipc)))
            }
        }
    }
}

async fn bind_tcp(host: &str, port: u16) -> io::Result<Listener> {
    let addresses: Vec<SocketAddr> = if host == "*" {
        vec![
            (Ipv6Addr::UNSPECIFIED, port).into(),
            (Ipv4Addr::UNSPECIFIED, port).into(),
        ]
    } else {
        let mut resolved: Vec<_> = lookup_host((host, port)).await?.collect();
        // `localhost` is 127.0.0.1 to every other ZeroMQ library.
        resolved.sort_by_key(SocketAddr::is_ipv6);
        resolved
    };
    let mut last_error = io::Error::new(
        io::ErrorKind::NotFound,
        format!("the name {host} has no address"),
    );
    for address in addresses {
        match listen_tcp(address) {
            Ok(listener) => {
                let port = listener.local_addr()?.port();
                return Ok(Listener {
                    socket: Bound::Tcp(listener),
                    endpoint: Endpoint::Tcp {
                        host: host.to_owned(),
                        port,
                    },
                    _file: None,
                });
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => last_error = error,
        }
    }
    Err(last_error)
}

fn listen_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Nobody can connect before the call of `listen`, by when the mode is set.
fn bind_ipc(path: &Path) -> io::Result<Listener> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    socket.listen(BACKLOG)?;
    Ok(Listener {
        socket: Bound::Ipc(UnixListener::from_std(socket.into())?),
        endpoint: Endpoint::Ipc { path: path.into() },
        _file: Some(file),
    })
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("{} exists and is not a socket", path.display()),
        ));
    }
    match StdUnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) | Err(_) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("somebody listens at {}", path.display()),
        )),
    }
}

/// The file of a bound Unix socket; dropping it removes the file if it is still this socket's.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == (self.device, self.inode));
        if is_ours {
            // Who cannot remove it leaves a stale file, which the next listener replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl RemoteAddress {
    /// The address to count connections by; none for those of this machine.
    pub fn remote_ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()).filter(|ip| !ip.is_loopback()),
            Self::Ipc => None,
        }
    }
}

impl fmt::Display for RemoteAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Ipc => f.write_str("ipc"),
        }
    }
}

#[cfg(test)]
mod tests;
