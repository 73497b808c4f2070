//! As much of NATS as a load needs: how a connection begins, and what interrupts it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use crate::inbound::Interlude;

/// What the server asks every now and then, for the first time two seconds after the handshake.
const PING: &[u8] = b"PING\r\n";
const PONG: &[u8] = b"PONG\r\n";

/// The server's PING and what it is answered.
pub(crate) fn interlude() -> Interlude {
    Interlude {
        received: PING.to_vec(),
        answer: PONG.to_vec(),
    }
}

/// Connects, sends subscriptions, and waits until the server has taken all.
pub(crate) fn connect(address: &str, subscriptions: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    read_line(&mut stream, b"INFO ")?;
    let options = r#"{"verbose":false,"pedantic":false,"headers":true}"#;
    let opening = format!("CONNECT {options}\r\n{subscriptions}PING\r\n");
    stream.write_all(opening.as_bytes())?;
    read_line(&mut stream, PONG)?;
    Ok(stream)
}

/// Reads a line, which has to begin with `start`.
fn read_line(stream: &mut TcpStream, start: &[u8]) -> io::Result<()> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\n") {
        stream.read_exact(&mut byte)?;
        line.extend(byte);
    }
    if line.starts_with(start) {
        return Ok(());
    }
    let line = String::from_utf8_lossy(&line).into_owned();
    Err(io::Error::other(format!("nats-server answered {line:?}")))
}
