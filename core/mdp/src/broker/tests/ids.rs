//! MDP/0.3: ids, and conformance 65–67.

use super::*;

#[test]
fn case_66_an_id_that_is_unanswered_closes_the_connection() {
    let mut plant = Plant::new();
    let (client, other, worker) = (plant.client(), plant.client(), plant.worker03("echo", 3));
    plant.asks03(client, 1, "echo", "a");
    plant.asks03(client, 2, "echo", "b");
    plant.asks03(other, 1, "echo", "c");
    let requests = plant.takes(worker);
    assert_eq!(requests.len(), 3);

    plant.asks03(client, 1, "echo", "again");

    assert_eq!(
        plant.closed,
        BTreeMap::from([(client, CloseReason::DuplicateId)])
    );
    plant.assert_rejected(&[Rejection::DuplicateId]);
    plant.assert_silence(client);
    let told = plant.takes(worker);
    assert_eq!(told.len(), 2);
    for (cancel, request) in told.iter().zip(&requests) {
        assert_eq!(
            *cancel,
            frames!["MDPW03", 9, request.token(), header(request.id(), &[])]
        );
    }
    for request in &requests {
        plant.echoes(worker, request);
    }
    assert_eq!(
        plant.takes(other),
        [frames!["MDPC03", 3, "echo", header(1, &[]), "c"]]
    );
    plant.assert_alive();
}

#[test]
fn case_66_also_when_the_second_request_is_malformed_or_management() {
    let again = [
        frames!["MDPC03", 1, "echo", header(1, &[])],
        frames!["MDPC03", 1, "", header(1, &[]), "x"],
        frames!["MDPC03", 1, "mmi.services", header(1, &[])],
    ];
    for message in again {
        let mut plant = Plant::new();
        let client = plant.client();
        plant.asks03(client, 1, "echo", "a");

        plant.sends(client, message);

        assert_eq!(
            plant.closed,
            BTreeMap::from([(client, CloseReason::DuplicateId)])
        );
        plant.assert_silence(client);
        plant.assert_nothing_is_held();
        plant.assert_alive();
    }
}

#[test]
fn an_answered_id_may_be_used_again() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));

    for body in ["a", "b", "c"] {
        plant.asks03(client, u64::MAX, "echo", body);
        assert_eq!(plant.serves(worker), 1);
        let reply = frames!["MDPC03", 3, "echo", header(u64::MAX, &[]), body];
        assert_eq!(plant.takes(client), [reply]);
    }
}

#[test]
fn the_id_0_is_refused() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));

    plant.asks03(client, 0, "echo", "hi");

    assert_eq!(
        plant.takes_one(client).error(),
        (0, "bad-request".to_owned())
    );
    plant.assert_silence(worker);
    plant.asks03(client, 1, "echo", "hi");
    assert_eq!(plant.serves(worker), 1);
}

#[test]
fn workers_see_the_brokers_id_the_same_in_every_attempt() {
    let mut plant = Plant::new();
    let client = plant.client();
    let first = plant.worker03("echo", 1);
    plant.asks03(client, 900, "echo", "a");
    plant.asks03(client, 800, "echo", "b");
    let attempt = plant.takes_one(first);
    assert_eq!(attempt.id(), 1);
    let second = plant.worker03("echo", 2);
    let other = plant.takes_one(second);
    assert_eq!(other.id(), 2);

    plant.closes(first);

    let again = plant.takes_one(second);
    assert_eq!(again.id(), 1);
    assert_ne!(again.token(), attempt.token());
}

#[test]
fn routing_is_by_the_token_alone() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 5, "echo", "hi");
    let request = plant.takes_one(worker);

    plant.sends(
        worker,
        frames!["MDPW03", 4, request.token(), header(4711, &[]), "ho"],
    );

    assert_eq!(
        plant.takes(client),
        [frames!["MDPC03", 3, "echo", header(5, &[]), "ho"]]
    );
}

#[test]
fn ready_is_answered_by_welcome_before_any_request() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.opens(false));
    plant.asks(client, "echo", "waits");

    plant.sends(worker, frames!["MDPW03", 1, "echo", header(0, &[])]);

    let received = plant.takes(worker);
    let agreed = header(
        0,
        &[
            ("credit", "1"),
            ("streams", "1024"),
            ("heartbeat-ms", "1000"),
            ("liveness", "3"),
        ],
    );
    assert_eq!(received[0], frames!["MDPW03", 8, "echo", agreed]);
    assert_eq!(received[1].body(), [b"waits"]);
}

#[test]
fn welcome_says_what_an_offer_was_clamped_to() {
    let offers = [
        (["0", "0", "1", "0"], ["1", "1", "100", "2"]),
        (["5", "7", "250", "4"], ["5", "7", "250", "4"]),
        (
            ["99999", "99999", "99999", "99"],
            ["4096", "65536", "60000", "20"],
        ),
    ];
    let names = ["credit", "streams", "heartbeat-ms", "liveness"];
    for (offer, agreed) in offers {
        let mut plant = Plant::new();
        let worker = plant.opens(false);
        let offer: Vec<(&str, &str)> = names.into_iter().zip(offer).collect();
        let agreed: Vec<(&str, &str)> = names.into_iter().zip(agreed).collect();

        plant.sends(worker, frames!["MDPW03", 1, "echo", header(0, &offer)]);

        let welcome = frames!["MDPW03", 8, "echo", header(0, &agreed)];
        assert_eq!(plant.takes(worker), [welcome]);
    }
}

#[test]
fn ready_with_values_that_are_none_is_answered_by_disconnect() {
    let offers = [
        (("credit", "many"), Rejection::BadProperty),
        (("heartbeat-ms", "-1"), Rejection::BadProperty),
        (("liveness", ""), Rejection::BadProperty),
        (("+exotic", "1"), Rejection::UnsupportedProperty),
    ];
    for (offer, reason) in offers {
        let mut plant = Plant::new();
        let worker = plant.opens(false);

        plant.sends(worker, frames!["MDPW03", 1, "echo", header(0, &[offer])]);

        let received = plant.takes_one(worker);
        assert!(received.is_disconnect());
        assert_eq!(received.id(), 0);
        assert_eq!(
            received.property("message").as_deref(),
            Some(reason.as_str())
        );
        plant.assert_rejected(&[reason]);
        plant.assert_nothing_is_held();
    }
}
