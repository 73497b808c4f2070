//! ZMTP: one session against any bytes, two sessions with each other, and what they exchange.

pub(crate) mod conversation;
pub(crate) mod message;
pub(crate) mod received;

use plantd_zmtp::{Limits, SessionConfig, Side, SocketType};

/// A configuration whose limits are reached by a few bytes.
fn config(side: Side, socket_type: SocketType) -> SessionConfig {
    SessionConfig {
        limits: Limits {
            frame_bytes: 300,
            message_bytes: 700,
            frames: 6,
            handshake_bytes: 512,
            command_bytes: 64,
        },
        ..SessionConfig::new(side, socket_type)
    }
}
