//! Peers that want more than they should have.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use plantd_tests::{Frames, Wire, frames, numbered};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::dice::Dice;

/// Descriptors that this process needs for itself.
const OWN_DESCRIPTORS: u64 = 500;
const MIB: usize = 1 << 20;
/// The service that greedy peers ask. It has a worker of its own, so that they compete with the
/// others for nothing but the broker.
pub(crate) const FLOODED: &str = "flooded";

/// Raises the limit of this process's descriptors, and of those that it starts, as far as it goes;
/// says how many peers that makes.
pub(crate) fn room_for_peers() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Whoever may not raise it has what it has.
    let _same = setrlimit(Resource::Nofile, limit);
    let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(descriptors.saturating_sub(OWN_DESCRIPTORS)).unwrap_or(usize::MAX)
}

/// Connections that say a part of what a handshake is made of, and nothing more.
pub(crate) fn half_handshakes(endpoint: &str, count: usize, dice: &mut Dice) -> Vec<TcpStream> {
    let address = endpoint.trim_start_matches("tcp://");
    let whole = [&Wire::greeting(3, 1)[..], &Wire::ready("DEALER")].concat();
    let mut streams = Vec::new();
    for _ in 0..count {
        // A broker whose backlog is full may refuse for a moment.
        let Ok(mut stream) = TcpStream::connect(address) else {
            continue;
        };
        let said = dice.count(0..=whole.len() - 1);
        let _refused = stream.write_all(&whole[..said]);
        streams.push(stream);
    }
    streams
}

/// Waits until the broker has closed each of these connections.
///
/// # Errors
/// How many it has left open.
pub(crate) fn all_closed(streams: Vec<TcpStream>, patience: Duration) -> Result<(), String> {
    let mut open = 0;
    let mut rest = vec![0; 1024];
    for mut stream in streams {
        let _same = stream.set_read_timeout(Some(patience));
        let is_closed = loop {
            match stream.read(&mut rest) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => {
                    use std::io::ErrorKind::{TimedOut, WouldBlock};
                    break !matches!(error.kind(), WouldBlock | TimedOut);
                }
            }
        };
        open += usize::from(!is_closed);
    }
    match open {
        0 => Ok(()),
        open => Err(format!(
            "{open} connections without a handshake are left open"
        )),
    }
}

/// Peers that ask for what they never take, and for more than there is room for.
pub(crate) struct Greedy {
    over: Arc<AtomicBool>,
    peers: Vec<JoinHandle<()>>,
}

/// What a greedy peer does.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Greed {
    /// Asks for answers of a megabyte and reads none.
    NeverReads,
    /// Sends a megabyte with each request to a service that has no worker.
    FillsQueues,
}

impl Greedy {
    pub(crate) fn start(endpoint: &str, greeds: &[Greed]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let peers = greeds.iter().map(|greed| {
            let (endpoint, over, greed) = (endpoint.to_owned(), Arc::clone(&over), *greed);
            thread::spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    greed.lives(&endpoint, &over);
                }
            })
        });
        let peers = peers.collect();
        Self { over, peers }
    }

    pub(crate) fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        for peer in self.peers {
            peer.join().expect("a greedy peer does not panic");
        }
    }
}

impl Greed {
    /// One connection, until the broker ends it.
    fn lives(self, endpoint: &str, over: &AtomicBool) {
        let mut wire = Wire::connect(endpoint);
        wire.handshake(3, 1);
        wire.gives_up_writing_after(Duration::from_millis(200));
        let requests = (1..).map(|id| self.request(id));
        for request in requests.take(2000) {
            let mut rest = &request.encoded()[..];
            while !rest.is_empty() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                match wire.write_some(rest) {
                    Some(written) => rest = &rest[written..],
                    None => return,
                }
            }
        }
    }

    fn request(self, id: u64) -> Frames {
        match self {
            Self::NeverReads => {
                let body = format!("0 0 {MIB}");
                frames!["MDPC03", 1, FLOODED, numbered(id), body]
            }
            Self::FillsQueues => {
                let service = format!("nobody-{}", id % 50);
                frames!["MDPC03", 1, service, numbered(id), vec![b'x'; MIB]]
            }
        }
    }
}
