//! As much ZMTP 3.0 as a load needs: frames, and the handshake of a DEALER.

use std::io::{self, Read, Write as _};
use std::net::TcpStream;

/// A message as it goes over the wire.
#[derive(Debug, Clone)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// Where the content of each frame begins.
    pub(crate) contents: Vec<usize>,
}

/// Encodes the frames of a message.
pub(crate) fn encode(frames: &[&[u8]]) -> Encoded {
    let mut bytes = Vec::new();
    let mut contents = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        let more = u8::from(index + 1 < frames.len());
        match u8::try_from(frame.len()) {
            Ok(short) => bytes.extend([more, short]),
            Err(_) => {
                bytes.push(more | 2);
                bytes.extend((frame.len() as u64).to_be_bytes());
            }
        }
        contents.push(bytes.len());
        bytes.extend_from_slice(frame);
    }
    Encoded { bytes, contents }
}

/// What a socket sends before its first message: a greeting of ZMTP 3.0, and READY.
///
/// To a peer of 3.0 nobody sends PING.
pub(crate) fn opening(socket_type: &str) -> Vec<u8> {
    let mut opening = vec![0; 64];
    opening[0] = 0xff;
    opening[9] = 0x7f;
    opening[10] = 3;
    opening[12..16].copy_from_slice(b"NULL");
    let mut ready = b"\x05READY\x0bSocket-Type".to_vec();
    let length = u32::try_from(socket_type.len()).expect("types are short");
    ready.extend(length.to_be_bytes());
    ready.extend(socket_type.as_bytes());
    opening.push(4);
    opening.push(u8::try_from(ready.len()).expect("READY is a short frame"));
    opening.extend(ready);
    opening
}

/// Reads the other side's greeting and READY.
pub(crate) fn finish_opening(stream: &mut impl Read) -> io::Result<()> {
    let mut greeting = [0; 64];
    stream.read_exact(&mut greeting)?;
    skip_frame(stream).map(drop)
}

/// Connects as a socket of this type.
pub(crate) fn connect(address: &str, socket_type: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.write_all(&opening(socket_type))?;
    finish_opening(&mut stream)?;
    Ok(stream)
}

/// Reads a whole message and drops it.
pub(crate) fn skip_message(stream: &mut impl Read) -> io::Result<()> {
    while skip_frame(stream)? {}
    Ok(())
}

/// Reads a short frame and says whether more follow.
fn skip_frame(stream: &mut impl Read) -> io::Result<bool> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let [flags, length] = head;
    let mut content = [0; u8::MAX as usize];
    stream.read_exact(&mut content[..usize::from(length)])?;
    Ok(flags & 1 == 1)
}
