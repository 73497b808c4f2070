//! Why something was not published.

use crate::InvalidTopic;

/// Says why something was not published. Nothing of it was sent, and no sequence number was used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic is too long.
    #[error(transparent)]
    InvalidTopic(#[from] InvalidTopic),
    /// A property cannot be sent.
    #[error("property {name:?}: {reason}")]
    InvalidProperty {
        /// Its name.
        name: String,
        /// What would be right.
        reason: &'static str,
    },
    /// The body is larger than what a broker's connection takes.
    #[error("the publication is too large: {message}")]
    TooLarge {
        /// How large it is, and may be.
        message: String,
    },
    /// What no broker has read yet is at its limit: none is connected, or those that are do not
    /// keep up.
    #[error(
        "{kept_bytes} bytes of publications are kept that no broker has read, and this one would \
         make them more than {limit_bytes}"
    )]
    Full {
        /// What is kept.
        kept_bytes: usize,
        /// What may be, by [`SourceBuilder::buffer`](crate::SourceBuilder::buffer).
        limit_bytes: usize,
    },
    /// The source was closed, or its runtime has ended.
    #[error("the source is closed")]
    Closed,
}

/// Says that a source was closed, or its runtime has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the source is closed")]
pub struct SourceClosed;

/// Says that a source was closed before a broker was known to have read all of its publications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{publications} publications were not read by any broker, as far as is known")]
pub struct Unconfirmed {
    /// How many there were.
    pub publications: u64,
}
