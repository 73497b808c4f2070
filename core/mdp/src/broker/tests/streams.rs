//! MDP/0.3 streams: `window`, MORE and `streams`; conformance 72.

use super::*;

const WINDOW: &[(&str, &str)] = &[("window", "10")];

#[test]
fn case_72_a_window_is_passed_on_and_raised() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("tail", 1));
    plant.asks_with(client, 7, WINDOW, "tail", "f");
    let request = plant.takes_one(worker);
    assert_eq!(request.property("window").as_deref(), Some("10"));
    for n in 0..10 {
        plant.sends(worker, request.partial(&n.to_string()));
    }

    plant.sends(
        client,
        frames!["MDPC03", 7, "tail", header(7, &[("more", "5")])],
    );

    let more = header(request.id(), &[("more", "5")]);
    assert_eq!(
        plant.takes(worker),
        [frames!["MDPW03", 0x0a, request.token(), more]]
    );
    let bodies: Vec<Vec<u8>> = plant
        .takes(client)
        .iter()
        .map(|it| it.0[4].clone())
        .collect();
    assert_eq!(
        bodies,
        (0..10)
            .map(|n| n.to_string().into_bytes())
            .collect::<Vec<_>>()
    );
}

#[test]
fn case_72_a_stream_leaves_the_credit_after_its_first_partial() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("tail", 1));
    plant.asks_with(client, 1, WINDOW, "tail", "stream");
    let stream = plant.takes_one(worker);
    plant.asks03(client, 2, "tail", "other");
    plant.assert_silence(worker);

    plant.sends(worker, stream.partial("1"));

    assert_eq!(plant.serves(worker), 1);
    plant.sends(worker, stream.partial("2"));
    plant.sends(worker, stream.last("3"));
    let ids: Vec<u64> = plant.takes(client).iter().map(Frames::id).collect();
    assert_eq!(ids, [1, 2, 1, 1]);
    plant.asks03(client, 3, "tail", "free");
    assert_eq!(plant.serves(worker), 1);
}

#[test]
fn a_request_without_a_window_stays_in_the_credit() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("tail", 1));
    plant.asks03(client, 1, "tail", "a");
    plant.asks03(client, 2, "tail", "b");
    let request = plant.takes_one(worker);

    plant.sends(worker, request.partial("1"));

    plant.assert_silence(worker);
}

#[test]
fn streams_over_their_limit_stay_in_the_credit() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.opens(false));
    let offer = header(0, &[("credit", "1"), ("streams", "2")]);
    plant.sends(worker, frames!["MDPW03", 1, "tail", offer]);
    plant.takes(worker);
    for id in 1..=4 {
        plant.asks_with(client, id, WINDOW, "tail", "f");
    }
    let mut streams = Vec::new();
    for _ in 0..3 {
        let stream = plant.takes_one(worker);
        plant.sends(worker, stream.partial("1"));
        streams.push(stream);
    }
    plant.assert_silence(worker);

    plant.sends(worker, streams[0].last("end"));
    plant.assert_silence(worker);
    plant.sends(worker, streams[2].partial("2"));

    plant.takes_one(worker);
}

#[test]
fn an_orphaned_stream_frees_its_place() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("tail", 1));
    plant.asks_with(client, 1, WINDOW, "tail", "f");
    let stream = plant.takes_one(worker);
    plant.sends(worker, stream.partial("1"));
    plant.sends(client, frames!["MDPC03", 5, "tail", header(1, &[])]);
    assert_eq!(plant.takes_one(worker).0[1], [9]);

    plant.sends(worker, stream.partial("2"));
    plant.sends(worker, stream.fails_with(&[("code", "cancelled")]));

    plant.asks03(client, 2, "tail", "next");
    assert_eq!(plant.serves(worker), 1);
    plant.assert_rejected(&[Rejection::Orphaned; 2]);
}

#[test]
fn more_for_a_queued_request_widens_its_window() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks_with(client, 1, WINDOW, "tail", "f");

    plant.sends(
        client,
        frames!["MDPC03", 7, "tail", header(1, &[("more", "5")])],
    );
    let worker = plant.worker03("tail", 1);

    assert_eq!(
        plant.takes_one(worker).property("window").as_deref(),
        Some("15")
    );
}

/// What the client has allowed holds for the next attempt too: it waits for that many parts.
#[test]
fn more_for_an_attempt_that_is_lost_holds_for_the_next() {
    let mut plant = Plant::new();
    let client = plant.client();
    let [first, second] = [(); 2].map(|()| plant.worker03("tail", 1));
    plant.asks_with(client, 1, &[("window", "0")], "tail", "f");
    plant.takes_one(first);
    plant.sends(
        client,
        frames!["MDPC03", 7, "tail", header(1, &[("more", "5")])],
    );

    plant.closes(first);

    assert_eq!(
        plant.takes_one(second).property("window").as_deref(),
        Some("5")
    );
}

#[test]
fn more_that_means_nothing_is_dropped() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("tail", 3));
    plant.asks03(client, 1, "tail", "no window");
    plant.asks_with(client, 2, WINDOW, "tail", "window");
    plant.takes(worker);
    let more = |id, value| frames!["MDPC03", 7, "tail", header(id, &[("more", value)])];

    plant.sends(client, more(1, "5"));
    plant.sends(client, more(9, "5"));
    plant.assert_rejected(&[]);
    plant.sends(client, more(2, "lots"));
    plant.sends(client, frames!["MDPC03", 7, "tail", header(2, &[])]);

    plant.assert_rejected(&[Rejection::BadProperty; 2]);
    plant.assert_silence(worker);
    plant.assert_silence(client);
}

#[test]
fn an_older_worker_hears_nothing_of_windows() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("tail"));
    plant.asks_with(client, 1, WINDOW, "tail", "f");
    let request = plant.takes_one(worker);
    assert_eq!(request, frames!["MDPW02", 2, request.token(), "", "f"]);

    plant.sends(
        client,
        frames!["MDPC03", 7, "tail", header(1, &[("more", "5")])],
    );

    plant.assert_silence(worker);
    plant.echoes(worker, &request);
    assert_eq!(plant.takes(client).len(), 1);
}
