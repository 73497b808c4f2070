//! Asking the broker about itself (cases 33 to 37).

use plantd_tests::{Plant, T, frames};
use serde_json::json;

#[test]
fn case_33_a_service_with_a_worker_is_there_also_while_it_is_busy() {
    let plant = Plant::start();
    let worker = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "mmi.service", "echo"]);
    client.expect(frames!["MDPC02", 3, "mmi.service", "200"]);

    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    client.send(frames!["MDPC02", 1, "mmi.service", "echo"]);
    client.expect(frames!["MDPC02", 3, "mmi.service", "200"]);
    worker.send(frames!["MDPW02", 4, token, "", "hi"]);
    client.expect(frames!["MDPC02", 3, "echo", "hi"]);

    client.send(frames!["MDPC02", 1, "mmi.service", "org.plantd.Broker"]);
    client.expect(frames!["MDPC02", 3, "mmi.service", "200"]);
}

#[test]
fn case_34_a_service_without_workers_is_not_there_and_asking_does_not_create_it() {
    let plant = Plant::start();
    let client = plant.dealer();
    let ask = |name: &str| {
        client.send(frames!["MDPC02", 1, "mmi.service", name]);
        client.expect(frames!["MDPC02", 3, "mmi.service", "404"]);
    };
    ask("never-seen");
    ask(&"x".repeat(1000));
    assert_eq!(plant.metrics().value("services"), 0);

    let worker = plant.worker("emptied");
    worker.send(frames!["MDPW02", 6]);
    plant.until("it is gone", |reading| reading.value("workers") == 0);
    ask("emptied");
    assert_eq!(plant.metrics().value("services"), 0);
}

#[test]
fn case_35_what_the_broker_does_not_know_is_501() {
    let plant = Plant::start();
    let client = plant.dealer();
    for name in ["mmi.nope", "mmi.", "mmi.Service"] {
        client.send(frames!["MDPC02", 1, name, "echo"]);
        client.expect(frames!["MDPC02", 3, name, "501"]);
    }
}

#[test]
fn case_36_the_argument_is_the_first_frame() {
    let plant = Plant::start();
    let _worker = plant.worker("echo");
    let client = plant.dealer();
    client.send(frames!["MDPC02", 1, "mmi.service"]);
    client.expect(frames!["MDPC02", 3, "mmi.service", "400"]);
    client.send(frames!["MDPC02", 1, "mmi.service", ""]);
    client.expect(frames!["MDPC02", 3, "mmi.service", "400"]);
    client.send(frames!["MDPC02", 1, "mmi.service", "echo", "nope"]);
    client.expect(frames!["MDPC02", 3, "mmi.service", "200"]);
    client.send(frames!["MDPC02", 1, "mmi.services"]);
    let answer = client.recv();
    assert_eq!(answer.0[..4], frames!["MDPC02", 3, "mmi.services", "200"].0);
    plant.assert_rejected(&[]);
}

#[test]
fn case_37_every_list_is_json_and_comes_while_queues_are_full() {
    let mut plant = Plant::with(|config| config.limits.queue_requests = 3);
    let worker = plant.worker("echo");
    let client = plant.dealer();
    for _ in 0..5 {
        client.send(frames!["MDPC02", 1, "echo", "hi"]);
    }
    let token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
    plant.until("the queue is full", |reading| reading.failed("busy") == 1);

    let (status, services) = plant.mmi("services", "");
    assert_eq!(status, "200");
    assert_eq!(
        services,
        json!({"total": 1, "services": [
            {"name": "echo", "workers": 1, "waiting": 0, "queued": 3, "queued_bytes": services["services"][0]["queued_bytes"]},
        ]})
    );
    let (status, workers) = plant.mmi("workers", "echo");
    assert_eq!((&status[..], &workers["total"]), ("200", &json!(1)));
    assert_eq!(workers["workers"][0]["protocol"], "MDP/0.2");
    assert_eq!(workers["workers"][0]["unanswered"], 1);
    let (status, broker) = plant.mmi("broker", "");
    assert_eq!((&status[..], &broker["queued"]), ("200", &json!(3)));
    assert_eq!(broker["endpoints"], json!([plant.endpoint()]));
    assert_eq!(
        broker["protocols"],
        json!(["MDP/0.1", "MDP/0.2", "MDP/0.2 (words)", "MDP/0.3"])
    );
    assert_eq!(broker["limits"]["queue_requests"], 3);
    assert_eq!(
        plant.mmi("buses", ""),
        ("200".into(), json!({"total": 0, "buses": []}))
    );
    assert_eq!(
        plant.mmi("dead", ""),
        ("200".into(), json!({"total": 0, "dead": []}))
    );
    assert_eq!(plant.mmi("heartbeat", ""), ("200".into(), json!({})));

    let mut token = token;
    for left in (0..4).rev() {
        worker.send(frames!["MDPW02", 4, &token, "", "hi"]);
        client.expect(frames!["MDPC02", 3, "echo", "hi"]);
        if left > 0 {
            token = worker.expect_token(frames!["MDPW02", 2, T, "", "hi"]);
        }
    }
    plant.stop();
}
