//! Conformance 67: what properties of MDP/0.3 pass, are removed, or must be understood.

use super::*;

#[test]
fn case_67_what_the_broker_alone_sets_is_removed_from_requests() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    let sent = [
        ("principal", "root"),
        ("content-type", "text/plain"),
        ("attempt", "9"),
        ("broker-x", "1"),
        ("broker-", "1"),
        ("traceparent", "00-1-2-03"),
        ("my.own", "é"),
    ];

    plant.asks_with(client, 1, &sent, "echo", "hi");

    let seen = [
        ("content-type", "text/plain"),
        ("traceparent", "00-1-2-03"),
        ("my.own", "é"),
    ];
    let request = plant.takes_one(worker);
    assert_eq!(
        request,
        frames!["MDPW03", 2, request.token(), header(1, &seen), "hi"]
    );
}

#[test]
fn case_67_and_from_replies() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    let token = plant.takes_one(worker).token();
    let sent = [
        ("principal", "root"),
        ("a", "1"),
        ("broker-x", "1"),
        ("deadline-ms", "5"),
    ];

    plant.sends(worker, frames!["MDPW03", 3, &token, header(1, &sent), "1"]);
    plant.sends(worker, frames!["MDPW03", 7, &token, header(1, &sent)]);

    let received = plant.takes(client);
    assert_eq!(
        received[0],
        frames!["MDPC03", 2, "echo", header(1, &[("a", "1")]), "1"]
    );
    let error = [
        ("a", "1"),
        ("worker-code", "error"),
        ("code", "worker-error"),
    ];
    assert_eq!(received[1], frames!["MDPC03", 4, "echo", header(1, &error)]);
}

#[test]
fn case_67_a_property_that_must_be_understood_is_not() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));

    plant.asks_with(client, 1, &[("+nope", "1")], "echo", "hi");

    let error = plant.takes_one(client);
    assert_eq!(error.error(), (1, "unsupported".to_owned()));
    assert!(error.property("message").unwrap().contains("+nope"));
    plant.assert_silence(worker);
    plant.assert_nothing_is_held_but_workers(1);
}

#[test]
fn a_reply_with_a_property_that_must_be_understood_ends_the_request() {
    for verb in [3, 4] {
        let mut plant = Plant::new();
        let (client, worker) = (plant.client(), plant.worker03("echo", 1));
        plant.asks03(client, 1, "echo", "hi");
        let request = plant.takes_one(worker);

        let odd = header(1, &[("+odd", "1")]);
        plant.sends(worker, frames!["MDPW03", verb, request.token(), odd, "ho"]);

        assert_eq!(
            plant.takes_one(client).error(),
            (1, "unsupported".to_owned())
        );
        if verb == 3 {
            assert_eq!(plant.takes_one(worker).0[1], [9]);
            plant.echoes(worker, &request);
        }
        plant.asks03(client, 2, "echo", "next");
        assert_eq!(plant.serves(worker), 1);
    }
}

#[test]
fn an_error_keeps_no_property_that_must_be_understood() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker03("echo", 1));
    plant.asks03(client, 1, "echo", "hi");
    let request = plant.takes_one(worker);

    plant.sends(
        worker,
        request.fails_with(&[("code", "jam"), ("+odd", "1")]),
    );

    let error = header(1, &[("worker-code", "jam"), ("code", "worker-error")]);
    assert_eq!(plant.takes(client), [frames!["MDPC03", 4, "echo", error]]);
}

#[test]
fn values_that_a_request_cannot_have_are_refused() {
    let bad = [
        ("deadline-ms", "0"),
        ("deadline-ms", "soon"),
        ("deadline-ms", "+5"),
        ("deadline-ms", "99999999999999999999"),
        ("retry", "always"),
        ("window", "wide"),
    ];
    for property in bad {
        let mut plant = Plant::new();
        let (client, worker) = (plant.client(), plant.worker03("echo", 1));

        plant.asks_with(client, 1, &[property], "echo", "hi");

        let error = plant.takes_one(client).error();
        assert_eq!(error, (1, "bad-request".to_owned()), "{property:?}");
        plant.assert_silence(worker);
        plant.assert_nothing_is_held_but_workers(1);
    }
}

/// What the broker adds must not make a header that no peer takes.
#[test]
fn a_full_header_reaches_the_worker_in_every_attempt() {
    let names: Vec<String> = (0..32).map(|n| format!("p{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (&name[..], "1")).collect();
    let long = "x".repeat(4096 - 8 - 6);
    for properties in [many, vec![("x", &long[..])]] {
        let mut plant = Plant::new();
        let client = plant.client();
        let [first, second] = [(); 2].map(|()| plant.worker03("echo", 1));
        plant.asks_with(client, 1, &properties, "echo", "hi");
        let expected = header(1, &properties);
        let request = plant.takes_one(first);
        assert_eq!(
            request,
            frames!["MDPW03", 2, request.token(), &expected, "hi"]
        );

        plant.closes(first);

        let request = plant.takes_one(second);
        assert_eq!(
            request,
            frames!["MDPW03", 2, request.token(), &expected, "hi"]
        );
    }
}

#[test]
fn a_full_header_of_an_error_reaches_the_client() {
    let names: Vec<String> = (0..32).map(|n| format!("p{n}")).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (&name[..], "1")).collect();
    let long = "x".repeat(4096 - 8 - 12);
    for properties in [many, vec![("message", &long[..])]] {
        let mut plant = Plant::new();
        let (client, worker) = (plant.client(), plant.worker03("echo", 1));
        plant.asks03(client, 1, "echo", "hi");
        let request = plant.takes_one(worker);

        plant.sends(worker, request.fails_with(&properties));

        let error = plant.takes_one(client);
        assert_eq!(error.error(), (1, "worker-error".to_owned()));
        assert_eq!(error.property("worker-code").as_deref(), Some("error"));
    }
}
