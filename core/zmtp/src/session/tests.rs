//! Sessions in virtual time, with no socket.

mod deadlines;
mod decoding;
mod vectors;

use std::{sync::Arc, time::Instant};

use super::*;

/// A greeting of the version given.
fn greeting(major: u8, minor: u8) -> Vec<u8> {
    let mut greeting = greeting::encode(Mechanism::Null).to_vec();
    greeting[10] = major;
    greeting[11] = minor;
    greeting
}

/// A READY command without identity. Any text will do for the type.
fn ready(socket_type: &str) -> Vec<u8> {
    let mut properties = b"\x0BSocket-Type\0\0\0".to_vec();
    properties.push(socket_type.len() as u8);
    properties.extend_from_slice(socket_type.as_bytes());
    let mut out = BytesMut::new();
    command::put_ready(&mut out, &properties);
    out.to_vec()
}

fn socket_type(name: &str) -> SocketType {
    SocketType::parse(name.as_bytes()).unwrap()
}

/// A session and what it has received.
struct Scene {
    session: Session,
    incoming: Incoming,
    now: Instant,
}

impl Scene {
    fn new(config: SessionConfig) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a point to count virtual time from"
        )]
        let now = Instant::now();
        Self {
            session: Session::new(Arc::new(config), now),
            incoming: Incoming::new(),
            now,
        }
    }

    /// A session of the binding side whose handshake is done.
    fn open(config: SessionConfig, peer_type: SocketType, minor: u8) -> Self {
        let mut scene = Self::new(config);
        let mut handshake = greeting(3, minor);
        handshake.extend_from_slice(&ready(peer_type.as_str()));
        scene.receive(&handshake).unwrap();
        scene.transmit();
        assert!(scene.session.is_ready());
        scene
    }

    fn router(minor: u8) -> Self {
        let config = SessionConfig::new(Side::Binding, SocketType::Router);
        Self::open(config, SocketType::Dealer, minor)
    }

    fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Event>, Violation> {
        let mut events = Vec::new();
        self.receive_into(bytes, &mut events)?;
        Ok(events)
    }

    /// Like `receive`, keeping the events that come before a violation.
    fn receive_into(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Violation> {
        self.incoming.extend_from_slice(bytes);
        self.session.handle_received(self.now);
        while let Some(event) = self.session.decode(&mut self.incoming)? {
            events.push(event);
        }
        Ok(())
    }

    fn transmit(&mut self) -> Vec<u8> {
        self.session.poll_transmit().unwrap_or_default().to_vec()
    }
}
