//! The header of MDP/0.3 and its properties.

use std::collections::BTreeMap;

use bytes::Bytes;
use plantd_client::PublicationHeader;
use plantd_mdp::command::ToWorker;
use plantd_mdp::{Form, Header, Properties};

use crate::codec::token;
use crate::input::{self, frame_of};
use crate::wire;

/// A header is refused, or within its limits and written as it was read.
pub fn header(bytes: &[u8]) {
    let Ok(header) = Header::parse(&Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert!(bytes.len() <= Header::MAX_BYTES);
    assert_eq!(header.encoded_bytes(), bytes.len());
    assert_eq!(Header::id_of(bytes), Some(header.id));
    assert_eq!(frame_of(&header), bytes);
    assert_eq!(written(&header), bytes);
    let names: Vec<&str> = header.properties.iter().map(|(name, _)| name).collect();
    assert!(names.len() <= Properties::MAX_COUNT);
    for name in &names {
        let others = header.properties.filtered(|other| other != *name);
        assert_eq!(others.iter().count(), names.len() - 1);
        assert_eq!(others.get(name), None);
    }
    for name in ["deadline-ms", "window", "credit"] {
        if let Ok(Some(number)) = header.properties.number(name) {
            let digits = header.properties.get(name).expect("it has a number");
            assert_eq!(digits.trim_start_matches('0').parse().unwrap_or(0), number);
        }
    }
}

/// What is set can be read, and nothing else.
pub fn properties(bytes: &[u8]) {
    let mut expected = BTreeMap::new();
    let mut properties = Properties::default();
    for (name, value) in input::steps::<(&str, &str)>(bytes) {
        let is_of_name = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '.' | '-');
        let name: String = name.chars().filter(is_of_name).take(255).collect();
        if !name.is_empty() {
            properties = properties.with(&name, value);
            expected.insert(name, value);
        }
    }
    let read: BTreeMap<_, _> = properties.iter().collect();
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(name, value)| (&name[..], *value))
        .collect();
    assert_eq!(read, expected);
    let header = Header { id: 1, properties };
    let count = expected.len();
    let parsed = Header::parse(&frame_of(&header).into());
    let fits = header.encoded_bytes() <= Header::MAX_BYTES && count <= Properties::MAX_COUNT;
    assert_eq!(parsed.is_ok(), fits);
    if fits {
        assert_eq!(parsed, Ok(header));
    }
}

/// A publication's header is none, or within its limits in every particular.
pub fn publication(bytes: &[u8]) {
    let Some(header) = PublicationHeader::parse(&Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert!((1..=PublicationHeader::MAX_SEQUENCE).contains(&header.sequence));
    assert_eq!(bytes[16..24], header.sequence.to_be_bytes());
    let properties = Properties::parse(Bytes::copy_from_slice(&bytes[32..]));
    assert_eq!(properties, Ok(header.properties));
}

/// The header as the frame that the codec makes of it.
fn written(header: &Header) -> Vec<u8> {
    let token = token(7);
    let command = ToWorker::Cancel {
        token,
        header: header.clone(),
    };
    let message = wire::written(|out| command.encode(Form::MDP03, out));
    let message = message.expect("MDP/0.3 has CANCEL");
    message
        .frames()
        .nth(3)
        .expect("CANCEL has a header")
        .to_vec()
}
