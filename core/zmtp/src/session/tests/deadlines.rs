//! Handshake, heartbeat, time to live and progress, in virtual time.

use std::time::Duration;

use super::*;

const PING: &[u8] = b"\x04\x07\x04PING\0\0";
const PONG: &[u8] = b"\x04\x05\x04PONG";

/// A PING with a TTL in tenths of seconds.
fn ping_with_ttl(tenths: u8) -> Vec<u8> {
    [b"\x04\x07\x04PING\0".as_slice(), &[tenths]].concat()
}

impl Scene {
    /// Lets time pass, doing what is due when it is due.
    fn pass(&mut self, duration: Duration) -> Result<Vec<u8>, Violation> {
        self.pass_with_outbox(duration, true)
    }

    fn pass_with_outbox(
        &mut self,
        duration: Duration,
        is_empty: bool,
    ) -> Result<Vec<u8>, Violation> {
        let end = self.now + duration;
        let mut sent = Vec::new();
        while let Some(due) = self.session.poll_timeout()
            && due <= end
        {
            self.now = due;
            self.session.handle_timeout(due, is_empty)?;
            sent.extend(self.transmit());
        }
        self.now = end;
        Ok(sent)
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn a_handshake_that_is_not_done_in_5_s_is_closed() {
    let handshake = [greeting(3, 1), ready("DEALER")].concat();
    for received in 0..handshake.len() {
        let mut scene = Scene::new(SessionConfig::new(Side::Binding, SocketType::Router));
        scene.receive(&handshake[..received]).unwrap();
        scene.pass(ms(4999)).unwrap();

        assert_eq!(scene.pass(ms(1)), Err(Violation::HandshakeTimeout));
    }
}

#[test]
fn one_byte_a_second_does_not_extend_the_handshake() {
    let mut scene = Scene::new(SessionConfig::new(Side::Binding, SocketType::Router));
    for byte in &greeting(3, 1)[..4] {
        scene.receive(&[*byte]).unwrap();
        scene.pass(ms(1000)).unwrap();
    }

    assert_eq!(scene.pass(ms(1000)), Err(Violation::HandshakeTimeout));
}

#[test]
fn a_silent_peer_is_asked_twice_and_closed_after_4500_ms() {
    let mut scene = Scene::router(1);

    assert_eq!(scene.pass(ms(1499)).unwrap(), b"");
    assert_eq!(scene.pass(ms(1)).unwrap(), PING);
    assert_eq!(scene.pass(ms(1499)).unwrap(), b"");
    assert_eq!(scene.pass(ms(1)).unwrap(), PING);
    assert_eq!(scene.pass(ms(1499)).unwrap(), b"");
    assert_eq!(scene.pass(ms(1)), Err(Violation::Silent));
}

#[test]
fn any_incoming_traffic_is_a_sign_of_life() {
    for sign in [PONG, b"\x00\x01x", b"\x00"] {
        let mut scene = Scene::router(1);
        scene.pass(ms(4000)).unwrap();
        scene.receive(sign).unwrap();

        assert_eq!(scene.pass(ms(1499)).unwrap(), b"");
        assert_eq!(scene.pass(ms(1)).unwrap(), PING);
        scene.pass(ms(2999)).unwrap();
        assert_eq!(scene.pass(ms(1)), Err(Violation::Silent));
    }
}

#[test]
fn hearing_a_peer_moves_no_timer() {
    let mut scene = Scene::router(1);
    let due = scene.session.poll_timeout().unwrap();
    scene.now += ms(1000);
    scene.receive(b"\x00\x01x").unwrap();

    scene.session.handle_timeout(due, true).unwrap();

    assert_eq!(scene.transmit(), b"");
    assert_eq!(scene.session.poll_timeout(), Some(due + ms(1000)));
}

#[test]
fn peers_of_3_0_are_sent_no_ping_and_never_found_silent() {
    let mut scene = Scene::router(0);

    assert_eq!(scene.pass(ms(600_000)), Ok(Vec::new()));
    assert_eq!(scene.session.poll_timeout(), None);
}

#[test]
fn silence_is_no_reason_while_the_outbox_is_not_empty() {
    let mut scene = Scene::router(1);

    let sent = scene.pass_with_outbox(ms(20_000), false).unwrap();
    assert_eq!(sent, [PING, PING].concat());

    // Once it is empty, the peer has at most an interval left.
    assert_eq!(scene.pass(ms(1500)), Err(Violation::Silent));
}

#[test]
fn a_process_that_was_stopped_asks_before_it_closes() {
    let mut scene = Scene::router(1);
    scene.now += ms(60_000);

    scene.session.handle_timeout(scene.now, true).unwrap();

    assert_eq!(scene.transmit(), PING);
    scene.pass(ms(1499)).unwrap();
    assert_eq!(scene.pass(ms(1)), Err(Violation::Silent));
}

#[test]
fn who_is_not_read_from_is_not_silent_and_gets_signs_of_life() {
    let mut scene = Scene::router(1);
    scene.receive(b"\x00\x05par").unwrap();
    scene.session.handle_reading(false, scene.now);

    assert_eq!(scene.pass(ms(4500)).unwrap(), [PONG, PONG, PONG].concat());
    scene.pass(ms(60_000)).unwrap();

    scene.session.handle_reading(true, scene.now);
    scene.pass(ms(4499)).unwrap();
    assert_eq!(scene.pass(ms(1)), Err(Violation::Silent));
}

// "If it receives a PING command with a non-zero TTL and then does not receive any further traffic
// within that TTL."
#[test]
fn a_peers_time_to_live_is_honoured() {
    let mut scene = Scene::router(1);
    scene.receive(&ping_with_ttl(20)).unwrap();
    scene.transmit();
    scene.pass(ms(1999)).unwrap();

    assert_eq!(scene.pass(ms(1)), Err(Violation::TimeToLive));
}

#[test]
fn a_time_to_live_ends_with_further_traffic_and_holds_for_3_0_peers_too() {
    let mut scene = Scene::router(0);
    scene.receive(&ping_with_ttl(20)).unwrap();
    scene.pass(ms(1000)).unwrap();
    scene.receive(b"\x00\x01x").unwrap();
    scene.pass(ms(60_000)).unwrap();
    scene.receive(&ping_with_ttl(5)).unwrap();

    assert_eq!(scene.pass(ms(500)), Err(Violation::TimeToLive));
}

#[test]
fn a_message_that_is_left_incomplete_is_closed_after_30_s() {
    for part in [b"\x00".as_slice(), b"\x01\x01a", b"\x00\x05par"] {
        let mut scene = Scene::router(0);
        scene.receive(b"\x00\x01x").unwrap();
        scene.receive(part).unwrap();
        scene.pass(ms(29_999)).unwrap();

        assert_eq!(scene.pass(ms(1)), Err(Violation::StalledMessage));
    }
}

#[test]
fn commands_do_not_carry_an_incomplete_message_on() {
    let mut scene = Scene::router(1);
    scene.receive(b"\x01\x01a").unwrap();
    for _ in 0..29 {
        scene.pass(ms(1000)).unwrap();
        scene.receive(PONG).unwrap();
    }

    assert_eq!(scene.pass(ms(1000)), Err(Violation::StalledMessage));
}

#[test]
fn progress_carries_an_incomplete_message_on() {
    let mut scene = Scene::router(0);
    scene.receive(b"\x01\x01a").unwrap();
    scene.pass(ms(29_000)).unwrap();
    scene.receive(b"\x00\x05").unwrap();
    scene.pass(ms(29_000)).unwrap();
    // The next message is as far as this one was.
    scene.receive(b"-tail\x01\x01a\x00\x05").unwrap();
    scene.pass(ms(29_999)).unwrap();

    assert_eq!(scene.pass(ms(1)), Err(Violation::StalledMessage));
}

#[test]
fn pings_that_are_not_taken_are_not_all_answered() {
    let mut scene = Scene::router(1);
    scene.receive(&PING.repeat(10_000)).unwrap();

    assert!(scene.transmit().len() < TRANSMIT_BYTES + PONG.len());
}
