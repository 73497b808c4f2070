//! What a batch copies and what it refers to.

use bytes::Bytes;

use super::*;

/// Appends the frame "to" and then a body.
fn push(batch: &mut Batch, body: &Message) {
    batch.push(|out| {
        Message::encode_frame(out, b"to", true);
        Some(body)
    });
}

fn chunks(batch: Batch) -> Vec<Bytes> {
    batch.into_chunks().map(|chunk| chunk.bytes).collect()
}

fn body(frame_bytes: usize) -> Message {
    Message::from_frames([vec![b'x'; frame_bytes]])
}

#[test]
fn small_messages_share_one_chunk() {
    let mut batch = Batch::new();
    push(&mut batch, &body(10));
    batch.push_message(&body(20));
    batch.push(|out| {
        Message::encode_frame(out, b"alone", false);
        None
    });

    assert_eq!(batch.len_bytes(), (4 + 12) + 22 + 7);
    let chunks = chunks(batch);
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].len(), 45);
    assert_eq!(chunks[0][..6], *b"\x01\x02to\x00\x0A");
}

#[test]
fn large_bodies_stay_where_they_are_and_in_order() {
    let large = body(5000);
    let mut batch = Batch::new();
    push(&mut batch, &large);
    push(&mut batch, &body(1));
    batch.push_message(&large);

    let len_bytes = batch.len_bytes();
    let chunks = chunks(batch);

    let expected = [
        &b"\x01\x02to"[..],
        large.encoded(),
        b"\x01\x02to\x00\x01x",
        large.encoded(),
    ];
    assert_eq!(chunks, expected);
    assert_eq!(chunks[1].as_ptr(), large.encoded().as_ptr());
    assert_eq!(len_bytes, expected.concat().len());
}

#[test]
fn a_chunk_says_what_it_keeps_alive_beside_itself() {
    let large = body(5000);
    let pinned = 1_000_000;
    let slice = Message::from_wire(large.encoded().clone(), 1, pinned);
    let mut batch = Batch::new();
    batch.push_message(&slice);

    let excess: Vec<usize> = batch
        .into_chunks()
        .map(|chunk| chunk.excess_bytes)
        .collect();

    assert_eq!(excess[0], pinned - slice.encoded().len());
}

#[test]
fn an_empty_batch_has_nothing_to_write() {
    let mut batch = Batch::new();
    batch.push_message(&Message::default());

    assert!(batch.is_empty());
    assert!(chunks(batch).is_empty());
}

#[test]
fn a_batch_makes_room_for_as_much_as_the_one_before() {
    let mut batch = Batch::new();
    for _ in 0..100 {
        push(&mut batch, &body(10));
    }
    assert_eq!(batch.take().len_bytes(), 1600);
    assert!(batch.is_empty());
    assert_eq!(batch.tail.capacity(), 0);
    push(&mut batch, &body(10));
    assert_eq!(batch.tail.capacity(), 2048);
    assert_eq!(batch.take().len_bytes(), 16);
}
