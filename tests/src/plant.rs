//! A broker in this process.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use plantd_broker::{BoundBus, Config, Running};
use plantd_daemon::Daemon;
use plantd_daemon::config::OneOrMore;
use plantd_daemon::shutdown::Shutdown;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::{CratePeer, Deadline, Frames, PATIENCE, Peer, Peers, Reading, T, Wire, frames};

/// Where a [`Plant`] listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// A free port of this machine.
    Tcp,
    /// A Unix socket in a folder of its own.
    Ipc,
}

/// A broker of its own for one test.
///
/// It sends heartbeats once a minute, so that tests see the frames they are about and no others;
/// those about heartbeats set what they need.
pub struct Plant {
    runtime: Runtime,
    daemon: Daemon,
    running: Option<Running>,
    peers: Peers,
    /// Asks about the broker itself.
    observer: OnceCell<Peer>,
    _folder: TempDir,
}

impl Plant {
    /// Starts a broker on a free port.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Starts a broker on a free port, with another configuration.
    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::at(Site::Tcp, change)
    }

    /// Starts a broker.
    pub fn at(site: Site, change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder for a socket");
        let minute = std::time::Duration::from_secs(60);
        let endpoint = match site {
            Site::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Site::Ipc => format!("ipc://{}/broker", folder.path().display()),
        };
        let mut config = Config {
            endpoint: OneOrMore::one(endpoint.parse().expect("an endpoint")),
            heartbeat_interval: minute.into(),
            mdp03_heartbeat_interval: minute.into(),
            // Those that there are by default have ports that every test would want.
            buses: Vec::new(),
            ..Config::default()
        };
        change(&mut config);
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let daemon = Daemon::new(Shutdown::new());
        let started = runtime.block_on(plantd_broker::start(config, &daemon));
        let running = started.expect("the broker starts");
        Self {
            peers: Peers::new(running.endpoints()[0].to_string()),
            runtime,
            daemon,
            running: Some(running),
            observer: OnceCell::new(),
            _folder: folder,
        }
    }

    /// The endpoint as it was bound.
    pub fn endpoint(&self) -> &str {
        self.peers.endpoint()
    }

    /// The buses as they were bound.
    pub fn buses(&self) -> &[BoundBus] {
        let running = self.running.as_ref();
        running.expect("the broker runs").buses()
    }

    /// Makes peers of this broker.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// Runs a future on the runtime of this plant.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let _entered = self.runtime.enter();
        let ended = self
            .runtime
            .block_on(async { timeout(PATIENCE, future).await });
        ended.expect("ends in time")
    }

    /// Drains the broker, and shows that the drain ends and leaves nothing behind.
    #[track_caller]
    pub fn stop(&mut self) {
        let running = self.running.take().expect("the broker runs");
        self.daemon.shutdown.request();
        let ended = self
            .runtime
            .block_on(async { timeout(PATIENCE, running.ended()).await });
        ended
            .expect("the drain ends in time")
            .expect("the data plane ends by itself");
        let reading = self.metrics();
        for gauge in [
            "connections",
            "workers",
            "requests_unanswered",
            "requests_held_bytes",
        ] {
            assert_eq!(reading.value(gauge), 0, "{gauge} after the drain");
        }
    }

    /// Asks the broker to drain, and returns at once.
    pub fn request_stop(&self) {
        self.daemon.shutdown.request();
    }

    /// What `/metrics` shows.
    pub fn metrics(&self) -> Reading {
        Reading::new(self.daemon.metrics.encode())
    }

    /// Compares every reason for which something was refused, and how often.
    #[track_caller]
    pub fn assert_rejected(&self, expected: &[(&str, u64)]) {
        let expected = expected
            .iter()
            .map(|(reason, count)| ((*reason).to_owned(), *count));
        let expected: BTreeMap<String, u64> = expected.collect();
        assert_eq!(self.metrics().rejections(), expected);
    }

    /// Waits until the metrics are as a test wants them, by asking the broker for signs of life.
    #[track_caller]
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Reading) -> bool) {
        if holds(&self.metrics()) {
            return;
        }
        let deadline = Deadline::start();
        loop {
            self.observer().expect_nothing();
            let reading = self.metrics();
            if holds(&reading) {
                return;
            }
            assert!(
                !deadline.has_passed(),
                "waited in vain until {what}\n{reading:?}"
            );
        }
    }

    /// A libzmq socket that is connected to the broker.
    pub fn peer(&self, kind: zmq::SocketType, configure: impl FnOnce(&zmq::Socket)) -> Peer {
        self.peers.peer(kind, configure)
    }

    /// A libzmq DEALER.
    pub fn dealer(&self) -> Peer {
        self.peers.dealer()
    }

    /// A libzmq DEALER that has registered as a worker of MDP/0.2.
    pub fn worker(&self, service: &str) -> Peer {
        self.registered(frames!["MDPW02", 1, service])
    }

    /// A libzmq DEALER that has registered as a worker of MDP/0.3 and was welcomed.
    pub fn worker03(&self, service: &str, terms: &[(&str, &str)]) -> Peer {
        let worker = self.registered(frames!["MDPW03", 1, service, crate::header(0, terms)]);
        let welcome = worker.recv();
        assert_eq!(
            welcome.0[..3],
            frames!["MDPW03", 8, service].0,
            "{welcome:?}"
        );
        worker
    }

    /// A libzmq DEALER that is known to have registered by this message.
    #[track_caller]
    pub fn registered(&self, ready: Frames) -> Peer {
        static WORKERS: AtomicU64 = AtomicU64::new(0);
        let name = format!("worker-{}", WORKERS.fetch_add(1, Ordering::Relaxed));
        let worker = self.peer(zmq::DEALER, |socket| {
            let named = socket.set_identity(name.as_bytes());
            named.expect("a name is an identity");
        });
        worker.send(ready);
        let listed = format!("({name})");
        let deadline = Deadline::start();
        while !self.mmi("workers", "").1.to_string().contains(&listed) {
            assert!(
                !deadline.has_passed(),
                "waited in vain for a worker to register"
            );
        }
        worker
    }

    /// A DEALER of the `zeromq` crate.
    pub fn crate_peer(&self) -> CratePeer {
        CratePeer::connect(self.runtime.handle(), self.endpoint())
    }

    /// A TCP connection.
    pub fn wire(&self) -> Wire {
        self.peers.wire()
    }

    /// Asks `mmi.<subject>`, and returns the status and what follows it.
    #[track_caller]
    pub fn mmi(&self, subject: &str, argument: &str) -> (String, Value) {
        let service = format!("mmi.{subject}");
        self.observer()
            .send(frames!["MDPC02", 1, &service[..], argument]);
        let answer = self.observer().recv();
        assert_eq!(answer.0[..3], frames!["MDPC02", 3, service].0, "{answer:?}");
        let status = String::from_utf8(answer.0[3].clone()).expect("a status is text");
        let data = answer.0.get(4).map_or(Value::Null, |data| {
            serde_json::from_slice(data).expect("JSON follows the status")
        });
        (status, data)
    }

    /// Shows that case 1 passes on connections of its own.
    #[track_caller]
    pub fn assert_alive(&self) {
        let worker = self.worker("alive");
        let client = self.dealer();
        client.send(frames!["MDPC02", 1, "alive", "hi"]);
        let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
        worker.send(frames!["MDPW02", 4, token, "", "hi"]);
        client.expect(frames!["MDPC02", 3, "alive", "hi"]);
        worker.send(frames!["MDPW02", 6]);
        client.expect_nothing();
    }
}

impl Plant {
    fn observer(&self) -> &Peer {
        self.observer.get_or_init(|| self.dealer())
    }
}

impl Drop for Plant {
    fn drop(&mut self) {
        self.daemon.shutdown.request();
    }
}
