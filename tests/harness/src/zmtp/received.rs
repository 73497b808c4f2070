//! One session that receives any bytes, at once and in pieces.

use std::sync::Arc;

use arbitrary::Arbitrary;
use plantd_zmtp::{
    Event, Handover, Incoming, Session, SessionConfig, Side, SocketType, Subscription, Violation,
};

use super::config;
use crate::clock;
use crate::input::{Which, read};

/// Bytes, and where they are split.
#[derive(Debug, Arbitrary)]
struct Pieces<'a> {
    lengths: [u8; 3],
    bytes: &'a [u8],
}

/// What comes of received bytes.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: Vec<Event>,
    violation: Option<Violation>,
    is_ready: bool,
}

impl Pieces<'_> {
    /// Gives a session all of the bytes after an opening, in pieces and at once, and checks that
    /// this makes no difference.
    fn received(&self, config: SessionConfig, opening: &[u8]) -> Outcome {
        let config = Arc::new(config);
        let at_once = [opening, self.bytes].concat();
        let whole = receive(&config, [&at_once[..]]);
        let mut rest = &at_once[..];
        let mut lengths = self.lengths.iter().cycle();
        let pieces = std::iter::from_fn(|| {
            let next = usize::from(*lengths.next()?) + 1;
            let (piece, after) = rest.split_at(next.min(rest.len()));
            rest = after;
            (!piece.is_empty()).then_some(piece)
        });
        assert_eq!(receive(&config, pieces), whole);
        whole
    }
}

fn receive<'a>(config: &Arc<SessionConfig>, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let now = clock::start();
    let mut session = Session::new(Arc::clone(config), now);
    let mut incoming = Incoming::new();
    let mut events = Vec::new();
    let mut violation = None;
    for piece in pieces {
        incoming.extend_from_slice(piece);
        session.handle_received(now);
        loop {
            match session.decode(&mut incoming) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(found) => {
                    violation = Some(found);
                    break;
                }
            }
        }
        let said = session.poll_transmit().map_or(0, |said| said.len());
        assert!(said < 8 * 1024, "{said} bytes are said to one piece");
        if violation.is_some() {
            break;
        }
        let most = config.limits.message_bytes + config.limits.frames * 9;
        assert!(
            session.held_bytes() <= most,
            "a message over the limits is kept"
        );
        let unread = incoming.len_bytes();
        let most = piece.len().max(most).max(config.limits.handshake_bytes);
        assert!(unread <= most, "{unread} bytes are left undecoded");
    }
    check_limits(config, &events);
    Outcome {
        events,
        violation,
        is_ready: session.is_ready(),
    }
}

fn check_limits(config: &SessionConfig, events: &[Event]) {
    for (index, event) in events.iter().enumerate() {
        match event {
            Event::Ready(peer) => {
                assert_eq!(index, 0, "READY comes first and once");
                assert!(config.socket_type.accepts().contains(&peer.socket_type));
            }
            Event::Message(message) => {
                assert!((1..=config.limits.frames).contains(&message.frame_count()));
                assert!(message.body_bytes() <= config.limits.message_bytes);
                let largest = message.frames().map(<[u8]>::len).max();
                assert!(largest <= Some(config.limits.frame_bytes));
            }
            Event::Subscription(Subscription::Subscribe(topic) | Subscription::Cancel(topic)) => {
                assert!(topic.len() <= config.limits.command_bytes);
            }
            Event::Run(_) => assert_eq!(config.handover, Handover::Runs),
            Event::Marked(_) | Event::Ignored => {}
        }
    }
}

fn opening(minor: u8, socket_type: &str) -> Vec<u8> {
    let mut bytes = greeting_of(minor).to_vec();
    bytes.extend([4, (6 + 12 + 4 + socket_type.len()) as u8]);
    bytes.extend(b"\x05READY\x0bSocket-Type");
    bytes.extend((socket_type.len() as u32).to_be_bytes());
    bytes.extend(socket_type.as_bytes());
    bytes
}

fn greeting_of(minor: u8) -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[0] = 0xff;
    greeting[9] = 0x7f;
    greeting[10] = 3;
    greeting[11] = minor;
    greeting[12..16].copy_from_slice(b"NULL");
    greeting
}

/// A greeting is taken exactly if it is one of ZMTP 3 with our mechanism.
pub fn greeting(bytes: &[u8]) {
    let Some(pieces) = read::<Pieces<'_>>(bytes) else {
        return;
    };
    let outcome = pieces.received(config(Side::Binding, SocketType::Router), &[]);
    let is_greeting = pieces.bytes.first_chunk::<64>().is_some_and(|greeting| {
        let mechanism = &greeting_of(1)[12..32];
        greeting[0] == 0xff
            && greeting[9] == 0x7f
            && greeting[10] >= 3
            && greeting[12..32] == *mechanism
    });
    let is_refused = matches!(
        outcome.violation,
        Some(Violation::Greeting | Violation::Version { .. } | Violation::Mechanism { .. })
    );
    assert!(!(is_greeting && is_refused), "{outcome:?}");
    assert!(is_greeting || outcome.events.is_empty(), "{outcome:?}");
}

/// After the greeting, whatever the side and the types of sockets.
pub fn handshake(bytes: &[u8]) {
    let Some((is_binding, ours, minor, pieces)) = read::<(bool, Which, u8, Pieces<'_>)>(bytes)
    else {
        return;
    };
    let side = if is_binding {
        Side::Binding
    } else {
        Side::Connecting
    };
    let ours = ours.of(&SocketType::ALL).expect("there are types");
    let outcome = pieces.received(config(side, ours), &greeting_of(minor));
    assert_eq!(outcome.is_ready, !outcome.events.is_empty());
}

/// After the handshake, as a ROUTER hears it.
pub fn traffic(bytes: &[u8]) {
    let Some((minor, pieces)) = read::<(u8, Pieces<'_>)>(bytes) else {
        return;
    };
    let opening = opening(minor, "DEALER");
    let outcome = pieces.received(config(Side::Binding, SocketType::Router), &opening);
    assert!(outcome.is_ready);
    let of_xpub = |event: &Event| matches!(event, Event::Subscription(_));
    assert!(!outcome.events.iter().any(of_xpub));
    let runs = SessionConfig {
        handover: Handover::Runs,
        ..config(Side::Binding, SocketType::Router)
    };
    let whole = [&opening[..], pieces.bytes].concat();
    let in_runs = receive(&Arc::new(runs), [&whole[..]]);
    assert_eq!(in_runs.violation, outcome.violation);
    assert_eq!(encoded(&in_runs.events), encoded(&outcome.events));
}

/// All messages as they came, however they were handed over.
fn encoded(events: &[Event]) -> Vec<u8> {
    let bytes = events.iter().map(|event| match event {
        Event::Message(message) => &message.encoded()[..],
        Event::Run(run) => run.encoded(),
        Event::Ready(_) | Event::Subscription(_) | Event::Marked(_) | Event::Ignored => &[],
    });
    bytes.collect::<Vec<_>>().concat()
}

/// After the handshake, as an XPUB hears it.
pub fn subscriptions(bytes: &[u8]) {
    let Some((minor, pieces)) = read::<(u8, Pieces<'_>)>(bytes) else {
        return;
    };
    let opening = opening(minor, "SUB");
    let outcome = pieces.received(config(Side::Binding, SocketType::Xpub), &opening);
    assert!(outcome.is_ready);
    for event in &outcome.events {
        if let Event::Message(message) = event {
            let first = message.frames().next().and_then(<[u8]>::first);
            let subscribes = message.frame_count() == 1 && matches!(first, Some(0 | 1));
            assert!(!subscribes, "{message:?} is a subscription");
        }
    }
}
