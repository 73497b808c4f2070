//! The NULL mechanism (RFC 37, "The NULL Security Mechanism").

use bytes::BytesMut;

use crate::session::{
    SessionConfig, Side, Violation,
    command::{self, Command},
    metadata::{self, Metadata},
};

/// "The client SHALL send a READY command and then wait for a READY command in reply."
#[derive(Debug)]
pub(crate) struct NullHandshake;

impl NullHandshake {
    pub(super) fn begin(config: &SessionConfig, out: &mut BytesMut) -> Self {
        match config.side {
            Side::Connecting => send_ready(config, out),
            Side::Binding => {}
        }
        Self
    }

    pub(super) fn handle_command<'a>(
        &self,
        command: Command<'a>,
    ) -> Result<Metadata<'a>, Violation> {
        match command {
            Command::Ready { metadata } => metadata::parse(metadata),
            Command::Error { text } => Err(Violation::Refused {
                text: text.escape_ascii().to_string(),
            }),
            Command::Subscribe { .. }
            | Command::Cancel { .. }
            | Command::Ping { .. }
            | Command::Pong { .. }
            | Command::Unknown => Err(Violation::Handshake),
        }
    }

    /// "The server SHOULD parse, and MAY validate the READY command. If there is no error, it MUST
    /// send a READY command in reply."
    pub(super) fn accept(&self, config: &SessionConfig, out: &mut BytesMut) {
        match config.side {
            Side::Connecting => {}
            Side::Binding => send_ready(config, out),
        }
    }
}

fn send_ready(config: &SessionConfig, out: &mut BytesMut) {
    let mut properties = Vec::new();
    metadata::encode(&mut properties, config);
    command::put_ready(out, &properties);
}
