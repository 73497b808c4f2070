//! A message beside a list of frames.

use std::sync::Arc;

use plantd_zmtp::{
    Batch, Event, Incoming, Message, Session, SessionConfig, Side, SocketType, encoded_frame_bytes,
};

use crate::clock;
use crate::input::read;
use crate::wire;

/// Every way to look at a message shows the same frames.
pub fn message(bytes: &[u8]) {
    let Some((frames, others)) = read::<(Vec<&[u8]>, Vec<&[u8]>)>(bytes) else {
        return;
    };
    let message = Message::from_frames(&frames);
    assert_eq!(shown(&message), frames);
    assert_eq!(message.frame_count(), frames.len());
    assert_eq!(message.is_empty(), frames.is_empty());
    assert_eq!(message.body_bytes(), frames.concat().len());
    let encoded: usize = frames
        .iter()
        .map(|frame| encoded_frame_bytes(frame.len()))
        .sum();
    assert_eq!(message.encoded().len(), encoded);
    assert!(message.held_bytes() >= encoded);
    assert_eq!(wire::read(message.encoded()), message);

    let mut walk = message.frames();
    for skipped in 0..=frames.len() {
        assert_eq!(shown(&message.skip_frames(skipped)), frames[skipped..]);
        assert_eq!(shown(&message.rest(&walk)), frames[skipped..]);
        let frame = message.frame_bytes(skipped);
        assert_eq!(frame.as_deref(), frames.get(skipped).copied());
        assert_eq!(walk.next(), frames.get(skipped).copied());
    }
    assert!(message.skip_frames(frames.len() + 1).is_empty());

    let other = Message::from_frames(&others);
    let both = Message::concat([&message, &other]);
    assert_eq!(shown(&both), [frames, others].concat());
    for kept in [message.clone().into_held(), both.skip_frames(1).into_held()] {
        assert!(kept.encoded().len() * 4 >= kept.held_bytes() || kept.is_empty());
    }
    if !both.is_empty() {
        assert_eq!(received(&both), both);
    }
}

fn shown(message: &Message) -> Vec<&[u8]> {
    message.frames().collect()
}

/// What a session makes of a message that another one was given.
fn received(message: &Message) -> Message {
    let mut batch = Batch::new();
    batch.push_message(message);
    assert_eq!(batch.len_bytes(), message.encoded().len());
    let now = clock::start();
    let mut sessions = [Side::Binding, Side::Connecting].map(|side| {
        let mut config = SessionConfig::new(side, SocketType::Pair);
        config.limits.frames = usize::MAX;
        Session::new(Arc::new(config), now)
    });
    let mut incoming = [Incoming::new(), Incoming::new()];
    // Greetings, and READY in turn.
    for (from, to) in [(0, 1), (1, 0), (0, 1)] {
        incoming[to].extend_from_slice(&sessions[from].poll_transmit().unwrap_or_default());
        let _ready = sessions[to]
            .decode(&mut incoming[to])
            .expect("sessions agree");
    }
    let [mut session, _] = sessions;
    let [mut incoming, _] = incoming;
    incoming.extend_from_slice(message.encoded());
    match session.decode(&mut incoming) {
        Ok(Some(Event::Message(received))) => received,
        other => panic!("{message:?} was received as {other:?}"),
    }
}
