//! A broker with one bus, and libzmq sockets at it.

use plantd_broker::{BusKeys, Config};
use plantd_daemon::config::OneOrMore;
use plantd_tests::{Deadline, PATIENCE, Plant, Wire};

/// A broker with one bus on free ports.
pub(crate) struct Bus {
    pub(crate) plant: Plant,
    context: zmq::Context,
}

impl Bus {
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    /// A bus with other keys.
    pub(crate) fn with(change: impl FnOnce(&mut BusKeys)) -> Self {
        Self::at(|_| {}, change)
    }

    /// A bus of a broker with other keys.
    pub(crate) fn at(
        change_broker: impl FnOnce(&mut Config),
        change: impl FnOnce(&mut BusKeys),
    ) -> Self {
        let any = || "tcp://127.0.0.1:0".parse().unwrap();
        let mut keys = BusKeys::new("test", any(), any());
        keys.capture = Some(OneOrMore::one(any()));
        change(&mut keys);
        let plant = Plant::with(|config| {
            change_broker(config);
            config.buses = vec![keys];
        });
        Self {
            plant,
            context: zmq::Context::new(),
        }
    }

    pub(crate) fn frontend(&self) -> String {
        self.plant.buses()[0].frontend[0].to_string()
    }

    pub(crate) fn backend(&self) -> String {
        self.plant.buses()[0].backend[0].to_string()
    }

    pub(crate) fn capture(&self) -> String {
        self.plant.buses()[0].capture[0].to_string()
    }

    /// A libzmq socket that drops nothing by itself.
    pub(crate) fn socket(&self, kind: zmq::SocketType, endpoint: &str) -> zmq::Socket {
        let socket = self.context.socket(kind).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_sndhwm(0).unwrap();
        socket.set_rcvhwm(0).unwrap();
        let patience = PATIENCE.as_millis() as i32;
        socket.set_rcvtimeo(patience).unwrap();
        socket.set_sndtimeo(patience).unwrap();
        socket.connect(endpoint).unwrap();
        socket
    }

    /// A SUB with these subscriptions, which the bus knows of.
    pub(crate) fn subscriber(&self, topics: &[&str]) -> zmq::Socket {
        let before = self.count("bus_subscriptions");
        let socket = self.socket(zmq::SUB, &self.backend());
        for topic in topics {
            socket.set_subscribe(topic.as_bytes()).unwrap();
        }
        self.until_count("bus_subscriptions", before + topics.len() as u64);
        socket
    }

    /// An XPUB that has been asked for these topics: what it publishes from now on passes.
    pub(crate) fn publisher(&self, asked: &[&str]) -> zmq::Socket {
        let socket = self.socket(zmq::XPUB, &self.frontend());
        let mut expected: Vec<Vec<u8>> = asked
            .iter()
            .map(|topic| [&[1], topic.as_bytes()].concat())
            .collect();
        while !expected.is_empty() {
            let change = socket.recv_bytes(0).unwrap();
            let known = expected.iter().position(|wanted| *wanted == change);
            expected.remove(known.unwrap_or_else(|| panic!("asked for {change:?}")));
        }
        socket
    }

    /// A raw peer of the backend, which greets as this minor version of ZMTP 3.
    pub(crate) fn raw_subscriber(&self, minor: u8) -> Wire {
        let mut wire = Wire::connect(&self.backend());
        wire.handshake_as("SUB", minor);
        wire
    }

    /// A raw peer of the frontend.
    pub(crate) fn raw_publisher(&self, minor: u8) -> Wire {
        let mut wire = Wire::connect(&self.frontend());
        wire.handshake_as("PUB", minor);
        wire
    }

    /// Publishes `["sync"]` until one has passed: by then a publisher filters by what is subscribed.
    pub(crate) fn synchronise(&self, mut publish: impl FnMut()) {
        let deadline = Deadline::start();
        let before = self.count("bus_messages_total");
        while self.count("bus_messages_total") == before {
            assert!(!deadline.has_passed(), "nothing passes");
            publish();
            std::thread::yield_now();
        }
    }

    /// A metric of this bus.
    pub(crate) fn count(&self, metric: &str) -> u64 {
        let reading = self.plant.metrics();
        reading.value(&format!("{metric}{{bus=\"test\"}}"))
    }

    /// How many peers are connected to a side.
    pub(crate) fn peers(&self, side: &str) -> u64 {
        let reading = self.plant.metrics();
        reading.value(&format!("bus_peers{{bus=\"test\",side=\"{side}\"}}"))
    }

    #[track_caller]
    pub(crate) fn until_peers(&self, side: &str, expected: u64) {
        let deadline = Deadline::start();
        while self.peers(side) != expected {
            assert!(!deadline.has_passed(), "{side} has {}", self.peers(side));
            std::thread::yield_now();
        }
    }

    /// Waits until a publisher that connects is asked for exactly these topics.
    #[track_caller]
    pub(crate) fn until_asked(&self, topics: &[&str]) {
        let asked = topics.iter().map(|topic| [&[1], topic.as_bytes()].concat());
        let expected: Vec<Vec<u8>> = asked.collect();
        let deadline = Deadline::start();
        loop {
            let mut publisher = self.raw_publisher(0);
            let mut asked: Vec<Vec<u8>> = topics.iter().map(|_| publisher.read_frame().1).collect();
            asked.sort();
            if asked == expected {
                return;
            }
            assert!(!deadline.has_passed(), "asked for {asked:?}");
        }
    }

    #[track_caller]
    pub(crate) fn until_count(&self, metric: &str, expected: u64) {
        let deadline = Deadline::start();
        while self.count(metric) != expected {
            assert!(
                !deadline.has_passed(),
                "{metric} is {}, not {expected}",
                self.count(metric)
            );
            std::thread::yield_now();
        }
    }

    /// Waits until so many were refused for this reason: a peer may see its connection closed before
    /// that is counted.
    #[track_caller]
    pub(crate) fn until_rejected(&self, reason: &str, expected: u64) {
        let deadline = Deadline::start();
        while self.plant.metrics().rejected(reason) != expected {
            assert!(
                !deadline.has_passed(),
                "{reason} is counted {} times, not {expected}",
                self.plant.metrics().rejected(reason)
            );
            std::thread::yield_now();
        }
    }
}

/// Sends a message.
pub(crate) fn send(socket: &zmq::Socket, frames: &[&[u8]]) {
    socket.send_multipart(frames, 0).unwrap();
}

/// A subscription as a message, as before ZMTP 3.1.
pub(crate) fn subscription_message(topic: &[u8]) -> Vec<u8> {
    [&[0, topic.len() as u8 + 1, 1], topic].concat()
}

/// A subscription as a command.
pub(crate) fn subscription_command(name: &str, topic: &[u8]) -> Vec<u8> {
    let body = [&[name.len() as u8], name.as_bytes(), topic].concat();
    [&[4, body.len() as u8], &body[..]].concat()
}

/// Receives a message.
#[track_caller]
pub(crate) fn receive(socket: &zmq::Socket) -> Vec<Vec<u8>> {
    socket.recv_multipart(0).expect("a message in time")
}
