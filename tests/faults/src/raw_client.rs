//! A client of MDP/0.3 on a libzmq socket, which sees every frame that the broker sends.
//!
//! It asks each request once, whatever happens, so that a second end of one is the broker's doing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use plantd_tests::numbered;

use crate::ledger::{Ending, Ledger};
use crate::processes::worker::SERVICE;

/// Requests that are unanswered at once.
const WINDOW: usize = 16;
const TURN_MS: i64 = 20;

/// The client, in a thread of its own.
pub(crate) struct RawClient(JoinHandle<()>);

impl RawClient {
    /// Starts to ask. A request is given up after `patience`.
    pub(crate) fn start(
        endpoint: String,
        ledger: Ledger,
        stopping: Arc<AtomicBool>,
        patience: Duration,
    ) -> Self {
        Self(thread::spawn(move || {
            let context = zmq::Context::new();
            let socket = context.socket(zmq::DEALER).expect("libzmq has sockets");
            socket.set_linger(0).expect("a socket option");
            socket.set_reconnect_ivl(50).expect("a socket option");
            socket
                .connect(&endpoint)
                .expect("an endpoint is an endpoint");
            let mut asking = Asking {
                socket,
                ledger,
                patience,
                open: BTreeMap::new(),
            };
            while !stopping.load(Ordering::Relaxed) {
                asking.asks();
                asking.hears();
            }
            while !asking.open.is_empty() {
                asking.hears();
                asking.gives_up();
            }
        }))
    }

    pub(crate) fn join(self) {
        self.0.join().expect("the raw client does not panic");
    }
}

struct Asking {
    socket: zmq::Socket,
    ledger: Ledger,
    patience: Duration,
    /// What is asked and not ended, and when it was asked.
    open: BTreeMap<u64, Instant>,
}

impl Asking {
    fn asks(&mut self) {
        self.gives_up();
        while self.open.len() < WINDOW {
            let id = self.ledger.asks(false);
            let header = numbered(id);
            let body = format!("{id} 1 0");
            let frames = [
                &b"MDPC03"[..],
                &[1],
                SERVICE.as_bytes(),
                &header,
                body.as_bytes(),
            ];
            if self.socket.send_multipart(frames, zmq::DONTWAIT).is_err() {
                self.ledger.gives_up([id], "not sent");
                return;
            }
            self.open.insert(id, clock());
        }
    }

    fn hears(&mut self) {
        if !matches!(self.socket.poll(zmq::POLLIN, TURN_MS), Ok(1..)) {
            return;
        }
        while let Ok(frames) = self.socket.recv_multipart(zmq::DONTWAIT) {
            let id = frames.get(3).and_then(|header| header.first_chunk());
            let id = id.map(|id| u64::from_be_bytes(*id)).unwrap_or_default();
            let ending = match frames.get(1).map(Vec::as_slice) {
                Some([3]) => {
                    let body = frames.get(4).map(|body| String::from_utf8_lossy(body));
                    Ending::Answered(body.unwrap_or_default().into_owned())
                }
                Some([4]) => Ending::Failed("told".to_owned()),
                Some(_) | None => continue,
            };
            self.open.remove(&id);
            self.ledger.ends(id, ending);
        }
    }

    fn gives_up(&mut self) {
        let now = clock();
        let is_over = |asked: &Instant| now.duration_since(*asked) > self.patience;
        let over = self.open.extract_if(.., |_, asked| is_over(asked));
        let over: Vec<u64> = over.map(|(id, _)| id).collect();
        self.ledger.gives_up(over, "no answer");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is asked is waited for by the clock"
)]
fn clock() -> Instant {
    Instant::now()
}
