use plantd_zmtp::Run;
use proptest::prelude::*;

use super::*;

/// 2024-01-15 10:30:00 UTC, in nanoseconds.
const NOON: u64 = 1_705_314_600_000_000_000;

fn source() -> SourceId {
    SourceId::from_random(0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF)
}

fn header(properties: Properties) -> PublicationHeader {
    PublicationHeader {
        source: source(),
        sequence: 258,
        time: SystemTime::UNIX_EPOCH + Duration::from_nanos(NOON),
        properties,
    }
}

/// The frames of what a source publishes.
fn published(header: &PublicationHeader, body: &Message) -> Message {
    let mut out = BytesMut::new();
    let (topic, properties) = (Topic::new("a.b").unwrap(), &header.properties);
    Publication::encode_envelope(&topic, properties, header.time, 0, &mut out);
    let numbers = &mut out[Publication::numbers_at(&topic, properties)..];
    Publication::number(numbers, header.source, header.sequence);
    out.extend_from_slice(body.encoded());
    let run = Run::from_encoded(out.freeze()).unwrap();
    let message = run.message(&run.parts().next().unwrap());
    assert_eq!(run.message_count(), 1);
    message
}

#[test]
fn a_header_has_these_bytes() {
    let properties = Properties::default().with("content-type", "application/json");
    let message = published(&header(properties.clone()), &Message::from_frames(["{}"]));
    let expected: [&[u8]; 3] = [
        b"a.b",
        b"\x00\x11\x22\x33\x44\x55\x46\x77\x88\x99\xAA\xBB\xCC\xDD\xEE\xFF\
          \0\0\0\0\0\0\x01\x02\
          \x17\xAA\x7E\x97\xF3\x49\x90\x00\
          \x0Ccontent-type\0\0\0\x10application/json",
        b"{}",
    ];
    assert_eq!(message, Message::from_frames(expected));
    assert_eq!(
        Publication::read(&message),
        Publication {
            topic: Topic::new("a.b").unwrap(),
            header: Some(header(properties)),
            body: "{}".into(),
        }
    );
}

/// The one that stands in the document.
#[test]
fn the_documented_header_is_one() {
    let document = include_str!("../../../docs/protocol.md");
    let octets = document.split("# Publications").nth(1).unwrap();
    let octets = octets.split("```").nth(1).unwrap();
    let mut frame = Vec::new();
    for (index, part) in octets.split('"').enumerate() {
        if index % 2 == 1 {
            frame.extend_from_slice(part.as_bytes());
            continue;
        }
        let digits = part.split_whitespace();
        frame.extend(digits.map(|octet| u8::from_str_radix(octet, 16).unwrap()));
    }
    let properties = Properties::default().with("unit", "kPa1");
    let header = PublicationHeader::parse(&frame.into());
    assert_eq!(header, Some(self::header(properties)));
}

#[test]
fn a_source_is_shown_as_the_uuid_that_it_is() {
    assert_eq!(source().to_string(), "00112233-4455-4677-8899-aabbccddeeff");
}

#[test]
fn times_that_no_reader_would_take_are_moved() {
    let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 34);
    for time in [SystemTime::UNIX_EPOCH, far] {
        let header = PublicationHeader {
            time,
            ..header(Properties::default())
        };
        let read = Publication::read(&published(&header, &Message::from_frames([""])));
        assert!(read.header.is_some(), "{time:?}");
    }
}

/// A header's frame with one part of it changed.
fn frame_with(at: usize, bytes: &[u8]) -> Vec<u8> {
    let message = published(&header(Properties::default()), &Message::from_frames([""]));
    let mut frame = message.frames().nth(1).unwrap().to_vec();
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

#[test]
fn what_is_not_a_header_in_every_particular_belongs_to_the_body() {
    let valid = frame_with(0, &[]);
    let mut too_large = valid.clone();
    for n in 0..5 {
        too_large.extend([2, b'a', b'0' + n]);
        too_large.extend([0, 0, 4, 0]);
        too_large.extend([b'x'; 1024]);
    }
    let with = |tail: &[u8]| [&valid[..], tail].concat();
    let cases = [
        ("31 bytes", valid[..31].to_vec()),
        ("over 4096 bytes", too_large),
        ("a UUID of another version", frame_with(6, &[0x76])),
        ("a UUID of another variant", frame_with(8, &[0xC8])),
        ("sequence 0", frame_with(16, &[0; 8])),
        ("sequence 2^48", frame_with(16, &[0, 1, 0, 0, 0, 0, 0, 0])),
        (
            "a time in 1999",
            frame_with(24, &(946_684_799_u64 * NANOS_PER_SECOND).to_be_bytes()),
        ),
        (
            "a time in 2200",
            frame_with(24, &(7_258_118_400_u64 * NANOS_PER_SECOND).to_be_bytes()),
        ),
        ("a property without a value", with(b"\x01a")),
        (
            "a property that reaches over the end",
            with(b"\x01a\0\0\0\x02x"),
        ),
        ("a property's name in capitals", with(b"\x01A\0\0\0\0")),
        ("a property twice", with(b"\x01a\0\0\0\0\x01a\0\0\0\0")),
        ("a value that is not UTF-8", with(b"\x01a\0\0\0\x01\xFF")),
        (
            "text of 32 letters",
            b"d41d8cd98f00b204e9800998ecf8427e".to_vec(),
        ),
        ("32 zeros", vec![0; 32]),
    ];
    for (name, frame) in cases {
        let message = Message::from_frames([&b"topic"[..], &frame, b"body"]);
        let publication = Publication::read(&message);
        assert_eq!(publication.header, None, "{name}");
        assert_eq!(
            publication.body,
            Body::from_frames([&frame[..], b"body"]),
            "{name}"
        );
    }
}

#[test]
fn a_header_has_a_topic_before_it_and_a_body_after_it() {
    let frame = frame_with(0, &[]);
    let without_body = Message::from_frames([&b"topic"[..], &frame]);
    assert_eq!(Publication::read(&without_body).header, None);
    let long_topic = vec![b'x'; Topic::MAX_BYTES + 1];
    let message = Message::from_frames([&long_topic[..], &frame, b""]);
    let publication = Publication::read(&message);
    assert_eq!(publication.header, None);
    assert_eq!(publication.topic.as_bytes(), long_topic);
}

#[test]
fn one_frame_is_split_where_its_json_begins() {
    let cases: [(&str, &str, Option<&str>); 11] = [
        (
            "org.plantd.metric{\"value\": 1}",
            "org.plantd.metric",
            Some("{\"value\": 1}"),
        ),
        ("topic {\"a\": [1]}", "topic", Some("{\"a\": [1]}")),
        ("topic[1, 2] ", "topic", Some("[1, 2] ")),
        ("topic", "topic", None),
        ("", "", None),
        ("{\"value\": 1}", "{\"value\": 1}", None),
        (" {\"value\": 1}", " {\"value\": 1}", None),
        ("topic{\"value\": }", "topic{\"value\": }", None),
        ("topic{} and more", "topic{} and more", None),
        ("to\tpic{}", "to\tpic{}", None),
        ("topic 1", "topic 1", None),
    ];
    for (frame, topic, body) in cases {
        let publication = Publication::read(&Message::from_frames([frame]));
        assert_eq!(publication.topic.as_bytes(), topic.as_bytes(), "{frame}");
        let body = body.map_or_else(Body::default, Body::from);
        assert_eq!(publication.body, body, "{frame}");
        // With a second frame the first is the topic.
        let publication = Publication::read(&Message::from_frames([frame, "x"]));
        assert_eq!(publication.topic.as_bytes(), frame.as_bytes());
    }
}

#[test]
fn json_of_any_depth_is_looked_at_without_harm() {
    let frame = format!("topic{}", "[".repeat(1_000_000));
    let publication = Publication::read(&Message::from_frames([&frame]));
    assert_eq!(publication.topic.as_bytes(), frame.as_bytes());
}

proptest! {
    #[test]
    fn any_message_is_read(frames in prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            Just(frame_with(0, &[])),
            Just(b"topic{\"a\": 1}".to_vec()),
        ],
        1..5,
    )) {
        let message = Message::from_frames(&frames);
        let publication = Publication::read(&message);
        let header_frames = usize::from(publication.header.is_some());
        if frames.len() > 1 {
            prop_assert_eq!(publication.topic.as_bytes(), &frames[0]);
            let body: Vec<_> = publication.body.frames().collect();
            prop_assert_eq!(body, &frames[1 + header_frames..]);
        }
    }

    /// A digest of 32 bytes is taken for a header once in some ten million times, and this seed's are
    /// none of those.
    #[test]
    fn random_bytes_are_no_header(frame in prop::collection::vec(any::<u8>(), 32..=32)) {
        prop_assert_eq!(PublicationHeader::parse(&frame.into()), None);
    }

    #[test]
    fn what_is_written_is_read(
        bits in any::<u128>(),
        sequence in 1..=PublicationHeader::MAX_SEQUENCE,
        seconds in CREDIBLE_SECONDS,
        value in ".{0,40}",
        body in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4),
    ) {
        let header = PublicationHeader {
            source: SourceId::from_random(bits),
            sequence,
            time: SystemTime::UNIX_EPOCH + Duration::new(seconds, 7),
            properties: Properties::default().with("x", value),
        };
        let body = Message::from_frames(&body);
        let read = Publication::read(&published(&header, &body));
        prop_assert_eq!(read.header, Some(header));
        prop_assert_eq!(Message::from(read.body), body);
    }
}
