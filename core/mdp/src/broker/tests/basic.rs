//! Conformance 1–12: the basic exchange (RFC 18).

use std::time::Duration;

use super::*;

#[test]
fn case_01_a_request_reaches_the_worker_and_its_reply_the_client() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));

    plant.sends(client, frames!["MDPC02", 1, "echo", "hi"]);

    let request = plant.takes_one(worker);
    let token = request.token();
    assert_eq!(token.len(), 16);
    assert_eq!(request, frames!["MDPW02", 2, &token, "", "hi"]);

    plant.sends(worker, frames!["MDPW02", 4, &token, "", "hi"]);
    plant.passes(2 * H);

    assert_eq!(plant.takes(client), [frames!["MDPC02", 3, "echo", "hi"]]);
    plant.assert_silence(worker);
}

#[test]
fn case_02_empty_frames_of_a_body_are_kept() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));

    plant.sends(client, frames!["MDPC02", 1, "echo", "", "a", ""]);

    let request = plant.takes_one(worker);
    assert_eq!(
        request,
        frames!["MDPW02", 2, request.token(), "", "", "a", ""]
    );
    plant.echoes(worker, &request);
    assert_eq!(
        plant.takes(client),
        [frames!["MDPC02", 3, "echo", "", "a", ""]]
    );
}

#[test]
fn case_03_partials_come_in_order_before_the_final() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "first");
    plant.asks(client, "echo", "second");
    let request = plant.takes_one(worker);

    plant.sends(worker, request.partial("a"));
    plant.sends(worker, request.partial("b"));
    plant.assert_silence(worker);
    plant.sends(worker, request.last("c"));

    let received = plant.takes(client);
    assert_eq!(
        received,
        [
            frames!["MDPC02", 2, "echo", "a"],
            frames!["MDPC02", 2, "echo", "b"],
            frames!["MDPC02", 3, "echo", "c"],
        ]
    );
    assert_eq!(plant.takes_one(worker).body(), [b"second"]);
}

#[test]
fn case_04_a_partial_after_the_final_is_answered_by_disconnect() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    let request = plant.takes_one(worker);
    plant.echoes(worker, &request);
    plant.takes(client);

    plant.sends(worker, request.partial("late"));
    plant.passes(2 * H);

    plant.assert_silence(client);
    let received: Vec<Frames> = plant.hears(worker).into_iter().map(|(_, it)| it).collect();
    assert_eq!(received, [frames!["MDPW02", 6]]);
    plant.assert_rejected(&[Rejection::UnknownToken]);
}

#[test]
fn case_05_bodies_of_every_byte_and_size_are_intact() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let of_size = |bytes: usize| every_byte.iter().copied().cycle().take(bytes).collect();
    let bodies: [Vec<u8>; 6] = [0, 255, 256, 257, 65_536, 1 << 20].map(of_size);

    for body in bodies {
        plant.sends(client, frames!["MDPC02", 1, "echo", &body]);
        let request = plant.takes_one(worker);
        assert!(request.body() == [&body[..]], "{} bytes", body.len());
        plant.echoes(worker, &request);
        assert!(plant.takes_one(client) == frames!["MDPC02", 3, "echo", &body]);
    }
}

#[test]
fn case_06_requests_without_waiting_are_answered_first_in_first_out() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    let bodies: Vec<String> = (0..100).map(|n| n.to_string()).collect();

    for body in &bodies {
        plant.asks(client, "echo", body);
    }
    assert_eq!(plant.serves(worker), 100);

    let expected = bodies
        .iter()
        .map(|body| frames!["MDPC02", 3, "echo", &body[..]]);
    assert_eq!(plant.takes(client), expected.collect::<Vec<_>>());
}

#[test]
fn case_07_sequential_requests_go_around_the_workers() {
    let mut plant = Plant::new();
    let client = plant.client();
    let workers = [(); 3].map(|()| plant.worker("echo"));
    let mut served = [0; 3];

    for _ in 0..9 {
        plant.asks(client, "echo", "hi");
        for (worker, served) in workers.iter().zip(&mut served) {
            *served += plant.serves(*worker);
        }
        plant.takes_one(client);
    }

    assert_eq!(served, [3, 3, 3]);
}

#[test]
fn case_07_a_busy_worker_gets_no_second_request() {
    let mut plant = Plant::new();
    let client = plant.client();
    let workers = [(); 3].map(|()| plant.worker("echo"));

    for _ in 0..9 {
        plant.asks(client, "echo", "hi");
    }

    for worker in workers {
        plant.takes_one(worker);
    }
    assert_eq!(plant.broker.tally().queued, 6);
}

#[test]
fn case_08_clients_that_flood_a_service_share_it() {
    let mut plant = Plant::new();
    let [early, late] = [(); 2].map(|()| plant.client());
    let worker = plant.worker("echo");
    for _ in 0..200 {
        plant.asks(early, "echo", "early");
    }
    for _ in 0..200 {
        plant.asks(late, "echo", "late");
    }

    for _ in 0..100 {
        let request = plant.takes_one(worker);
        plant.echoes(worker, &request);
    }

    let replies = [early, late].map(|client| plant.takes(client).len());
    assert_eq!(replies.iter().sum::<usize>(), 100);
    assert!(replies.iter().all(|replies| *replies >= 40), "{replies:?}");
}

#[test]
fn case_09_each_final_names_its_own_service() {
    let mut plant = Plant::new();
    let client = plant.client();
    let (a, b) = (plant.worker("a"), plant.worker("b"));
    plant.asks(client, "a", "1");
    plant.asks(client, "b", "2");
    let (first, second) = (plant.takes_one(a), plant.takes_one(b));

    plant.echoes(b, &second);
    plant.echoes(a, &first);

    let expected = [
        frames!["MDPC02", 3, "b", "2"],
        frames!["MDPC02", 3, "a", "1"],
    ];
    assert_eq!(plant.takes(client), expected);
}

#[test]
fn case_10_a_request_waits_for_its_first_worker() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks(client, "echo", "hi");

    plant.passes(Duration::from_secs(1));
    let worker = plant.worker("echo");

    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(client), [frames!["MDPC02", 3, "echo", "hi"]]);
}

#[test]
fn case_11_a_request_that_no_worker_takes_expires() {
    let mut plant = Plant::with(|config| config.queue_timeout = Duration::from_secs(5));
    let (older, client) = (plant.client(), plant.client());
    plant.asks(older, "nobody", "hi");
    plant.asks03(client, 1, "nobody", "hi");

    plant.passes(Duration::from_secs(5) - MS);
    assert_eq!(plant.broker.tally().queued, 2);
    plant.passes(MS);

    assert_eq!(plant.takes_one(client).error(), (1, "no-worker".to_owned()));
    plant.assert_silence(older);
    plant.assert_failed(ErrorCode::NoWorker, 2);
    plant.assert_nothing_is_held();
    let worker = plant.worker("nobody");
    plant.assert_silence(worker);
}

#[test]
fn case_12_a_client_that_leaves_while_queued_is_forgotten() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks(client, "echo", "hi");

    plant.closes(client);

    plant.assert_nothing_is_held();
    let worker = plant.worker("echo");
    plant.assert_silence(worker);
}

#[test]
fn case_12_a_reply_to_a_client_that_left_is_dropped() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    plant.asks(client, "echo", "hi");
    let request = plant.takes_one(worker);

    plant.closes(client);
    plant.sends(worker, request.partial("part"));
    plant.echoes(worker, &request);

    plant.assert_silence(worker);
    plant.assert_rejected(&[Rejection::Orphaned, Rejection::Orphaned]);
    let next = plant.client();
    plant.asks(next, "echo", "free?");
    assert_eq!(plant.serves(worker), 1);
    assert_eq!(plant.takes(next), [frames!["MDPC02", 3, "echo", "free?"]]);
}

/// The whole effects of one request and its reply, as values.
#[test]
fn a_request_is_one_output_and_its_reply_another() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    let body = Message::from_frames(["hi"]);
    let form = crate::Form {
        dialect: crate::Dialect::Mdp02,
        delimited: false,
    };

    let request = Message::from_frames(["MDPC02", "\u{1}", "echo", "hi"]);
    plant.broker.handle_message(client, request, plant.now);

    let Some(Output::ToWorker {
        command: ToWorker::Request { token, .. },
        ..
    }) = plant.broker.outputs.front()
    else {
        panic!("{:?}", plant.broker.outputs);
    };
    let token = *token;
    let asked = Output::ToWorker {
        peer: worker,
        form,
        command: ToWorker::Request {
            token,
            header: crate::Header::new(1),
            body: body.clone(),
        },
    };
    assert_eq!(plant.broker.poll_output(), Some(asked));
    assert_eq!(plant.broker.poll_output(), None);

    let reply: [&[u8]; 5] = [b"MDPW02", &[4], token.as_bytes(), b"", b"hi"];
    plant
        .broker
        .handle_message(worker, Message::from_frames(reply), plant.now);

    let answered = Output::ToClient {
        peer: client,
        form,
        command: ToClient::Final {
            service: "echo".parse().unwrap(),
            header: crate::Header::default(),
            body,
        },
    };
    assert_eq!(plant.broker.poll_output(), Some(answered));
    assert_eq!(plant.broker.poll_output(), None);
}
