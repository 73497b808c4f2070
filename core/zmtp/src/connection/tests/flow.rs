//! Messages in and out, batching and backpressure.

use super::*;
use crate::Subscription;

#[tokio::test(start_paused = true)]
async fn what_comes_in_one_read_is_one_notice() {
    let mut scene = Scene::open(4).await;
    let sent = [
        numbered(1),
        Message::from_frames(["a", "", "c"]),
        numbered(2),
    ];
    scene.write(&encoded(&sent)).await;

    assert_eq!(scene.messages().await, sent);
}

#[tokio::test(start_paused = true)]
async fn a_turn_takes_in_at_most_256_messages() {
    let mut scene = Scene::open(64).await;
    let sent: Vec<Message> = (0..5000).map(numbered).collect();
    scene.write(&encoded(&sent)).await;

    let mut received = Vec::new();
    while received.len() < sent.len() {
        let messages = scene.messages().await;
        assert!((1..=TURN_MESSAGES).contains(&messages.len()));
        received.extend(messages);
    }
    assert_eq!(received, sent);
}

#[tokio::test(start_paused = true)]
async fn batches_are_written_in_order() {
    let mut scene = Scene::open(4).await;
    let large = Message::from_frames([vec![1; 5000]]);
    scene.outbox().send(batch(&[numbered(1), large.clone()]));
    scene.outbox().send(batch(&[numbered(2)]));

    let expected = encoded(&[numbered(1), large, numbered(2)]);
    assert_eq!(scene.read(expected.len()).await, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_early_waits_for_the_handshake() {
    let mut scene = Scene::new(4);
    scene.send(&[b"early"]);

    scene.shake_hands().await;

    assert_eq!(scene.read(7).await, b"\x00\x05early");
}

#[tokio::test(start_paused = true)]
async fn a_command_is_answered_between_messages() {
    let mut scene = Scene::open(4).await;
    scene.write(PING).await;

    assert_eq!(scene.read(PONG.len()).await, PONG);
}

#[tokio::test(start_paused = true)]
async fn unknown_commands_are_counted_in_one_notice() {
    let mut scene = Scene::open(4).await;
    scene.write(&b"\x04\x02\x01Z".repeat(3)).await;

    let notice = scene.notice().await;
    assert_eq!(
        notice,
        Notice::Ignored {
            key: KEY,
            commands: 3
        }
    );
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_told_to_publishers() {
    let (near, mut peer) = UnixStream::pair().unwrap();
    let config = SessionConfig::new(Side::Binding, SocketType::Xpub);
    let (connection, _outbox) = Connection::new(near.into(), Arc::new(config));
    let (sender, mut notices) = mpsc::channel(4);
    tokio::spawn(connection.run(KEY, sender));
    let ready = b"\x04\x19\x05READY\x0BSocket-Type\0\0\0\x03SUB";
    let change = b"\x04\x0B\x09SUBSCRIBEA";
    peer.write_all(&[&GREETING[..], ready, change].concat())
        .await
        .unwrap();

    let opened = notices.recv().await.unwrap();
    assert!(matches!(
        opened,
        Notice::Opened {
            peer: Peer {
                socket_type: SocketType::Sub,
                ..
            },
            ..
        }
    ));
    assert_eq!(
        notices.recv().await.unwrap(),
        Notice::Subscriptions {
            key: KEY,
            changes: vec![Subscription::Subscribe("A".into())]
        }
    );
}

/// A connection of a socket of this type to a peer of that type and minor version, whose handshake
/// is done.
async fn subscribing(minor: u8) -> (Outbox, UnixStream, mpsc::Receiver<Notice<u32>>) {
    let (near, mut peer) = UnixStream::pair().unwrap();
    let config = SessionConfig::new(Side::Connecting, SocketType::Sub);
    let (connection, outbox) = Connection::new(near.into(), Arc::new(config));
    let (sender, mut notices) = mpsc::channel(4);
    tokio::spawn(connection.run(KEY, sender));
    outbox.change_subscriptions(vec![Subscription::Subscribe("A".into())]);
    outbox.mark(258);
    let mut greeting = *GREETING;
    greeting[11] = minor;
    let ready = b"\x04\x1A\x05READY\x0BSocket-Type\0\0\0\x04XPUB";
    peer.write_all(&[&greeting[..], ready].concat())
        .await
        .unwrap();
    let our_ready = b"\x04\x19\x05READY\x0BSocket-Type\0\0\0\x03SUB";
    let mut handshake = vec![0; GREETING.len() + our_ready.len()];
    peer.read_exact(&mut handshake).await.unwrap();
    assert!(matches!(
        notices.recv().await.unwrap(),
        Notice::Opened { .. }
    ));
    (outbox, peer, notices)
}

async fn read(peer: &mut UnixStream, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    peer.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, expected);
}

#[tokio::test(start_paused = true)]
async fn a_peer_of_3_1_is_sent_commands_and_says_what_it_has_read() {
    let (outbox, mut peer, mut notices) = subscribing(1).await;
    read(&mut peer, b"\x04\x0B\x09SUBSCRIBEA").await;
    read(&mut peer, b"\x04\x0F\x04PING\0\0\0\0\0\0\0\0\x01\x02").await;
    peer.write_all(b"\x04\x0D\x04PONG\0\0\0\0\0\0\x01\x02")
        .await
        .unwrap();
    let marked = Notice::Marked {
        key: KEY,
        mark: 258,
    };
    assert_eq!(notices.recv().await, Some(marked));

    outbox.change_subscriptions(vec![Subscription::Cancel("A".into())]);
    read(&mut peer, b"\x04\x08\x06CANCELA").await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_of_3_0_is_sent_messages_and_its_marks_come_when_they_are_written() {
    let (outbox, mut peer, mut notices) = subscribing(0).await;
    let marked = |mark| Some(Notice::Marked { key: KEY, mark });
    assert_eq!(notices.recv().await, marked(258));
    read(&mut peer, b"\0\x02\x01A").await;
    outbox.change_subscriptions(vec![Subscription::Cancel("A".into())]);
    read(&mut peer, b"\0\x02\0A").await;

    // More than the socket takes: the mark comes when the peer has read enough of it.
    let large = Message::from_frames([vec![0; 4 * 1024 * 1024]]);
    outbox.send(batch(std::slice::from_ref(&large)));
    outbox.mark(259);
    read(&mut peer, large.encoded()).await;
    assert_eq!(notices.recv().await, Some(Notice::Drained { key: KEY }));
    assert_eq!(notices.recv().await, marked(259));
}

#[tokio::test(start_paused = true)]
async fn a_full_channel_of_notices_stops_reading_and_nothing_else() {
    let mut scene = Scene::open(1).await;
    let frame = vec![0; 1000];
    let sent: Vec<Message> = (0..4000_u32)
        .map(|n| Message::from_frames([&n.to_be_bytes()[..], &frame]))
        .collect();
    let bytes = encoded(&sent);
    let (mut reader, mut writer) = scene.peer.into_split();
    let (all_written, mut is_written) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        writer.write_all(&bytes).await.unwrap();
        all_written.send(()).unwrap();
        std::future::pending::<()>().await;
    });

    // The peer is stuck in its write when this has come, and gets signs of life.
    let mut outgoing = vec![0; 7 + PONG.len()];
    scene
        .outbox
        .as_ref()
        .unwrap()
        .send(batch(&[Message::from_frames(["still"])]));
    reader.read_exact(&mut outgoing).await.unwrap();
    assert_eq!(outgoing, [b"\x00\x05still", PONG].concat());
    assert!(is_written.try_recv().is_err());

    let mut received = Vec::new();
    while received.len() < sent.len() {
        let Some(Notice::Messages { messages, .. }) = scene.notices.recv().await else {
            panic!("no messages after {}", received.len());
        };
        received.extend(messages);
    }
    assert_eq!(received, sent);
    is_written.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_paused_connection_reads_when_it_is_resumed() {
    let mut scene = Scene::open(4).await;
    scene.outbox().pause_reading();
    scene.write(&encoded(&[numbered(1)])).await;
    // Four signs of life later, which is longer than silence may be.
    assert_eq!(scene.read(4 * PONG.len()).await, PONG.repeat(4));
    assert!(scene.notices.try_recv().is_err());

    scene.outbox().resume_reading();

    assert_eq!(scene.messages().await, [numbered(1)]);
}

#[tokio::test(start_paused = true)]
async fn a_high_backlog_is_told_once_when_it_is_low_again() {
    let mut scene = Scene::open(4).await;
    let large = Message::from_frames([vec![1; 600 * 1024]]);
    let sent = encoded(&[large.clone(), large.clone(), large.clone()]);
    scene
        .outbox()
        .send(batch(&[large.clone(), large.clone(), large]));
    assert_eq!(scene.outbox().backlog_bytes(), sent.len());

    assert_eq!(scene.read(sent.len()).await, sent);

    assert_eq!(scene.notice().await, Notice::Drained { key: KEY });
    assert_eq!(scene.outbox().backlog_bytes(), 0);
    scene.outbox().close(Duration::ZERO);
    assert_eq!(scene.closed().await, CloseReason::Requested);
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_4_mib_comes_through() {
    let mut scene = Scene::open(64).await;
    let sent = Message::from_frames([vec![5; 4 * 1024 * 1024], b"tail".to_vec()]);
    let (mut reader, mut writer) = scene.peer.into_split();
    let bytes = sent.encoded().clone();
    tokio::spawn(async move {
        writer.write_all(&bytes).await.unwrap();
        std::future::pending::<()>().await;
    });

    let Some(Notice::Messages { messages, .. }) = scene.notices.recv().await else {
        panic!("no message");
    };
    assert_eq!(messages, std::slice::from_ref(&sent));

    scene.outbox.as_ref().unwrap().send(batch(&messages));
    let mut echo = vec![0; sent.encoded().len()];
    reader.read_exact(&mut echo).await.unwrap();
    assert_eq!(echo, &sent.encoded()[..]);
}
