//! What a request asks and a reply says: frames of bytes.

use std::str::Utf8Error;

use bytes::Bytes;
use plantd_zmtp::{Limits, Message};

/// Frames that an envelope may have.
const ENVELOPE_FRAMES: usize = 16;
/// Bytes that an envelope may have.
const ENVELOPE_BYTES: usize = 8 * 1024;

/// The body of a request or a reply: one or more frames of any bytes.
///
/// Made from `&str`, `String`, `&[u8]`, `Vec<u8>` and [`Bytes`] (one frame), or from several frames
/// by [`Body::from_frames`]. Cloning is cheap. By default a broker takes 60 frames, 4 MiB a frame and
/// 8 MiB in all.
///
/// A body of no frames is sent as one empty frame, except to `mmi.…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Body(Message);

/// Says that a body is not text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotText {
    /// The body has not exactly one frame.
    #[error("the body has {0} frames; text has one")]
    Frames(usize),
    /// The frame is not UTF-8.
    #[error("the body is not UTF-8")]
    Encoding(#[source] Utf8Error),
}

impl Body {
    /// Creates a body of several frames.
    pub fn from_frames<I>(frames: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        Self(Message::from_frames(frames))
    }

    /// Iterates over the contents of the frames.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.frames()
    }

    /// Returns the content of one frame, sharing its bytes.
    pub fn frame_bytes(&self, index: usize) -> Option<Bytes> {
        self.0.frame_bytes(index)
    }

    /// Returns the only frame as text.
    ///
    /// # Errors
    /// [`NotText`] when there is not exactly one frame or it is not UTF-8.
    pub fn text(&self) -> Result<&str, NotText> {
        let mut frames = self.0.frames();
        match (frames.next(), frames.len()) {
            (Some(frame), 0) => str::from_utf8(frame).map_err(NotText::Encoding),
            (_, _) => Err(NotText::Frames(self.0.frame_count())),
        }
    }

    /// The bytes of all frames' contents.
    pub fn len_bytes(&self) -> usize {
        self.0.body_bytes()
    }

    pub(crate) fn into_held(self) -> Self {
        Self(self.0.into_held())
    }

    pub(crate) fn len_encoded(&self) -> usize {
        self.0.encoded().len()
    }

    /// Checks what a broker closes the connection for; beneath that it answers with an error.
    pub(crate) fn check_size(&self) -> Result<(), String> {
        let limits = Limits::default();
        let frames = limits.frames - ENVELOPE_FRAMES;
        let bytes = limits.message_bytes - ENVELOPE_BYTES;
        let longest = self.0.frames().map(<[u8]>::len).max().unwrap_or_default();
        if self.0.frame_count() > frames {
            return Err(format!("{} frames; at most {frames}", self.0.frame_count()));
        }
        check_frame(longest)?;
        if self.len_encoded() > bytes {
            return Err(format!(
                "{} bytes in all; at most {bytes}",
                self.len_encoded()
            ));
        }
        Ok(())
    }
}

/// Checks the size of a frame as [`Body::check_size`] does.
pub(crate) fn check_frame(bytes: usize) -> Result<(), String> {
    let most = Limits::default().frame_bytes;
    if bytes > most {
        return Err(format!("a frame of {bytes} bytes; at most {most}"));
    }
    Ok(())
}

impl From<Message> for Body {
    fn from(frames: Message) -> Self {
        Self(frames)
    }
}

impl From<Body> for Message {
    fn from(body: Body) -> Self {
        body.0
    }
}

impl From<&[u8]> for Body {
    fn from(frame: &[u8]) -> Self {
        Self(Message::from_frame(frame))
    }
}

impl<const N: usize> From<&[u8; N]> for Body {
    fn from(frame: &[u8; N]) -> Self {
        Self(Message::from_frame(frame))
    }
}

impl From<Vec<u8>> for Body {
    fn from(frame: Vec<u8>) -> Self {
        Self(Message::from_frame(&frame))
    }
}

impl From<Bytes> for Body {
    fn from(frame: Bytes) -> Self {
        Self(Message::from_frame(&frame))
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self(Message::from_frame(text.as_bytes()))
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self(Message::from_frame(text.as_bytes()))
    }
}

impl From<&String> for Body {
    fn from(text: &String) -> Self {
        Self(Message::from_frame(text.as_bytes()))
    }
}

impl From<Vec<Bytes>> for Body {
    fn from(frames: Vec<Bytes>) -> Self {
        Self::from_frames(frames)
    }
}

impl From<Vec<Vec<u8>>> for Body {
    fn from(frames: Vec<Vec<u8>>) -> Self {
        Self::from_frames(frames)
    }
}
