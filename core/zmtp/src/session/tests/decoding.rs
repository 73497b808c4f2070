//! Arbitrary bytes and arbitrary pieces.

use bytes::BytesMut;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

const SMALL: Limits = Limits {
    frame_bytes: 300,
    message_bytes: 800,
    frames: 6,
    handshake_bytes: 256,
    command_bytes: 64,
};

fn small(socket_type: SocketType) -> SessionConfig {
    SessionConfig {
        limits: SMALL,
        ..SessionConfig::new(Side::Binding, socket_type)
    }
}

/// One frame, mostly well-formed.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let message = (any::<bool>(), vec(any::<u8>(), 0..310)).prop_map(|(more, content)| {
        let mut out = BytesMut::new();
        Message::encode_frame(&mut out, &content, more);
        out.to_vec()
    });
    let long_form = vec(any::<u8>(), 0..10).prop_map(|content| {
        [&[2, 0, 0, 0, 0, 0, 0, 0, content.len() as u8], &content[..]].concat()
    });
    let command = prop_oneof![
        Just(b"\x04\x05\x04PONG".to_vec()),
        Just(b"\x04\x09\x04PING\0\x01id".to_vec()),
        Just(b"\x04\x0B\x09SUBSCRIBEa".to_vec()),
        Just(b"\x04\x08\x06CANCELa".to_vec()),
        Just(b"\x04\x02\x01Z".to_vec()),
    ];
    let junk = vec(any::<u8>(), 0..12);
    prop_oneof![8 => message, 2 => long_form, 3 => command, 1 => junk]
}

/// What a session did with the bytes, and how it ended.
type Outcome = (Vec<Event>, Vec<u8>, Result<(), Violation>);

fn play(mut scene: Scene, pieces: &[&[u8]]) -> Outcome {
    let mut events = Vec::new();
    let mut outcome = Ok(());
    for piece in pieces {
        outcome = scene.receive_into(piece, &mut events);
        if outcome.is_err() {
            break;
        }
        assert_bounded(&scene);
    }
    (events, scene.transmit(), outcome)
}

/// What is held is what one message may be, once whole and once being gathered, with room to grow.
fn assert_bounded(scene: &Scene) {
    let held = scene.incoming.len_bytes();
    let limit = SMALL.message_bytes.max(SMALL.handshake_bytes) + SMALL.command_bytes;
    assert!(held <= limit, "{held} bytes wait");
    let set_aside = scene.session.held_bytes();
    assert!(
        set_aside <= 2 * SMALL.message_bytes,
        "{set_aside} set aside"
    );
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    at.extend([0, bytes.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

fn assert_pieces_do_not_matter(scene: impl Fn() -> Scene, bytes: &[u8], cuts: &[Index]) {
    let whole = play(scene(), &[bytes]);
    let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(play(scene(), &bytewise), whole);
    assert_eq!(play(scene(), &pieces(bytes, cuts)), whole);
}

proptest! {
    #[test]
    fn traffic_is_the_same_in_any_pieces(
        frames in vec(frame(), 0..16),
        cuts in vec(any::<Index>(), 0..8),
        publisher in any::<bool>(),
    ) {
        let (ours, theirs) = if publisher {
            (SocketType::Xpub, SocketType::Sub)
        } else {
            (SocketType::Router, SocketType::Dealer)
        };
        let open = || Scene::open(small(ours), theirs, 1);
        assert_pieces_do_not_matter(open, &frames.concat(), &cuts);
    }

    #[test]
    fn any_bytes_in_place_of_a_greeting(
        bytes in vec(any::<u8>(), 0..200),
        cuts in vec(any::<Index>(), 0..4),
    ) {
        let new = || Scene::new(small(SocketType::Router));
        assert_pieces_do_not_matter(new, &bytes, &cuts);
    }

    #[test]
    fn any_bytes_in_place_of_a_handshake(
        command in vec(any::<u8>(), 0..100),
        framed in any::<bool>(),
        cuts in vec(any::<Index>(), 0..4),
    ) {
        let mut bytes = greeting(3, 1);
        if framed {
            bytes.extend([4, command.len() as u8 + 6, 5]);
            bytes.extend(b"READY");
        }
        bytes.extend(command);
        let new = || Scene::new(small(SocketType::Router));
        assert_pieces_do_not_matter(new, &bytes, &cuts);
    }

    #[test]
    fn messages_come_out_as_they_went_in(
        sent in vec(vec(vec(any::<u8>(), 0..280), 1..3), 0..10),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let sent: Vec<Message> = sent.iter().map(Message::from_frames).collect();
        let bytes: Vec<u8> = sent.iter().flat_map(|message| message.encoded().to_vec()).collect();

        let scene = Scene::open(small(SocketType::Router), SocketType::Dealer, 1);
        let (events, _, outcome) = play(scene, &pieces(&bytes, &cuts));

        prop_assert_eq!(outcome, Ok(()));
        prop_assert_eq!(events, sent.into_iter().map(Event::Message).collect::<Vec<_>>());
    }
}

/// What a SUB made of the bytes, with runs taken apart, and how many messages the longest run had.
fn play_as(handover: Handover, pieces: &[&[u8]]) -> (Outcome, usize) {
    let config = SessionConfig {
        handover,
        ..small(SocketType::Sub)
    };
    let (events, sent, outcome) = play(Scene::open(config, SocketType::Pub, 1), pieces);
    let mut longest = 0;
    let mut messages = Vec::new();
    for event in events {
        if let Event::Run(run) = &event {
            longest = longest.max(run.message_count());
            assert_eq!(run.parts().count(), run.message_count());
            messages.extend(run.parts().map(|part| Event::Message(run.message(&part))));
        } else {
            messages.push(event);
        }
    }
    ((messages, sent, outcome), longest)
}

proptest! {
    #[test]
    fn runs_are_the_messages_one_by_one(
        frames in vec(frame(), 0..16),
        cuts in vec(any::<Index>(), 0..8),
    ) {
        let bytes = frames.concat();
        let pieces = pieces(&bytes, &cuts);
        let (one_by_one, none) = play_as(Handover::Messages, &pieces);
        let (in_runs, _) = play_as(Handover::Runs, &pieces);
        prop_assert_eq!(none, 0);
        prop_assert_eq!(in_runs, one_by_one);
    }
}

#[test]
fn messages_that_are_there_are_one_run() {
    let messages = [&["a", "1"][..], &["b"], &["c", "", "3"]].map(Message::from_frames);
    let bytes = Run::from_messages(&messages).encoded().to_vec();
    let ((events, _, outcome), longest) = play_as(Handover::Runs, &[&bytes]);
    assert_eq!(outcome, Ok(()));
    assert_eq!(events, messages.map(Event::Message));
    assert_eq!(longest, 3);
}

#[test]
fn a_publishing_socket_reads_subscriptions_whatever_its_handover() {
    let config = SessionConfig {
        handover: Handover::Runs,
        ..small(SocketType::Xpub)
    };
    let mut scene = Scene::open(config, SocketType::Sub, 0);
    let subscription = Subscription::Subscribe(Bytes::from_static(b"t"));
    let events = scene.receive(b"\x00\x02\x01t");
    assert_eq!(events, Ok(vec![Event::Subscription(subscription)]));
}

fn receive_frames(contents: &[usize]) -> Result<Vec<Event>, Violation> {
    let message = Message::from_frames(contents.iter().map(|len| vec![0; *len]));
    Scene::open(small(SocketType::Router), SocketType::Dealer, 1).receive(message.encoded())
}

#[test]
fn a_message_at_every_limit_is_read_and_one_beyond_is_not() {
    assert!(receive_frames(&[300]).is_ok());
    assert_eq!(
        receive_frames(&[301]),
        Err(Violation::FrameTooLarge {
            announced_bytes: 301,
            limit_bytes: 300
        })
    );
    assert!(receive_frames(&[1; 6]).is_ok());
    assert_eq!(
        receive_frames(&[1; 7]),
        Err(Violation::TooManyFrames { limit: 6 })
    );
    assert!(receive_frames(&[291, 291, 198]).is_ok());
    assert_eq!(
        receive_frames(&[291, 291, 199]),
        Err(Violation::MessageTooLarge { limit_bytes: 800 })
    );
}

#[test]
fn a_message_that_commands_interrupt_is_held_to_the_same_limits() {
    let mut scene = Scene::open(small(SocketType::Router), SocketType::Dealer, 1);
    let mut frame = BytesMut::new();
    Message::encode_frame(&mut frame, &[0; 291], true);
    frame.extend_from_slice(b"\x04\x05\x04PONG");

    scene.receive(&frame).unwrap();
    scene.receive(&frame).unwrap();

    let violation = scene.receive(&frame).unwrap_err();
    assert_eq!(violation.reason(), "message_too_large");
}

#[test]
fn every_type_accepts_whom_accepts_it() {
    for ours in SocketType::ALL {
        for theirs in SocketType::ALL {
            assert_eq!(
                ours.accepts().contains(&theirs),
                theirs.accepts().contains(&ours),
                "{ours} and {theirs}"
            );
        }
    }
}

#[test]
fn two_sessions_agree() {
    let mut server = Scene::new(SessionConfig::new(Side::Binding, SocketType::Router));
    let mut client = Scene::new(SessionConfig {
        identity: Identity::new(b"me").unwrap(),
        ..SessionConfig::new(Side::Connecting, SocketType::Dealer)
    });
    let mut events = Vec::new();
    for _ in 0..3 {
        events.extend(server.receive(&client.transmit()).unwrap());
        events.extend(client.receive(&server.transmit()).unwrap());
    }

    let peer = |socket_type, identity: &[u8]| {
        Event::Ready(Peer {
            version: Version::OURS,
            socket_type,
            identity: Identity::new(identity).unwrap(),
        })
    };
    assert_eq!(
        events,
        [
            peer(SocketType::Dealer, b"me"),
            peer(SocketType::Router, b"")
        ]
    );
}
