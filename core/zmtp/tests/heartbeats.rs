//! Heartbeats with libzmq: a session in virtual time over a real socket.
#![expect(clippy::unwrap_used, reason = "in a test an error is a failure")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::{Duration, Instant},
};

use plantd_zmtp::{Event, Incoming, Session, SessionConfig, Side, SocketType, Violation};

const PING: &[u8] = b"\x04PING";
const PONG: &[u8] = b"\x04PONG";

/// A session that is carried by hand.
struct Carried {
    session: Session,
    incoming: Incoming,
    socket: TcpStream,
    now: Instant,
}

impl Carried {
    /// Accepts a DEALER of libzmq's.
    fn open(listener: &TcpListener) -> Self {
        let (socket, _) = listener.accept().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        #[expect(
            clippy::disallowed_methods,
            reason = "a point to count virtual time from"
        )]
        let now = Instant::now();
        let config = SessionConfig::new(Side::Binding, SocketType::Router);
        let mut carried = Self {
            session: Session::new(Arc::new(config), now),
            incoming: Incoming::new(),
            socket,
            now,
        };
        carried.transmit();
        while !carried.session.is_ready() {
            carried.receive();
        }
        carried
    }

    fn transmit(&mut self) -> Vec<u8> {
        let bytes = self.session.poll_transmit().unwrap_or_default();
        self.socket.write_all(&bytes).unwrap();
        bytes.to_vec()
    }

    /// Waits for bytes, answers them, and gives what was received and what was answered.
    fn receive(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut buffer = [0; 1024];
        let n = self.socket.read(&mut buffer).unwrap();
        assert_ne!(n, 0, "libzmq closed the connection");
        self.incoming.extend_from_slice(&buffer[..n]);
        self.session.handle_received(self.now);
        while let Some(event) = self.session.decode(&mut self.incoming).unwrap() {
            assert!(matches!(event, Event::Ready(_)), "{event:?}");
        }
        let answer = self.transmit();
        (buffer[..n].to_vec(), answer)
    }

    /// Lets time pass up to the next deadline.
    fn pass(&mut self) -> Result<Vec<u8>, Violation> {
        self.now = self.session.poll_timeout().expect("a deadline");
        self.session.handle_timeout(self.now, true)?;
        Ok(self.transmit())
    }
}

fn contains(bytes: &[u8], name: &[u8]) -> bool {
    bytes.windows(name.len()).any(|window| window == name)
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

#[test]
fn libzmq_answers_our_pings() {
    let (listener, endpoint) = listen();
    let context = zmq::Context::new();
    let dealer = context.socket(zmq::DEALER).unwrap();
    dealer.connect(&endpoint).unwrap();
    let mut carried = Carried::open(&listener);

    for _ in 0..10 {
        let sent = carried.pass().unwrap();
        assert!(contains(&sent, PING), "{sent:?}");
        let (received, _) = carried.receive();
        assert!(contains(&received, PONG), "{received:?}");
    }
}

#[test]
fn libzmq_takes_our_answers_to_its_pings() {
    let (listener, endpoint) = listen();
    let context = zmq::Context::new();
    let dealer = context.socket(zmq::DEALER).unwrap();
    dealer.set_heartbeat_ivl(10).unwrap();
    dealer.set_heartbeat_timeout(10_000).unwrap();
    dealer.set_heartbeat_ttl(3_000).unwrap();
    dealer.connect(&endpoint).unwrap();
    let mut carried = Carried::open(&listener);

    let mut answered = 0;
    while answered < 10 {
        let (received, answer) = carried.receive();
        assert!(contains(&received, PING), "{received:?}");
        assert!(contains(&answer, PONG), "{answer:?}");
        answered += 1;
    }

    // What is not read is not heard; its time to live, 3 s, is shorter than our 4.5 s.
    let violation = loop {
        if let Err(violation) = carried.pass() {
            break violation;
        }
    };
    assert_eq!(violation, Violation::TimeToLive);
}
