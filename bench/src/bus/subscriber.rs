//! A subscriber: it checks that every message comes, once and in order.

use std::io::{self, ErrorKind, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, bail, ensure};

use super::script::Script;
use crate::inbound::Inbound;

/// A connected subscriber.
#[derive(Debug)]
pub(super) struct Subscriber {
    pub(super) stream: TcpStream,
    inbound: Inbound,
    /// Whether a message of number 0 has come, which follows the last of its subscriptions.
    pub(super) is_subscribed: bool,
    /// The number of the last message.
    pub(super) received: u64,
}

impl Subscriber {
    pub(super) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            inbound: Inbound::new(),
            is_subscribed: false,
            received: 0,
        })
    }

    /// Reads once and checks each message.
    pub(super) fn read(&mut self, script: &Script) -> anyhow::Result<()> {
        match self.inbound.read_from(&mut self.stream) {
            Ok(count) => ensure!(count > 0, "the bus closed a subscriber's connection"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error).context("a subscriber reads"),
        }
        let mut answers = Vec::new();
        let Script {
            received,
            interlude,
            ..
        } = script;
        let (size, interlude) = (received.size(), interlude.as_ref());
        while let Some(message) = self.inbound.next(size, interlude, &mut answers) {
            let next = self.received + 1;
            if received.is(next, message) {
                self.received = next;
            } else if received.is(0, message) && self.received == 0 {
                self.is_subscribed = true;
            } else {
                bail!(
                    "after message {} comes {}",
                    self.received,
                    message.escape_ascii()
                );
            }
        }
        if !answers.is_empty() {
            self.stream
                .write_all(&answers)
                .context("a subscriber answers")?;
        }
        Ok(())
    }
}
