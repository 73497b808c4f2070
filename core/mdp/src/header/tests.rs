use proptest::prelude::*;

use super::*;

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs
        .iter()
        .fold(Properties::default(), |all, (name, value)| {
            all.with(name, value)
        })
}

fn parse(bytes: &[u8]) -> Result<Header, InvalidHeader> {
    Header::parse(&Bytes::copy_from_slice(bytes))
}

#[test]
fn a_header_is_an_id_and_properties() {
    let header = parse(b"\0\0\0\0\0\0\0\x07\x04code\0\0\0\x04busy").unwrap();
    assert_eq!(header.id, 7);
    assert_eq!(header.properties.get("code"), Some("busy"));
    assert_eq!(header.properties.get("Code"), None);
}

#[test]
fn a_malformed_header_says_what_is_wrong() {
    let with = |tail: &[u8]| parse(&[&[0; 8][..], tail].concat());
    assert_eq!(parse(b"1234567"), Err(InvalidHeader::NoId(7)));
    assert_eq!(with(&[0; 4089]), Err(InvalidHeader::TooLarge(4097)));
    assert_eq!(with(b"\x04cod"), Err(InvalidHeader::Truncated));
    assert_eq!(with(b"\x01a\0\0\0\x02x"), Err(InvalidHeader::Truncated));
    assert_eq!(with(b"\x01A\0\0\0\0"), Err(InvalidHeader::Name));
    assert_eq!(with(b"\x00\0\0\0\0"), Err(InvalidHeader::Name));
    assert_eq!(with(b"\x01+\0\0\0\0"), Err(InvalidHeader::Name));
    assert_eq!(with(b"\x01a\0\0\0\x01\xff"), Err(InvalidHeader::Value));
    let twice = b"\x01a\0\0\0\0\x01a\0\0\0\0";
    assert_eq!(with(twice), Err(InvalidHeader::Duplicate));
    let many: Vec<u8> = (b'a'..=b'z')
        .chain(b'0'..=b'6')
        .flat_map(|name| [1, name, 0, 0, 0, 0])
        .collect();
    assert_eq!(with(&many), Err(InvalidHeader::TooMany));
}

#[test]
fn a_property_is_replaced_not_doubled() {
    let all = properties(&[("a", "1"), ("b", "2")]).with("a", 3);
    assert_eq!(all.iter().collect::<Vec<_>>(), [("b", "2"), ("a", "3")]);
}

#[test]
fn numbers_are_digits_without_a_sign() {
    let all = properties(&[
        ("good", "250"),
        ("sign", "+1"),
        ("none", ""),
        ("big", "99999999999999999999"),
    ]);
    assert_eq!(all.number("good"), Ok(Some(250)));
    assert_eq!(all.number("absent"), Ok(None));
    assert!(all.number("sign").is_err());
    assert!(all.number("none").is_err());
    assert!(all.number("big").is_err());
}

#[test]
fn filtering_keeps_the_order() {
    let all = properties(&[("a", "1"), ("broker-x", "2"), ("c", "3")]);
    let kept = all.filtered(|name| !name.starts_with("broker-"));
    assert_eq!(kept.iter().collect::<Vec<_>>(), [("a", "1"), ("c", "3")]);
}

proptest! {
    #[test]
    fn any_bytes_are_a_header_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(header) = parse(&bytes) {
            prop_assert_eq!(header.encoded_bytes(), bytes.len());
            prop_assert!(header.properties.iter().count() <= Properties::MAX_COUNT);
        }
    }

    #[test]
    fn what_is_encoded_is_read_back(
        id: u64,
        pairs in prop::collection::btree_map("[+]?[a-z0-9.-]{1,20}", "\\PC{0,40}", 0..20),
    ) {
        let header = Header {
            id,
            properties: pairs.iter().fold(Properties::default(), |all, (name, value)| all.with(name, value)),
        };
        let mut frame = BytesMut::new();
        header.encode(&mut frame, false);
        let skip = if frame[0] & 2 == 0 { 2 } else { 9 };
        let read = Header::parse(&frame.freeze().slice(skip..)).unwrap();
        prop_assert_eq!(read, header);
    }
}
