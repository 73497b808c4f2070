//! Connections that only have to be there.

use std::io::{self, Write as _};
use std::net::TcpStream;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::script::idle_ready;
use crate::zmtp;

/// Connections that are opened at a time.
const AT_A_TIME: usize = 128;
/// Descriptors for everything else.
const SPARE_DESCRIPTORS: u64 = 256;

/// What the connections of a crowd are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Peers that have said nothing after the handshake.
    Connected,
    /// MDP/0.3 workers of a service that nobody asks.
    Worker,
}

/// Open connections, closed when dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    _streams: Vec<TcpStream>,
}

impl Crowd {
    /// Opens connections, and waits until the broker has taken every one.
    pub(crate) fn gather(address: &str, count: usize, presence: Presence) -> io::Result<Self> {
        let mut opening = zmtp::opening("DEALER");
        if presence == Presence::Worker {
            opening.extend(idle_ready());
        }
        let mut streams = Vec::with_capacity(count);
        while streams.len() < count {
            let first = streams.len();
            for _ in first..count.min(first + AT_A_TIME) {
                let mut stream = TcpStream::connect(address)?;
                stream.write_all(&opening)?;
                streams.push(stream);
            }
            for stream in &mut streams[first..] {
                zmtp::finish_opening(stream)?;
                if presence == Presence::Worker {
                    zmtp::skip_message(stream)?;
                }
            }
        }
        Ok(Self { _streams: streams })
    }

    /// How many connections this process may have, after the limit is raised as far as it may be.
    pub(crate) fn limit() -> usize {
        let limits = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limits.maximum,
            maximum: limits.maximum,
        };
        let allowed = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limits.maximum,
            Err(_) => limits.current,
        };
        let allowed = allowed.unwrap_or(u64::MAX);
        usize::try_from(allowed.saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(usize::MAX)
    }
}
