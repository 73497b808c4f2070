//! Security mechanisms: what is agreed on before messages flow.

mod null;

use bytes::BytesMut;

use self::null::NullHandshake;
use super::{SessionConfig, Violation, command::Command, metadata::Metadata};

/// A security mechanism. Both peers of a connection must have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mechanism {
    /// No authentication and no confidentiality.
    #[default]
    Null,
}

impl Mechanism {
    /// The name in the greeting.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Null => "NULL",
        }
    }

    /// "The mechanism is a null padded string" of 20 octets.
    pub(crate) fn padded_name(self) -> [u8; 20] {
        let name = self.as_str().as_bytes();
        let mut padded = [0; 20];
        padded[..name.len()].copy_from_slice(name);
        padded
    }
}

/// The part of the handshake that follows the greetings.
#[derive(Debug)]
pub(crate) enum Handshake {
    Null(NullHandshake),
}

impl Handshake {
    /// Begins the handshake, writing this side's first command if it is the one to begin.
    pub(crate) fn begin(config: &SessionConfig, out: &mut BytesMut) -> Self {
        match config.mechanism {
            Mechanism::Null => Self::Null(NullHandshake::begin(config, out)),
        }
    }

    /// Takes the peer's next command. Gives its properties when the peer has nothing more to say;
    /// they are not judged yet.
    pub(crate) fn handle_command<'a>(
        &self,
        command: Command<'a>,
    ) -> Result<Metadata<'a>, Violation> {
        match self {
            Self::Null(null) => null.handle_command(command),
        }
    }

    /// Accepts the peer's properties, writing what this side still owes.
    pub(crate) fn accept(&self, config: &SessionConfig, out: &mut BytesMut) {
        match self {
            Self::Null(null) => null.accept(config, out),
        }
    }
}
