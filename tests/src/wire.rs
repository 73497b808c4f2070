//! A TCP connection that sends whatever bytes a test wants, and knows just enough ZMTP to read.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::{Frames, PATIENCE};

/// A connection to a broker.
pub struct Wire {
    stream: TcpStream,
}

impl Wire {
    /// Connects to `tcp://host:port`.
    pub fn connect(endpoint: &str) -> Self {
        let address = endpoint.strip_prefix("tcp://").expect("a TCP endpoint");
        let stream = TcpStream::connect(address).expect("the broker accepts");
        stream.set_nodelay(true).expect("no delay");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a safety net");
        stream
            .set_write_timeout(Some(PATIENCE))
            .expect("a safety net");
        Self { stream }
    }

    /// A greeting of ZMTP, NULL mechanism.
    pub fn greeting(major: u8, minor: u8) -> [u8; 64] {
        Self::greeting_for(major, minor, "NULL")
    }

    /// A greeting that asks for a mechanism.
    pub fn greeting_for(major: u8, minor: u8, mechanism: &str) -> [u8; 64] {
        let mut greeting = [0; 64];
        greeting[0] = 0xff;
        greeting[9] = 0x7f;
        greeting[10] = major;
        greeting[11] = minor;
        greeting[12..12 + mechanism.len()].copy_from_slice(mechanism.as_bytes());
        greeting
    }

    /// The READY command of a socket of this type.
    pub fn ready(socket_type: &str) -> Vec<u8> {
        let mut body = b"\x05READY\x0bSocket-Type".to_vec();
        body.extend((socket_type.len() as u32).to_be_bytes());
        body.extend(socket_type.as_bytes());
        let mut command = vec![4, body.len() as u8];
        command.extend(body);
        command
    }

    /// Does the whole handshake as a DEALER that greets with this version.
    #[track_caller]
    pub fn handshake(&mut self, major: u8, minor: u8) {
        self.write(&Self::greeting(major, minor));
        self.handshake_after_greeting();
    }

    /// Does the whole handshake as a socket of this type that greets as 3 and this minor version.
    #[track_caller]
    pub fn handshake_as(&mut self, socket_type: &str, minor: u8) {
        self.write(&Self::greeting(3, minor));
        self.finish_handshake(socket_type);
    }

    /// Does the rest of the handshake as a DEALER.
    #[track_caller]
    pub fn handshake_after_greeting(&mut self) {
        self.finish_handshake("DEALER");
    }

    #[track_caller]
    fn finish_handshake(&mut self, socket_type: &str) {
        self.write(&Self::ready(socket_type));
        let mut greeting = [0; 64];
        self.stream
            .read_exact(&mut greeting)
            .expect("the broker greets");
        assert_eq!(greeting[10..12], [3, 1], "the broker greets as ZMTP 3.1");
        let (flags, ready) = self.read_frame();
        assert_eq!(flags, 4, "a command follows the greeting");
        assert!(
            ready.starts_with(b"\x05READY"),
            "READY follows the greeting"
        );
    }

    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream
            .write_all(bytes)
            .expect("the broker is connected");
    }

    /// Writes as long as the broker lets it: one that has closed the connection takes no more.
    pub fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Has [`write_some`](Self::write_some) wait no longer than this.
    pub fn gives_up_writing_after(&mut self, time: Duration) {
        self.stream
            .set_write_timeout(Some(time))
            .expect("a timeout");
    }

    /// Writes what the broker takes in time, which may be nothing; `None` once it has closed the
    /// connection.
    pub fn write_some(&mut self, bytes: &[u8]) -> Option<usize> {
        match self.stream.write(bytes) {
            Ok(written) => Some(written),
            Err(error) => {
                let waits = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                waits.then_some(0)
            }
        }
    }

    #[track_caller]
    pub fn send(&mut self, message: &Frames) {
        self.write(&message.encoded());
    }

    /// Waits for a message, and answers each PING on the way.
    #[track_caller]
    pub fn recv(&mut self) -> Frames {
        let mut frames = Vec::new();
        loop {
            let (flags, content) = self.read_frame();
            if flags & 4 != 0 {
                if let Some(ping) = content.strip_prefix(b"\x04PING") {
                    let mut pong = b"\x04PONG".to_vec();
                    pong.extend(&ping[2..]);
                    let mut command = vec![4, pong.len() as u8];
                    command.extend(pong);
                    self.write(&command);
                }
                continue;
            }
            frames.push(content);
            if flags & 1 == 0 {
                return Frames(frames);
            }
        }
    }

    /// Waits for exactly this message.
    #[track_caller]
    pub fn expect(&mut self, message: Frames) {
        assert_eq!(self.recv(), message);
    }

    /// Waits until the broker has closed the connection, and returns what it sent until then.
    #[track_caller]
    pub fn until_closed(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => rest,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => rest,
            Err(error) => panic!("the broker closes the connection: {error}"),
        }
    }

    /// Says whether the broker closes the connection while nothing comes for this long.
    pub fn is_closed_within(&mut self, silence: Duration) -> bool {
        self.stream
            .set_read_timeout(Some(silence))
            .expect("a timeout");
        let mut some = [0; 256];
        let closed = loop {
            match self.stream.read(&mut some) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(error) => {
                    break !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                }
            }
        };
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a safety net");
        closed
    }

    /// Says that nothing more is sent.
    pub fn half_close(&self) {
        // A connection that the broker has closed needs no word.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection by RST, as a host does that has crashed and come back.
    pub fn reset(self) {
        let socket = socket2::SockRef::from(&self.stream);
        socket
            .set_linger(Some(Duration::ZERO))
            .expect("the system lets a socket reset");
    }

    /// Waits for a frame, and returns its flags and its content.
    #[track_caller]
    pub fn read_frame(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head).expect("a frame comes");
        let length = if head[0] & 2 == 0 {
            u64::from(head[1])
        } else {
            let mut rest = [0; 8];
            rest[0] = head[1];
            self.stream
                .read_exact(&mut rest[1..])
                .expect("a length comes");
            u64::from_be_bytes(rest)
        };
        let mut content = vec![0; length as usize];
        self.stream
            .read_exact(&mut content)
            .expect("the rest of a frame comes");
        (head[0], content)
    }
}
