//! Ends that the owner or the peer asks for.

use super::*;
use crate::Violation;

fn large() -> Message {
    Message::from_frames([vec![3; 2 * 1024 * 1024]])
}

#[tokio::test(start_paused = true)]
async fn closing_writes_everything_first() {
    let mut scene = Scene::open(4).await;
    scene.outbox().send(batch(&[large()]));
    scene.outbox().close(Duration::from_secs(10));
    scene.outbox = None;

    assert_eq!(scene.read_to_end().await, &large().encoded()[..]);
    scene.peer.shutdown().await.unwrap();
    assert_eq!(scene.notice().await, Notice::Drained { key: KEY });
    assert_eq!(scene.closed().await, CloseReason::Requested);
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_sends_while_it_is_closed_is_discarded() {
    let mut scene = Scene::open(4).await;
    scene.outbox().close(Duration::from_secs(10));
    assert_eq!(scene.read_to_end().await, b"");
    scene.write(&encoded(&[large()])).await;

    assert_eq!(scene.closed().await, CloseReason::Requested);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_delays_a_close_by_the_linger_at_most() {
    let mut scene = Scene::open(4).await;
    scene.outbox().send(batch(&[large()]));
    let begin = tokio::time::Instant::now();
    scene.outbox().close(Duration::from_secs(2));

    assert_eq!(scene.closed().await, CloseReason::LingerExpired);
    assert_eq!(begin.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn closing_without_linger_writes_what_the_socket_takes_at_once() {
    let mut scene = Scene::open(4).await;
    scene.send(&[b"bye"]);
    scene.outbox().close(Duration::ZERO);

    assert_eq!(scene.closed().await, CloseReason::Requested);
    assert_eq!(scene.read_to_end().await, b"\x00\x03bye");
}

#[tokio::test(start_paused = true)]
async fn closing_before_the_handshake_is_done() {
    let mut scene = Scene::new(4);
    scene.send(&[b"never"]);
    scene.outbox().close(Duration::from_secs(1));

    assert_eq!(scene.read_to_end().await, GREETING);
    assert_eq!(scene.closed().await, CloseReason::Requested);
}

#[tokio::test(start_paused = true)]
async fn closing_works_while_nobody_takes_notices() {
    let mut scene = Scene::open(1).await;
    let messages: Vec<Message> = (0..600).map(numbered).collect();
    scene.write(&encoded(&messages)).await;
    scene.send(&[b"last"]);
    scene.outbox().close(Duration::from_secs(1));

    assert_eq!(scene.read_to_end().await, b"\x00\x04last");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_outbox_ends_the_connection() {
    let mut scene = Scene::open(4).await;
    scene.outbox = None;

    assert_eq!(scene.closed().await, CloseReason::Abandoned);
    assert_eq!(scene.read_to_end().await, b"");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_receiver_ends_the_connection() {
    let mut scene = Scene::open(4).await;
    scene.notices.close();
    scene.write(&encoded(&[numbered(1)])).await;

    assert_eq!(scene.read_to_end().await, b"");
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_sent_before_it_closed_is_delivered() {
    let mut scene = Scene::open(4).await;
    let sent: Vec<Message> = (0..3000).map(numbered).collect();
    scene.write(&encoded(&sent)).await;
    scene.peer.shutdown().await.unwrap();

    let mut received = Vec::new();
    while received.len() < sent.len() {
        received.extend(scene.messages().await);
    }
    assert_eq!(received, sent);
    assert_eq!(scene.closed().await, CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_closes_before_its_greeting() {
    let mut scene = Scene::new(1);
    scene.peer.shutdown().await.unwrap();

    assert_eq!(scene.closed().await, CloseReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn an_ended_connection_takes_no_backlog() {
    let mut scene = Scene::open(4).await;
    scene.peer.shutdown().await.unwrap();
    scene.closed().await;

    scene.send(&[b"late"]);

    assert_eq!(scene.outbox().backlog_bytes(), 0);
}

#[test]
fn reasons_are_listed_and_differ() {
    let mut reasons = [&Violation::REASONS[..], &CloseReason::REASONS].concat();
    let count = reasons.len();
    reasons.sort_unstable();
    reasons.dedup();

    assert_eq!(reasons.len(), count);
    for reason in [
        Violation::HandshakeTimeout.into(),
        Violation::StalledMessage.into(),
        Violation::Silent.into(),
        Violation::TimeToLive.into(),
        Violation::MessageTooLarge { limit_bytes: 1 }.into(),
        Violation::TooManyFrames { limit: 1 }.into(),
        CloseReason::PeerClosed,
        CloseReason::Io(std::io::ErrorKind::BrokenPipe),
        CloseReason::Stalled,
        CloseReason::Requested,
        CloseReason::LingerExpired,
        CloseReason::Abandoned,
    ] {
        assert!(reasons.contains(&reason.reason()), "{reason}");
    }
}
