//! Conformance 33–37: the management services (RFC 8) and the broker's own.

use serde_json::{Value, json};

use super::*;

/// Asks on a connection of its own, and takes the body of the answer.
fn ask(plant: &mut Plant, service: &str, body: &[&str]) -> Vec<String> {
    let client = plant.client();
    let mut request = frames!["MDPC02", 1, service];
    request
        .0
        .extend(body.iter().map(|frame| frame.as_bytes().to_vec()));
    plant.sends(client, request);
    let answer = plant.takes_one(client);
    assert_eq!(answer.0[..3], frames!["MDPC02", 3, service].0);
    plant.closes(client);
    let text = |frame: &Vec<u8>| String::from_utf8(frame.clone()).unwrap();
    answer.0[3..].iter().map(text).collect()
}

/// The JSON of an answer that begins with `200`.
fn listing(plant: &mut Plant, service: &str, body: &[&str]) -> Value {
    let answer = ask(plant, service, body);
    assert_eq!(answer.len(), 2);
    assert_eq!(answer[0], "200");
    serde_json::from_str(&answer[1]).unwrap()
}

#[test]
fn case_33_a_service_with_a_worker_is_there_also_when_it_is_busy() {
    let mut plant = Plant::new();
    let (client, worker) = (plant.client(), plant.worker("echo"));
    assert_eq!(ask(&mut plant, "mmi.service", &["echo"]), ["200"]);

    plant.asks(client, "echo", "hi");
    plant.takes_one(worker);

    assert_eq!(ask(&mut plant, "mmi.service", &["echo"]), ["200"]);
    assert_eq!(
        ask(&mut plant, "mmi.service", &["org.plantd.Broker"]),
        ["200"]
    );
}

#[test]
fn case_34_a_service_without_a_worker_is_not_found() {
    let mut plant = Plant::new();
    let worker = plant.worker("emptied");
    plant.closes(worker);

    for service in ["never", "emptied", "not a name", "mmi.service"] {
        assert_eq!(
            ask(&mut plant, "mmi.service", &[service]),
            ["404"],
            "{service}"
        );
    }

    plant.assert_nothing_is_held();
}

#[test]
fn case_34_a_service_that_has_only_a_queue_is_not_found() {
    let mut plant = Plant::new();
    let client = plant.client();
    plant.asks(client, "queued", "hi");

    assert_eq!(ask(&mut plant, "mmi.service", &["queued"]), ["404"]);
}

#[test]
fn case_35_what_is_not_there_is_not_implemented() {
    let mut plant = Plant::new();

    assert_eq!(ask(&mut plant, "mmi.nope", &["x"]), ["501"]);
    assert_eq!(ask(&mut plant, "mmi.", &["x"]), ["501"]);
    assert_eq!(ask(&mut plant, "mmi.nope", &[]), ["501"]);
}

#[test]
fn case_36_a_missing_name_is_a_bad_request() {
    let mut plant = Plant::new();
    let _worker = plant.worker("echo");

    assert_eq!(ask(&mut plant, "mmi.service", &[]), ["400"]);
    assert_eq!(ask(&mut plant, "mmi.service", &[""]), ["400"]);
    assert_eq!(ask(&mut plant, "mmi.service", &["echo", "never"]), ["200"]);
    assert_eq!(ask(&mut plant, "mmi.service", &["never", "echo"]), ["404"]);
    assert_eq!(listing(&mut plant, "mmi.services", &[])["total"], 1);
}

#[test]
fn case_37_listings_are_answered_while_every_queue_is_full() {
    let mut plant = Plant::with(|config| config.limits.queue_requests = 2);
    let (client, worker) = (plant.client(), plant.worker("echo"));
    for _ in 0..5 {
        plant.asks(client, "echo", "hi");
        plant.asks(client, "nobody", "hi");
    }
    plant.takes_one(worker);
    plant.assert_failed(ErrorCode::Busy, 5);

    let services = listing(&mut plant, "mmi.services", &[]);
    let expected = json!({ "total": 2, "services": [
        { "name": "echo", "workers": 1, "waiting": 0, "queued": 2, "queued_bytes": services["services"][0]["queued_bytes"] },
        { "name": "nobody", "workers": 0, "waiting": 0, "queued": 2, "queued_bytes": services["services"][1]["queued_bytes"] },
    ]});
    assert_eq!(services, expected);
    assert_eq!(listing(&mut plant, "mmi.broker", &[])["queued"], 4);
    for service in ["mmi.workers", "mmi.buses", "mmi.heartbeat", "mmi.dead"] {
        assert!(listing(&mut plant, service, &[]).is_object());
    }
}

#[test]
fn case_37_workers_are_listed_by_service() {
    let mut plant = Plant::new();
    let client = plant.client();
    let older = plant.worker("a");
    let newer = plant.opens(false);
    let offer = header(
        0,
        &[("credit", "7"), ("name", "press-3"), ("version", "1.2")],
    );
    plant.sends(newer, frames!["MDPW03", 1, "b", offer]);
    plant.asks(client, "b", "hi");
    plant.passes(Duration::from_millis(100));

    let all = listing(&mut plant, "mmi.workers", &[]);
    let some = listing(&mut plant, "mmi.workers", &["b"]);
    let none = listing(&mut plant, "mmi.workers", &["c"]);

    assert_eq!(all["total"], 2);
    assert_eq!(all["workers"][0]["service"], "a");
    assert_eq!(all["workers"][0]["protocol"], "MDP/0.2");
    assert_eq!(none, json!({ "total": 0, "workers": [] }));
    let expected = json!({ "total": 1, "workers": [{
        "service": "b", "address": "peer-3", "name": "press-3", "version": "1.2",
        "protocol": "MDP/0.3", "unanswered": 1, "credit": 7, "streams": 0, "silent_ms": 100,
    }]});
    assert_eq!(some, expected);
    plant.assert_silence(older);
}

#[test]
fn case_37_the_broker_lists_its_protocols_and_limits() {
    let mut plant = Plant::new();

    let broker = listing(&mut plant, "mmi.broker", &[]);

    let protocols = json!(["MDP/0.1", "MDP/0.2", "MDP/0.2 (words)", "MDP/0.3"]);
    assert_eq!(broker["protocols"], protocols);
    assert_eq!(broker["limits"]["frame_bytes"], 4 << 20);
    assert_eq!(broker["limits"]["queue_timeout_ms"], 30_000);
    assert_eq!(broker["draining"], false);
}

#[test]
fn listings_of_a_thousand_entries_say_how_many_there_are() {
    let mut plant = Plant::new();
    let client = plant.client();
    for n in 0..1200 {
        let request = Message::from_frames(["MDPC02", "\u{1}", &format!("s{n}"), "hi"]);
        plant.broker.handle_message(client, request, plant.now);
    }
    plant.settle();

    let services = listing(&mut plant, "mmi.services", &[]);

    assert_eq!(services["total"], 1200);
    assert_eq!(services["services"].as_array().unwrap().len(), 1000);
}

#[test]
fn the_brokers_own_service_answers_with_real_data() {
    let mut plant = Plant::new();
    let _workers = [(); 2].map(|()| plant.worker("echo"));
    let operation = |plant: &mut Plant, body: &[&str]| -> Value {
        let answer = ask(plant, "org.plantd.Broker", body);
        assert_eq!(answer.len(), 1);
        serde_json::from_str(&answer[0]).unwrap()
    };

    let services = operation(&mut plant, &["services", "{}"]);
    assert_eq!(services["success"], true);
    assert_eq!(services["data"]["services"][0]["name"], "echo");

    let service = operation(&mut plant, &["service", r#"{"service":"echo"}"#]);
    let data =
        json!({ "name": "echo", "registered": true, "workers": 2, "waiting": 2, "queued": 0 });
    assert_eq!(service, json!({ "success": true, "data": data }));

    let unknown = operation(&mut plant, &["service", r#"{"service":"never"}"#]);
    assert_eq!(unknown["data"]["registered"], false);

    for bad in [
        &["service", "{"][..],
        &["service", "{}"],
        &["service"],
        &["other"],
        &[""],
    ] {
        let refused = operation(&mut plant, bad);
        assert_eq!(refused["success"], false, "{bad:?}");
        assert_eq!(refused["code"], "bad-request", "{bad:?}");
    }
    assert_eq!(plant.broker.tally().services, 1);
}

#[test]
fn management_is_answered_in_each_dialect() {
    let mut plant = Plant::new();
    let exchanges = [
        (
            frames!["", "MDPC01", "mmi.service", "x"],
            frames!["", "MDPC01", "mmi.service", "404"],
        ),
        (
            frames!["", "MDPC02", 1, "mmi.service", "x"],
            frames!["", "MDPC02", 3, "mmi.service", "404"],
        ),
        (
            frames!["", "MDPC02", "REQUEST", "mmi.service", "x"],
            frames!["MDPC02", "FINAL", "mmi.service", "404"],
        ),
        (
            frames!["MDPC03", 1, "mmi.service", header(5, &[]), "x"],
            frames!["MDPC03", 3, "mmi.service", header(5, &[]), "404"],
        ),
    ];
    for (request, reply) in exchanges {
        let client = plant.client();
        plant.sends(client, request);
        assert_eq!(plant.takes(client), [reply]);
    }
    assert_eq!(plant.broker.tally().management, 4);
}

#[test]
fn management_must_understand_properties_too() {
    let mut plant = Plant::new();
    let client = plant.client();

    plant.asks_with(client, 1, &[("+nope", "1")], "mmi.services", "");
    plant.asks_with(client, 2, &[("deadline-ms", "0")], "mmi.services", "");

    let received = plant.takes(client);
    assert_eq!(received[0].error(), (1, "unsupported".to_owned()));
    assert_eq!(received[1].error(), (2, "bad-request".to_owned()));
}
