//! Encoding, walking, slicing and joining messages.

use bytes::{Bytes, BytesMut};
use proptest::{collection::vec, prelude::*};

use super::*;

const EMPTY: [&[u8]; 0] = [];

fn contents(message: &Message) -> Vec<Vec<u8>> {
    message.frames().map(<[u8]>::to_vec).collect()
}

#[test]
fn frames_are_encoded_short_up_to_255_bytes_and_long_beyond() {
    let short = vec![b'x'; 255];
    let long = vec![b'y'; 256];

    let message = Message::from_frames([&short, &long]);

    let mut expected = vec![0x01, 0xFF];
    expected.extend_from_slice(&short);
    expected.extend_from_slice(&[0x02, 0, 0, 0, 0, 0, 0, 1, 0]);
    expected.extend_from_slice(&long);
    assert_eq!(message.encoded()[..], expected);
    assert_eq!(message.body_bytes(), 511);
    assert_eq!(
        encoded_frame_bytes(255) + encoded_frame_bytes(256),
        expected.len()
    );
}

#[test]
fn a_message_of_one_empty_frame_is_not_empty() {
    let message = Message::from_frames([""]);

    assert!(!message.is_empty());
    assert_eq!(message.encoded()[..], [0, 0]);
    assert!(Message::from_frames(EMPTY).is_empty());
    assert_eq!(Message::from_frames(EMPTY), Message::default());
}

#[test]
fn frame_bytes_share_the_message() {
    let message = Message::from_frames(["a", "", "body"]);

    let body = message.frame_bytes(2).unwrap();

    assert_eq!(body, "body");
    assert!(message.encoded().as_ptr_range().contains(&body.as_ptr()));
    assert_eq!(message.frame_bytes(1).unwrap(), "");
    assert_eq!(message.frame_bytes(3), None);
}

#[test]
fn skipping_shares_the_tail_and_counts_what_it_pins() {
    let message = Message::from_frames(["envelope", "a", "b"]);

    let tail = message.skip_frames(1);

    assert_eq!(contents(&tail), [b"a", b"b"]);
    assert_eq!(tail.held_bytes(), message.held_bytes());
    assert!(message.skip_frames(3).is_empty());
    assert!(message.skip_frames(9).is_empty());
}

#[test]
fn the_rest_of_a_walk_is_what_skipping_gives() {
    let message = Message::from_frames(["envelope", "", "body"]);
    let mut walk = message.frames();
    for walked in 0..=3 {
        assert_eq!(message.rest(&walk), message.skip_frames(walked));
        assert_eq!(message.rest(&walk).frame_count(), 3 - walked);
        walk.next();
    }
}

#[test]
fn a_part_is_shared_and_not_copied() {
    let message = Message::from_frames(["envelope", "body"]);
    let frame = message.frames().last().unwrap();

    let shared = message.share(frame);

    assert_eq!(shared, "body");
    assert_eq!(shared.as_ptr(), frame.as_ptr());
}

#[test]
fn a_small_part_of_a_large_buffer_is_copied_out_to_be_held() {
    let buffer = Bytes::from(Message::from_frames([[0; 64]]).encoded().to_vec());
    let quarter = Message::from_wire(buffer.clone(), 1, 4 * buffer.len());
    let less = Message::from_wire(buffer.clone(), 1, 4 * buffer.len() + 1);

    assert_eq!(quarter.into_held().held_bytes(), 4 * buffer.len());
    let copied = less.clone().into_held();
    assert_eq!(copied, less);
    assert_eq!(copied.held_bytes(), buffer.len());
    assert_ne!(copied.encoded().as_ptr(), buffer.as_ptr());
}

#[test]
fn debug_escapes_and_shortens() {
    let long = vec![b'z'; 100];
    let message = Message::from_frames([b"MDPC02".as_slice(), b"\x01", &long]);

    let shown = format!("{message:?}");

    let z = "z".repeat(48);
    assert_eq!(shown, format!(r#"["MDPC02", "\x01", "{z}"…(100 bytes)]"#));
    let many = Message::from_frames(vec!["f"; 20]);
    assert!(format!("{many:?}").ends_with("and 4 frames]"));
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(
        prop_oneof![
            4 => vec(any::<u8>(), 0..20),
            1 => vec(any::<u8>(), 250..260),
        ],
        0..8,
    )
}

proptest! {
    #[test]
    fn walking_gives_back_what_was_encoded(frames in frames()) {
        let message = Message::from_frames(&frames);

        prop_assert_eq!(&contents(&message), &frames);
        prop_assert_eq!(message.frames().len(), frames.len());
        prop_assert_eq!(message.body_bytes(), frames.concat().len());
        for n in 0..=frames.len() {
            prop_assert_eq!(message.skip_frames(n), Message::from_frames(&frames[n..]));
            prop_assert_eq!(message.frame_bytes(n), frames.get(n).cloned().map(Bytes::from));
        }
    }

    #[test]
    fn concat_is_the_message_of_all_frames(parts in vec(frames(), 0..4)) {
        let messages: Vec<Message> = parts.iter().map(Message::from_frames).collect();

        prop_assert_eq!(Message::concat(&messages), Message::from_frames(parts.concat()));
    }

    #[test]
    fn encode_frame_by_frame_is_from_frames(frames in frames()) {
        let mut encoded = BytesMut::new();
        for (i, frame) in frames.iter().enumerate() {
            Message::encode_frame(&mut encoded, frame, i + 1 < frames.len());
        }

        prop_assert_eq!(encoded, Message::from_frames(&frames).encoded().clone());
    }
}

#[test]
fn one_frame_is_encoded_as_several_are_and_takes_no_more_than_it_needs() {
    for size in [0, 1, 255, 256, 5000] {
        let frame = vec![b'x'; size];
        let message = Message::from_frame(&frame);
        assert_eq!(message, Message::from_frames([&frame]), "{size}");
        assert_eq!(message.frame_count(), 1);
        assert_eq!(message.held_bytes(), message.encoded().len());
    }
}
