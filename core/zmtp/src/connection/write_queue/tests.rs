//! What waits, in which order, and what it is counted as.

use std::task::Waker;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf, duplex};

use super::*;
use crate::Message;

/// A queue, the pipe that it writes to, and the pipe's other end.
struct Scene {
    queue: WriteQueue,
    backlog: Backlog,
    near: DuplexStream,
    far: DuplexStream,
}

impl Scene {
    fn new(pipe_bytes: usize) -> Self {
        let (near, far) = duplex(pipe_bytes);
        let backlog = Backlog::default();
        Self {
            queue: WriteQueue::new(backlog.clone()),
            backlog,
            near,
            far,
        }
    }

    fn push(&mut self, messages: &[Message]) {
        let mut batch = Batch::new();
        for message in messages {
            batch.push_message(message);
        }
        self.backlog.add(batch.len_bytes());
        self.queue.push_batch(batch);
    }

    fn write(&mut self) -> Poll<io::Result<()>> {
        let mut context = Context::from_waker(Waker::noop());
        let mut written = 0;
        self.queue
            .poll_write(&mut context, &mut self.near, &mut written)
    }

    fn read(&mut self) -> Vec<u8> {
        let mut context = Context::from_waker(Waker::noop());
        let mut bytes = vec![0; 64 * 1024];
        let mut buffer = ReadBuf::new(&mut bytes);
        let _ = Pin::new(&mut self.far).poll_read(&mut context, &mut buffer);
        buffer.filled().to_vec()
    }

    /// Writes and reads until nothing is left.
    fn drain(&mut self) -> Vec<u8> {
        let mut read = Vec::new();
        while self.write().is_pending() {
            read.extend(self.read());
        }
        read.extend(self.read());
        read
    }
}

fn message(frame_bytes: usize) -> Message {
    Message::from_frames([(0..frame_bytes).map(|i| i as u8).collect::<Vec<u8>>()])
}

/// A message that is a slice of a buffer of `pinned_bytes`.
fn slice(message: &Message, pinned_bytes: usize) -> Message {
    let encoded = Bytes::copy_from_slice(message.encoded());
    Message::from_wire(encoded, 1, pinned_bytes)
}

#[test]
fn what_is_written_at_once_is_counted_as_its_bytes() {
    let mut scene = Scene::new(1 << 20);
    let large = slice(&message(10_000), 1_000_000);
    scene.push(std::slice::from_ref(&large));
    assert_eq!(scene.backlog.bytes(), large.encoded().len());

    assert!(scene.write().is_ready());

    assert_eq!(scene.backlog.bytes(), 0);
    assert_eq!(scene.read(), &large.encoded()[..]);
}

#[test]
fn a_small_part_of_a_buffer_is_copied_out_to_wait() {
    let mut scene = Scene::new(10);
    let part = slice(&message(10_000), 2 * 10_009 + 1);
    scene.push(std::slice::from_ref(&part));

    assert!(scene.write().is_pending());

    assert_eq!(scene.backlog.bytes(), part.encoded().len() - 10);
    assert_eq!(scene.queue.chunks.len(), 0);
    assert_eq!(scene.drain(), &part.encoded()[..]);
    assert_eq!(scene.backlog.bytes(), 0);
}

#[test]
fn what_a_large_part_keeps_alive_is_counted_while_it_waits() {
    let mut scene = Scene::new(10);
    let first = message(5_000);
    let part = slice(&message(10_000), 20_000);
    scene.push(&[first.clone(), part.clone()]);

    assert!(scene.write().is_pending());

    assert_eq!(scene.backlog.bytes(), first.encoded().len() - 10 + 20_000);
    assert_eq!(
        scene.drain(),
        [&first.encoded()[..], part.encoded()].concat()
    );
    assert_eq!(scene.backlog.bytes(), 0);
}

#[test]
fn small_messages_that_wait_share_buffers() {
    let mut scene = Scene::new(10);
    scene.push(&[message(100)]);
    assert!(scene.write().is_pending());
    for _ in 0..10_000 {
        scene.push(&[message(100)]);
    }

    assert!(scene.queue.chunks.len() <= 10_001 * 102 / GATHER_BYTES);
    assert_eq!(scene.drain(), message(100).encoded().repeat(10_001));
}

proptest! {
    #[test]
    fn bytes_come_out_in_the_order_in_which_they_went_in(
        batches in vec(vec((0_usize..9000, 1_usize..8), 0..5), 0..8),
        pipe_bytes in 1_usize..5000,
        reads in vec(any::<bool>(), 8),
    ) {
        let mut scene = Scene::new(pipe_bytes);
        let mut sent = Vec::new();
        let mut received = Vec::new();
        for (batch, read) in batches.iter().zip(reads) {
            let messages: Vec<Message> = batch
                .iter()
                .map(|&(frame_bytes, times)| {
                    let message = message(frame_bytes);
                    slice(&message, times * message.encoded().len())
                })
                .collect();
            for message in &messages {
                sent.extend_from_slice(message.encoded());
            }
            scene.push(&messages);
            let _ = scene.write();
            if read {
                received.extend(scene.read());
            }
        }
        received.extend(scene.drain());

        prop_assert!(received == sent);
        prop_assert_eq!(scene.backlog.bytes(), 0);
        prop_assert!(!scene.queue.is_waiting());
    }
}
