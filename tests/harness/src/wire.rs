//! What was written, read again without the code that wrote it.

use plantd_zmtp::Message;

/// The frames of an encoded message, checked to be one whole message in its shortest form.
///
/// # Panics
/// If it is not.
pub(crate) fn read(wire: &[u8]) -> Message {
    let mut frames = Vec::new();
    let mut rest = wire;
    while let Some((&flags, after)) = rest.split_first() {
        let (bytes, after) = if flags & 2 == 0 {
            (usize::from(after[0]), &after[1..])
        } else {
            let (bytes, after) = after
                .split_first_chunk()
                .expect("a long length has 8 bytes");
            (u64::from_be_bytes(*bytes) as usize, after)
        };
        assert_eq!(flags & 2 != 0, bytes > 255, "a length in its shortest form");
        assert_eq!(flags & 0xfc, 0, "a frame of a message");
        let (frame, after) = after.split_at(bytes);
        let is_last = flags & 1 == 0;
        assert_eq!(is_last, after.is_empty(), "MORE on all frames but the last");
        frames.push(frame);
        rest = after;
    }
    Message::from_frames(frames)
}

/// Reads what `encode` writes, with the body that it returns.
pub(crate) fn written<'a>(
    encode: impl FnOnce(&mut Vec<u8>) -> Option<&'a Message>,
) -> Option<Message> {
    let mut wire = Vec::new();
    let body = encode(&mut wire)?;
    wire.extend_from_slice(body.encoded());
    Some(read(&wire))
}
