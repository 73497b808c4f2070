use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::Body;

fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(1_705_314_600_000_000_007)
}

fn source() -> SourceId {
    SourceId::from_random(7)
}

fn heading(topic: &[u8], value: &str) -> Heading {
    let heading = Heading::new(topic).unwrap();
    heading.property("x", value).unwrap()
}

/// All publications that go over the wire.
fn read(published: &Published) -> Vec<Publication> {
    match &published.wire {
        Wire::Run(run) => {
            let messages = run.parts().map(|part| run.message(&part));
            messages
                .map(|message| Publication::read(&message))
                .collect()
        }
        Wire::Large { envelope, body } => {
            let encoded = [&envelope[..], body.encoded()].concat();
            let run = Run::from_encoded(encoded.into()).unwrap();
            vec![Publication::read(
                &run.message(&run.parts().next().unwrap()),
            )]
        }
    }
}

#[test]
fn what_is_not_wanted_is_only_counted() {
    let mut draft = Draft::new(heading(b"t", ""), false, BytesMut::new());
    draft.skip();
    draft.skip();
    assert_eq!((draft.count(), draft.topic().as_bytes()), (2, &b"t"[..]));
    assert!(draft.is_open());
    assert!(draft.number(source(), 1).is_none());
}

#[test]
fn a_body_without_frames_becomes_one_empty_frame() {
    let mut draft = Draft::new(heading(b"t", ""), true, BytesMut::new());
    draft.push(noon(), Message::EMPTY, 0);
    let published = read(&draft.number(source(), 1).unwrap());
    assert_eq!(published[0].body, Body::from(""));
    assert!(published[0].header.is_some());
}

#[test]
fn a_large_body_is_not_copied_and_alone() {
    let body = Message::from_frames([vec![0; COPIED_BODY_BYTES]]);
    assert!(!Draft::copies(&body));
    let mut draft = Draft::new(heading(b"t", ""), true, BytesMut::new());
    draft.push(noon(), body.clone(), 5000);
    assert!(!draft.is_open());
    let published = draft.number(source(), 1).unwrap();
    assert_eq!((published.count, published.bytes), (1, 5000));
    let Wire::Large { body: sent, .. } = &published.wire else {
        panic!("{published:?}");
    };
    assert_eq!(sent.encoded().as_ptr(), body.encoded().as_ptr());
    assert_eq!(read(&published)[0].body, Body::from(body));
}

#[test]
fn what_is_written_is_not_made_longer_than_a_run() {
    let mut draft = Draft::new(heading(b"t", ""), true, BytesMut::new());
    let frame = vec![0; 1000];
    while draft.is_open() {
        draft.push_frame(noon(), &frame, 0);
    }
    let Some(Published {
        count,
        wire: Wire::Run(run),
        ..
    }) = draft.number(source(), 1)
    else {
        panic!("what is wanted is sent");
    };
    assert_eq!(run.message_count() as u64, count);
    assert!((RUN_BYTES..RUN_BYTES + 1100).contains(&run.encoded().len()));
}

#[test]
fn two_in_a_row_share_a_buffer() {
    let mut first = Draft::new(heading(b"t", ""), true, BytesMut::with_capacity(4096));
    first.push_frame(noon(), b"1", 0);
    let mut second = Draft::new(heading(b"u", ""), true, first.take_buffer());
    second.push_frame(noon(), b"2", 0);
    for (draft, body) in [(first, "1"), (second, "2")] {
        let published = read(&draft.number(source(), 1).unwrap());
        assert_eq!(published[0].body, Body::from(body));
    }
}

proptest! {
    #[test]
    fn what_is_drafted_is_published_with_its_numbers(
        topic in prop::collection::vec(any::<u8>(), 0..300),
        value in ".{0,100}",
        first in 1..1_000_000_u64,
        bodies in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..4),
            1..20,
        ),
    ) {
        let heading = heading(&topic, &value);
        let mut draft = Draft::new(heading.clone(), true, BytesMut::new());
        let mut bytes = 0;
        for body in &bodies {
            let message = Message::from_frames(body);
            let taken = Draft::bytes_of(&heading, &message);
            bytes += taken;
            match &body[..] {
                [frame] => draft.push_frame(noon(), frame, taken),
                _ => draft.push(noon(), message, taken),
            }
        }
        let published = draft.number(source(), first).unwrap();
        prop_assert_eq!((published.count, published.bytes), (bodies.len() as u64, bytes));
        let read = read(&published);
        prop_assert_eq!(read.len(), bodies.len());
        for ((publication, body), sequence) in read.into_iter().zip(bodies).zip(first..) {
            prop_assert_eq!(publication.topic.as_bytes(), &topic);
            let header = publication.header.unwrap();
            prop_assert_eq!((header.source, header.sequence), (source(), sequence));
            prop_assert_eq!(header.time, noon());
            prop_assert_eq!(&header.properties, heading.properties());
            let frames: Vec<_> = publication.body.frames().collect();
            match body.is_empty() {
                true => prop_assert_eq!(frames, [&[0_u8; 0][..]]),
                false => prop_assert_eq!(frames, body),
            }
        }
    }
}
