//! Links: waiting for them, losing them, choosing among them.

use super::*;

#[test]
fn requests_wait_for_a_link_and_go_in_their_order() {
    let mut bench = Bench::new();
    let link = bench.client.add_link();
    assert_eq!(bench.outputs(), [Output::Connect { link }]);
    assert_eq!(bench.ask(1, echo()), []);
    assert_eq!(bench.ask(2, echo()), []);
    assert_eq!(bench.open(link), [sent(link, 1, &[]), sent(link, 2, &[])]);
}

#[test]
fn without_a_link_a_request_fails_at_its_deadline_or_the_connect_timeout() {
    let mut bench = Bench::new();
    let deadline = bench.deadline(SECOND * 7);
    bench.ask(1, echo());
    bench.ask(2, Request { deadline, ..echo() });
    let first = bench.pass(SECOND * 5);
    assert_eq!(first, [failed(1, Failure::NotConnected)]);
    assert_eq!(bench.pass(SECOND * 2), [failed(2, Failure::NotConnected)]);
}

#[test]
fn attempts_to_connect_back_off_until_a_valid_message() {
    let mut bench = Bench::new();
    let link = bench.client.add_link();
    bench.outputs();
    let mut delays = Vec::new();
    for _ in 0..7 {
        // A link that opens and dies is a failure too.
        bench.open(link);
        bench.close(link);
        let delay = bench.client.poll_timeout().unwrap() - bench.now;
        delays.push(delay);
        assert_eq!(bench.pass(delay), [Output::Connect { link }]);
    }
    for (delay, ceiling_ms) in delays.iter().zip([100, 200, 400, 800, 1600, 3200, 5000]) {
        let ceiling = Duration::from_millis(ceiling_ms);
        assert!(
            (ceiling / 2..=ceiling).contains(delay),
            "{delay:?} of {ceiling:?}"
        );
    }
    bench.open(link);
    bench.ask(1, echo());
    bench.take(link, &last(1, "ho"));
    bench.close(link);
    let delay = bench.client.poll_timeout().unwrap() - bench.now;
    assert!(delay <= Duration::from_millis(100), "{delay:?}");
}

#[test]
fn a_lost_links_requests_are_sent_again_with_what_is_left_of_the_deadline() {
    let (mut bench, link) = Bench::connected();
    let deadline = bench.deadline(SECOND * 10);
    bench.ask(1, Request { deadline, ..echo() });
    bench.pass(SECOND * 4);
    assert_eq!(bench.close(link), []);
    bench.pass(SECOND);
    assert_eq!(
        bench.open(link),
        [sent(link, 1, &[("deadline-ms", "5000")])]
    );
}

#[test]
fn another_link_takes_over_at_once() {
    let (mut bench, first) = Bench::connected();
    bench.ask(1, echo());
    let second = bench.link();
    assert_eq!(bench.close(first), [sent(second, 1, &[])]);
    assert_eq!(bench.take(first, &last(1, "from a dead link")), []);
    assert_eq!(bench.take(second, &last(1, "ho")), [answered(1, "ho")]);
}

#[test]
fn retry_never_runs_at_most_once() {
    let (mut bench, first) = Bench::connected();
    let retry = Retry::Never;
    assert_eq!(
        bench.ask(1, Request { retry, ..echo() }),
        [sent(first, 1, &[("retry", "never")])]
    );
    bench.link();
    assert_eq!(bench.close(first), [failed(1, Failure::ConnectionLost)]);
}

#[test]
fn a_request_is_not_sent_again_after_a_part_of_its_answer() {
    let (mut bench, first) = Bench::connected();
    bench.ask(1, echo());
    bench.take(first, &partial(1, "a"));
    bench.link();
    assert_eq!(bench.close(first), [failed(1, Failure::ConnectionLost)]);
}

#[test]
fn a_request_is_sent_as_often_as_it_allows() {
    let (mut bench, link) = Bench::connected();
    let retry = Retry::AtMost(2);
    assert_eq!(
        bench.ask(1, Request { retry, ..echo() }),
        [sent(link, 1, &[("retry", "2")])]
    );
    bench.close(link);
    bench.pass(SECOND);
    assert_eq!(bench.open(link), [sent(link, 1, &[("retry", "1")])]);
    assert_eq!(bench.close(link), [failed(1, Failure::ConnectionLost)]);
}

#[test]
fn a_sent_request_whose_link_does_not_come_back_says_that_it_was_sent() {
    let (mut bench, link) = Bench::connected();
    bench.ask(1, echo());
    bench.close(link);
    let outputs = bench.pass(SECOND * 5);
    assert!(
        outputs.contains(&failed(1, Failure::ConnectionLost)),
        "{outputs:?}"
    );
}

#[test]
fn a_request_that_was_sent_over_a_lost_link_may_have_been_done_whatever_the_next_broker_says() {
    for code in ["no-worker", "busy"] {
        let (mut bench, first) = Bench::connected();
        bench.ask(1, echo());
        let second = bench.link();
        assert_eq!(bench.close(first), [sent(second, 1, &[])]);
        let outputs = bench.take(second, &error(1, &[("code", code)]));
        assert_eq!(outputs, [failed(1, Failure::ConnectionLost)], "{code}");
    }
    let (mut bench, first) = Bench::connected();
    bench.ask(1, echo());
    let second = bench.link();
    bench.close(first);
    assert_eq!(bench.take(second, &error(1, &[("code", "draining")])), []);
    let outputs = bench.pass(SECOND * 5);
    assert!(
        outputs.contains(&failed(1, Failure::ConnectionLost)),
        "{outputs:?}"
    );
    // Else it is as the broker says.
    let (mut bench, link) = Bench::connected();
    bench.ask(1, echo());
    let outputs = bench.take(link, &error(1, &[("code", "no-worker")]));
    assert_eq!(outputs, [refused(1, "no-worker", "", "")]);
}

#[test]
fn requests_spread_over_links_by_what_they_owe_then_in_turn() {
    let (mut bench, a) = Bench::connected();
    let b = bench.link();
    for (number, link) in [(1, a), (2, b), (3, a), (4, b)] {
        assert_eq!(bench.ask(number, echo()), [sent(link, number, &[])]);
    }
    bench.take(b, &last(2, "ho"));
    bench.take(b, &last(4, "ho"));
    assert_eq!(bench.ask(5, echo()), [sent(b, 5, &[])]);
    assert_eq!(bench.ask(6, echo()), [sent(b, 6, &[])]);
    assert_eq!(bench.ask(7, echo()), [sent(a, 7, &[])]);
}

#[test]
fn a_draining_broker_is_left_for_another_or_for_its_return() {
    let draining = [("code", "draining"), ("message", "bye")];
    let (mut bench, a) = Bench::connected();
    bench.ask(1, echo());
    let b = bench.link();
    assert_eq!(bench.take(a, &error(1, &draining)), [sent(b, 1, &[])]);
    assert_eq!(bench.ask(2, echo()), [sent(b, 2, &[])]);
    assert_eq!(bench.take(b, &error(2, &draining)), []);
    bench.close(a);
    bench.pass(SECOND);
    assert_eq!(bench.open(a), [sent(a, 2, &[])]);
}

#[test]
fn a_broker_that_never_stops_draining_is_not_waited_for_longer() {
    let draining = error(1, &[("code", "draining")]);
    let (mut bench, link) = Bench::connected();
    bench.ask(1, echo());
    bench.take(link, &draining);
    for _ in 0..4 {
        bench.close(link);
        bench.pass(SECOND);
        bench.open(link);
        bench.take(link, &draining);
    }
    assert_eq!(bench.pass(SECOND), [refused(1, "draining", "", "")]);
}

#[test]
fn a_request_that_waits_for_a_draining_broker_fails_with_its_words() {
    let draining = [("code", "draining"), ("message", "bye")];
    let (mut bench, link) = Bench::connected();
    bench.ask(1, echo());
    bench.take(link, &error(1, &draining));
    assert_eq!(bench.pass(SECOND * 5), [refused(1, "draining", "bye", "")]);
    let retry = Retry::Never;
    let link = bench.link();
    bench.ask(2, Request { retry, ..echo() });
    let outputs = bench.take(link, &error(2, &draining));
    assert_eq!(outputs, [refused(2, "draining", "bye", "")]);
}

#[test]
fn a_silent_link_without_a_ping_is_asked_and_given_up() {
    let mut bench = Bench::new();
    let link = bench.client.add_link();
    bench.client.handle_opened(link, false, bench.now);
    bench.outputs();
    assert_eq!(bench.pass(SECOND * 60), []);
    bench.ask(1, echo());
    let probe = |number| Output::Send {
        link,
        command: FromClient::Request {
            service: "mmi.heartbeat".parse().unwrap(),
            header: Header::new((1_u64 << 63) + number),
            body: Message::EMPTY,
        },
    };
    assert_eq!(bench.pass(SECOND), [probe(0)]);
    bench.take(link, &last(1 << 63, "200"));
    assert_eq!(bench.client.counts(), Counts::default());
    let reason = CloseReason::Silent;
    let outputs = bench.pass(SECOND * 3);
    assert_eq!(
        outputs,
        [probe(1), probe(2), Output::Close { link, reason }]
    );
    assert_eq!(bench.client.request_count(), 1);
}

#[test]
fn a_stop_of_the_process_is_not_taken_for_silence() {
    let mut bench = Bench::new();
    let link = bench.client.add_link();
    bench.client.handle_opened(link, false, bench.now);
    bench.ask(1, echo());
    bench.now += SECOND * 100;
    bench.client.handle_timeout(bench.now);
    assert!(
        !bench
            .outputs()
            .iter()
            .any(|output| matches!(output, Output::Close { .. }))
    );
    assert_eq!(bench.take(link, &last(1, "ho")), [answered(1, "ho")]);
}

#[test]
fn a_removed_link_is_closed_and_its_requests_go_elsewhere() {
    let (mut bench, a) = Bench::connected();
    bench.ask(1, echo());
    let b = bench.link();
    bench.client.remove_link(a, bench.now);
    let reason = CloseReason::Removed;
    assert_eq!(
        bench.outputs(),
        [Output::Close { link: a, reason }, sent(b, 1, &[])]
    );
}

#[test]
fn timers_of_ended_requests_are_forgotten() {
    let (mut bench, link) = Bench::connected();
    let deadline = bench.deadline(SECOND * 3600);
    for number in 1..10_000 {
        bench.ask(number, Request { deadline, ..echo() });
        bench.take(link, &last(number, "ho"));
    }
    let mut entries = 0;
    while bench.client.timers.pop(bench.now + SECOND * 7200).is_some() {
        entries += 1;
    }
    assert!(entries < 2000, "{entries} entries are left");
}
