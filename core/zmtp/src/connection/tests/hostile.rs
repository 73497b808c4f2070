//! Peers that mean harm, or are dead.

use tokio::time::Instant;

use super::*;
use crate::Violation;

#[tokio::test(start_paused = true)]
async fn the_73_bytes_close_only_their_own_connection() {
    let mut honest = Scene::open(4).await;
    let mut attack = Scene::new(4);
    attack.write(GREETING).await;
    attack.write(b"\x02\0\0\x40\0\0\0\0\0").await;
    assert_eq!(attack.closed().await, Violation::Handshake.into());

    let mut attack = Scene::open(4).await;
    attack.write(b"\x02\0\0\x40\0\0\0\0\0").await;
    let reason = attack.closed().await;
    assert_eq!(reason.reason(), "frame_too_large");
    assert_eq!(attack.read_to_end().await, b"");

    honest.write(&encoded(&[numbered(1)])).await;
    assert_eq!(honest.messages().await, [numbered(1)]);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_a_violation_is_delivered() {
    let mut scene = Scene::open(4).await;
    scene.write(b"\x00\x01x\xFF\xFF").await;

    assert_eq!(scene.messages().await, [Message::from_frames(["x"])]);
    assert_eq!(
        scene.closed().await,
        Violation::ReservedFlags { flags: 0xFF }.into()
    );
}

#[tokio::test(start_paused = true)]
async fn one_byte_a_second_is_closed_at_the_deadline_of_the_handshake() {
    let mut scene = Scene::new(4);
    let begin = Instant::now();
    let Scene { mut peer, .. } = scene;
    tokio::spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        for byte in GREETING {
            second.tick().await;
            if peer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
    });
    (scene.peer, _) = UnixStream::pair().unwrap();

    assert_eq!(scene.closed().await, Violation::HandshakeTimeout.into());
    assert_eq!(begin.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_socket_type_gets_an_error_and_then_the_end() {
    let mut scene = Scene::new(4);
    scene.write(GREETING).await;
    scene
        .write(b"\x04\x19\x05READY\x0BSocket-Type\0\0\0\x03PUB")
        .await;

    let error = b"\x04\x1A\x05ERROR\x13Invalid socket type";
    assert_eq!(scene.read_to_end().await, [&GREETING[..], error].concat());
    assert_eq!(scene.closed().await.reason(), "socket_type");
}

#[tokio::test(start_paused = true)]
async fn other_violations_are_closed_without_an_error() {
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "greeting"),
        (b"\xFF\0\0\0\0\0\0\0\x01\x7F\x02", "version"),
        (b"\xFF\0\0\0\0\0\0\0\0\x7F\x03\x01CURVE\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "mechanism"),
    ] {
        let mut scene = Scene::new(4);
        scene.write(bytes).await;

        assert_eq!(scene.closed().await.reason(), reason);
        assert_eq!(scene.read(64).await, GREETING);
    }
}

#[tokio::test(start_paused = true)]
async fn a_half_open_peer_is_found_by_ping() {
    let mut scene = Scene::open(4).await;
    let begin = Instant::now();

    assert_eq!(scene.closed().await, Violation::Silent.into());
    assert_eq!(begin.elapsed().as_millis() / 100, 45);
    assert_eq!(scene.read_to_end().await, [PING, PING].concat());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_pings_stays() {
    let mut scene = Scene::open(4).await;
    for _ in 0..100 {
        assert_eq!(scene.read(PING.len()).await, PING);
        scene.write(PONG).await;
    }

    assert!(scene.notices.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_evicted_after_5_s_and_not_as_silent() {
    let mut scene = Scene::open(4).await;
    scene
        .outbox()
        .send(batch(&[Message::from_frames([vec![0; 8 * 1024 * 1024]])]));
    let begin = Instant::now();

    assert_eq!(scene.closed().await, CloseReason::Stalled);
    assert_eq!(begin.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_slowly_stays() {
    let mut scene = Scene::open(4).await;
    let sent = Message::from_frames([vec![0; 2 * 1024 * 1024]]);
    scene.outbox().send(batch(std::slice::from_ref(&sent)));
    let mut read = Vec::new();
    while read.len() < sent.encoded().len() {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let n = (sent.encoded().len() - read.len()).min(300 * 1024);
        read.extend(scene.read(n).await);
    }

    assert_eq!(read, &sent.encoded()[..]);
    assert_eq!(scene.notice().await, Notice::Drained { key: KEY });
}

#[tokio::test(start_paused = true)]
async fn pings_from_a_peer_that_does_not_read_pile_up_nothing() {
    let mut scene = Scene::open(4).await;
    let large = Message::from_frames([vec![0; 2 * 1024 * 1024]]);
    scene.outbox().send(batch(&[large]));
    for _ in 0..50 {
        scene.write(&PING.repeat(1000)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    assert!(scene.outbox().backlog_bytes() <= 2 * 1024 * 1024 + 9);
}
