//! Any frames, and any commands of MDP/0.3.

use proptest::collection::vec;
use proptest::prelude::*;

use super::notation::Outbound;
use super::*;
use crate::command::FromClient;
use crate::{Header, Properties, ServiceName, Token};

/// Frames that are often part of a command.
fn some_frame() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "",
        "MDPC01",
        "MDPC02",
        "MDPC03",
        "MDPW01",
        "MDPW02",
        "MDPW03",
        "READY",
        "REQUEST",
        "PARTIAL",
        "FINAL",
        "HEARTBEAT",
        "DISCONNECT",
        "echo",
        "mmi.service",
    ]);
    prop_oneof![
        4 => word.prop_map(|word| word.as_bytes().to_vec()),
        2 => (0u8..12).prop_map(|byte| vec![byte]),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
        1 => any::<u64>().prop_map(|id| id.to_be_bytes().to_vec()),
        1 => any::<[u8; 16]>().prop_map(Vec::from),
        2 => vec(any::<u8>(), 0..300),
    ]
}

fn service() -> impl Strategy<Value = ServiceName> {
    "[!-~]{1,128}".prop_map(|name| name.parse().unwrap())
}

fn token() -> impl Strategy<Value = Token> {
    any::<[u8; 16]>().prop_map(|bytes| Token::parse(&bytes).unwrap())
}

fn header() -> impl Strategy<Value = Header> {
    let properties = prop::collection::btree_map("[+]?[a-z0-9.-]{1,20}", "\\PC{0,20}", 0..5);
    (any::<u64>(), properties).prop_map(|(id, pairs)| Header {
        id,
        properties: pairs
            .iter()
            .fold(Properties::default(), |all, (name, value)| {
                all.with(name, value)
            }),
    })
}

fn body() -> impl Strategy<Value = Message> {
    vec(vec(any::<u8>(), 0..300), 1..5).prop_map(Message::from_frames)
}

fn any_inbound() -> impl Strategy<Value = Inbound> {
    let from_client = prop_oneof![
        (service(), header(), body()).prop_map(|(service, header, body)| FromClient::Request {
            service,
            header,
            body
        }),
        (service(), header()).prop_map(|(service, header)| FromClient::Cancel { service, header }),
        (service(), header()).prop_map(|(service, header)| FromClient::More { service, header }),
    ];
    let from_worker = prop_oneof![
        (service(), header()).prop_map(|(service, header)| FromWorker::Ready { service, header }),
        (token(), header(), body()).prop_map(|(token, header, body)| FromWorker::Partial {
            token,
            header,
            body
        }),
        (token(), header(), body()).prop_map(|(token, header, body)| FromWorker::Final {
            token,
            header,
            body
        }),
        (token(), header()).prop_map(|(token, header)| FromWorker::Error { token, header }),
        header().prop_map(|mut header| {
            header.id = 0;
            FromWorker::Heartbeat { header }
        }),
        Just(FromWorker::Disconnect),
    ];
    prop_oneof![
        from_client.prop_map(Inbound::Client),
        from_worker.prop_map(Inbound::Worker),
    ]
}

fn any_outbound() -> impl Strategy<Value = Outbound> {
    let to_client = prop_oneof![
        (service(), header(), body()).prop_map(|(service, header, body)| ToClient::Partial {
            service,
            header,
            body
        }),
        (service(), header(), body()).prop_map(|(service, header, body)| ToClient::Final {
            service,
            header,
            body
        }),
        (prop::option::of(service()), header())
            .prop_map(|(service, header)| ToClient::Error { service, header }),
    ];
    let to_worker = prop_oneof![
        (service(), header()).prop_map(|(service, header)| ToWorker::Welcome { service, header }),
        (token(), header(), body()).prop_map(|(token, header, body)| ToWorker::Request {
            token,
            header,
            body
        }),
        (token(), header()).prop_map(|(token, header)| ToWorker::Cancel { token, header }),
        (token(), header()).prop_map(|(token, header)| ToWorker::More { token, header }),
        Just(ToWorker::Heartbeat),
        header().prop_map(|mut header| {
            header.id = 0;
            ToWorker::Disconnect { header }
        }),
    ];
    prop_oneof![
        to_client.prop_map(Outbound::Client),
        to_worker.prop_map(Outbound::Worker),
    ]
}

/// The frames of what was written, checked to be one whole message.
fn received(wire: &[u8]) -> Message {
    let mut frames = Vec::new();
    let mut rest = wire;
    while let Some((&flags, after)) = rest.split_first() {
        let (bytes, after) = if flags & 2 == 0 {
            (usize::from(after[0]), &after[1..])
        } else {
            let (bytes, after) = after.split_first_chunk().unwrap();
            (u64::from_be_bytes(*bytes) as usize, after)
        };
        let (frame, after) = after.split_at(bytes);
        assert_eq!(
            flags & 1 == 0,
            after.is_empty(),
            "MORE on all frames but the last"
        );
        frames.push(frame.to_vec());
        rest = after;
    }
    Message::from_frames(frames)
}

proptest! {
    #[test]
    fn any_frames_are_a_command_or_a_refusal(frames in vec(some_frame(), 0..8)) {
        let message = Message::from_frames(&frames);
        if let Err(refusal) = decode(&message, None) {
            prop_assert!(refusal.request.is_none() || refusal.speaker.is_some());
        }
        let _either = ToClient::decode(&message);
        let _either = ToWorker::decode(&message);
    }

    #[test]
    fn what_the_library_writes_the_broker_reads(command in any_inbound()) {
        let message = received(&written_by_library(&command));
        prop_assert_eq!(decode(&message, None), Ok((Form::MDP03, command)));
    }

    #[test]
    fn what_the_broker_writes_the_library_reads(command in any_outbound()) {
        let wire = written_by_broker(Form::MDP03, &command).unwrap();
        prop_assert_eq!(read_by_library(&command, &received(&wire)), Ok(Some(command)));
    }
}
