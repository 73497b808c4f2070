//! ZMTP 3.1 (RFC 37), the protocol that ZeroMQ sockets speak.
//!
//! The protocol is a value: [`Session`] takes bytes and the time, and gives events, bytes to send
//! and its next deadline. It holds no socket and no clock. [`Listener`], [`Stream`] and
//! [`Connection`] carry it over TCP and Unix sockets on tokio; [`Accepted`] is all connections of one
//! loop.
//!
//! A [`Message`] keeps the encoding that it was received in and is forwarded as it is; a
//! [`Batch`] is what goes to one peer in one write.
//!
//! A server that sends every message back:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use plantd_zmtp::{Batch, Connection, Listener, Notice, SessionConfig, Side, SocketType};
//! use tokio::sync::mpsc;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = Listener::bind(&"tcp://127.0.0.1:5555".parse()?).await?;
//! let config = Arc::new(SessionConfig::new(Side::Binding, SocketType::Router));
//! let (stream, _) = listener.accept().await?;
//! let (connection, outbox) = Connection::new(stream, config);
//! let (sender, mut notices) = mpsc::channel(16);
//! tokio::spawn(connection.run(1, sender));
//! while let Some(notice) = notices.recv().await {
//!     if let Notice::Messages { messages, .. } = notice {
//!         let mut batch = Batch::new();
//!         for message in &messages {
//!             batch.push_message(message);
//!         }
//!         outbox.send(batch);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is not here: what a socket type does with messages (routing, fair queueing, matching of
//! subscriptions), reconnecting, and the mechanisms PLAIN and CURVE.
#![warn(missing_docs)]

mod accepted;
mod connection;
mod endpoint;
mod frame;
mod incoming;
mod listener;
mod message;
mod outgoing;
mod run;
mod session;
mod stream;

pub use accepted::{Accepted, Admission, Link, Refused, TurnedAway};
pub use connection::{
    BACKLOG_HIGH_BYTES, BACKLOG_LOW_BYTES, CloseReason, Connection, Notice, Outbox, STALL_TIMEOUT,
    TURN_BYTES, TURN_MESSAGES, TURN_RUN_MESSAGES,
};
pub use endpoint::{Endpoint, EndpointError, NotDialable};
pub use incoming::Incoming;
pub use listener::{Arrival, CannotAccept, Listener, RemoteAddress};
pub use message::{Frames, Kept, Message, encoded_frame_bytes};
pub use outgoing::Batch;
pub use run::{Part, Parts, Run};
pub use session::{
    Event, Handover, Heartbeat, Identity, IdentityTooLong, Limits, Mechanism, Peer, Session,
    SessionConfig, Side, SocketType, Subscription, Version, Violation,
};
pub use stream::Stream;
