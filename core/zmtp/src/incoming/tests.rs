//! How the room of a buffer follows what arrives.

use super::*;

/// Reads `n` bytes as a socket does, or as many as there is room for.
fn read(incoming: &mut Incoming, n: usize) -> usize {
    let buffer = incoming.room();
    let room = buffer.capacity() - buffer.len();
    let n = n.min(room);
    buffer.extend_from_slice(&vec![0; n]);
    incoming.handle_read(n, room);
    n
}

#[test]
fn room_grows_while_reads_fill_it_and_shrinks_when_they_do_not() {
    let mut incoming = Incoming::new();
    let mut reads = Vec::new();
    for _ in 0..8 {
        reads.push(read(&mut incoming, usize::MAX));
        incoming.take(reads[reads.len() - 1]);
        incoming.release();
    }
    let doubling: Vec<usize> = (2..9)
        .map(|power| 1024 << power)
        .chain([MAX_READ_BYTES])
        .collect();
    assert_eq!(reads, doubling);

    for _ in 0..9 * SMALL_READS {
        read(&mut incoming, 10);
        incoming.take(10);
        incoming.release();
    }
    assert_eq!(read(&mut incoming, usize::MAX), MIN_READ_BYTES);
}

#[test]
fn an_empty_buffer_is_freed_and_a_nearly_empty_one_replaced() {
    let mut incoming = Incoming::new();
    while read(&mut incoming, usize::MAX) < MAX_READ_BYTES {
        incoming.take(incoming.len_bytes());
    }
    incoming.take(incoming.len_bytes() - 100);

    incoming.release();
    assert_eq!(incoming.held_bytes(), 100);
    assert_eq!(incoming.len_bytes(), 100);

    incoming.take(100);
    incoming.release();
    assert_eq!(incoming.held_bytes(), 0);
}

#[test]
fn what_was_taken_stays_as_it_was() {
    let mut incoming = Incoming::new();
    incoming.extend_from_slice(b"first|sec");
    let first = incoming.take(6).freeze();

    incoming.room().extend_from_slice(b"ond");

    assert_eq!(first, "first|");
    assert_eq!(incoming.bytes(), b"second");
}

#[test]
fn an_announced_frame_reserves_no_more_than_has_come_of_it() {
    let mut incoming = Incoming::new();
    let mut received = 0;
    while received < 4 * 1024 * 1024 {
        incoming.expect(1 << 40);
        received += read(&mut incoming, MAX_READ_BYTES);

        let held = incoming.held_bytes();
        assert!(
            held <= 2 * (received + MAX_READ_BYTES),
            "{held} held of {received}"
        );
    }
}
