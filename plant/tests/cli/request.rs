//! `plant request`: bodies in and out, repetition, streams, exit codes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use plantd_client::{Request, Worker, WorkerError};
use serde_json::json;

use crate::harness::{Broker, Ended, plant};

#[test]
fn an_answer_is_printed_as_text() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Echo", "--echo"]);
    broker
        .run(&["request", "org.example.Echo", "hello"])
        .printed("hello\n");
    broker
        .run(&["request", "org.example.Echo", "a", "", "b\n"])
        .printed("a\n\nb\n");
    broker.run(&["request", "org.example.Echo"]).printed("\n");
}

#[test]
fn stdin_and_files_come_back_byte_for_byte() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Echo", "--echo"]);
    let every_byte: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body");
    std::fs::write(&path, &every_byte).unwrap();
    let mut command = broker.plant(&["request", "--raw", "org.example.Echo", "-", "--file"]);
    command
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());

    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"first\0").unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());

    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.bytes, [b"first\0", &every_byte[..]].concat());
}

#[test]
fn bytes_that_are_no_text_are_escaped_or_hexadecimal() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Bytes", "--exec", r"printf '\377\033'"]);
    broker
        .run(&["request", "org.example.Bytes"])
        .printed("\\xff\\x1b\n");
    let ended = broker.run(&["request", "org.example.Bytes", "--output", "json"]);
    assert_eq!(ended.json()[0]["frames"], json!([{ "hex": "ff1b" }]));
}

#[test]
fn many_requests_are_a_line_each_and_a_summary() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Echo", "--echo", "--concurrency", "8"]);
    let many = [
        "request",
        "org.example.Echo",
        "hi",
        "--count",
        "100",
        "--parallel",
        "8",
    ];

    let ended = broker.run(&many);
    ended.printed(&"hi\n".repeat(100));
    assert!(
        ended
            .stderr
            .starts_with("100 sent, 100 answered, 0 failed in "),
        "{}",
        ended.stderr
    );

    let ended = broker.run(&[&many[..], &["-o", "json"]].concat());
    let mut seqs: Vec<u64> = ended
        .json()
        .iter()
        .map(|line| line["seq"].as_u64().unwrap())
        .collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
}

#[test]
fn the_zeromq_crate_carries_a_request_too() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Echo", "--echo", "--transport", "zeromq"]);
    broker
        .run(&[
            "request",
            "--transport",
            "zeromq",
            "org.example.Echo",
            "hello",
        ])
        .printed("hello\n");
}

#[test]
fn the_parts_of_a_stream_are_printed_one_by_one() {
    let broker = Broker::start();
    let _runtime = broker.runtime.enter();
    let worker = Worker::builder("org.example.Count")
        .broker(&broker.endpoint)
        .build()
        .unwrap();
    let mut status = worker.status();
    broker
        .runtime
        .spawn(worker.serve(count_to_three, std::future::pending()));
    broker
        .runtime
        .block_on(status.wait_for(|status| status.is_up()))
        .unwrap();

    let stream = ["request", "--stream", "org.example.Count", "--window", "1"];
    broker.run(&stream).printed("1\n2\n3\n");
    let ended = broker.run(&[&stream[..], &["--output", "json"]].concat());
    assert_eq!(
        ended.json(),
        [
            json!({ "part": 1, "final": false, "frames": [{ "text": "1" }] }),
            json!({ "part": 2, "final": false, "frames": [{ "text": "2" }] }),
            json!({ "part": 3, "final": false, "frames": [{ "text": "3" }] }),
            json!({ "part": 4, "final": true, "frames": [{ "text": "" }] }),
        ]
    );
}

async fn count_to_three(mut request: Request) -> Result<&'static str, WorkerError> {
    for part in ["1", "2", "3"] {
        request.partials().send(part).await?;
    }
    Ok("")
}

#[test]
fn a_service_that_nobody_serves_is_exit_code_3() {
    let broker = Broker::start();
    let nobody = ["request", "nobody.serves.This", "hi", "--timeout", "2s"];
    let line = "plant: nobody serves nobody.serves.This;";
    broker.run(&nobody).failed(3, line);
    broker
        .run(&[&nobody[..], &["--stream"]].concat())
        .failed(3, line);
}

#[test]
fn the_rest_of_many_is_not_sent_to_a_service_that_nobody_serves() {
    let broker = Broker::start();
    let ended = broker.run(&["request", "nobody.X", "hi", "-n", "1000", "-t", "2s"]);
    assert_eq!(ended.code, Some(3));
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert!(
        lines[0].starts_with("plant: request 1: nobody serves nobody.X"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("1 sent, 0 answered, 1 failed"),
        "{lines:?}"
    );
    assert_eq!(lines[2..], ["plant: 1 of 1 requests failed"]);
}

#[test]
fn a_worker_that_does_not_answer_in_time_is_exit_code_4() {
    let broker = Broker::start();
    let mut worker = broker.worker(&["org.example.Slow", "--exec", "sleep 1000", "--verbose"]);
    broker
        .run(&["request", "org.example.Slow", "hi", "--timeout", "2s"])
        .failed(4, "plant: no answer from org.example.Slow within 2 s;");
    worker.event("given_up");
}

#[test]
fn the_error_of_a_worker_is_exit_code_5() {
    let broker = Broker::start();
    let _worker = broker.worker(&[
        "org.example.Bad",
        "--exec",
        "echo 'no such pump' >&2; exit 3",
    ]);
    let failing = ["request", "org.example.Bad", "hi"];
    broker.run(&failing).failed(
        5,
        "plant: org.example.Bad: the worker failed: exit-3: no such pump\n",
    );
    let ended = broker.run(&[&failing[..], &["--output", "json"]].concat());
    assert_eq!(ended.code, Some(5));
    assert_eq!(ended.json()[0]["error"]["code"], "worker-error");
    assert_eq!(ended.json()[0]["error"]["worker_code"], "exit-3");
}

#[test]
fn a_broker_that_is_not_there_is_exit_code_6() {
    let absent = [
        "request",
        "x",
        "hi",
        "--broker",
        "tcp://127.0.0.1:1",
        "--timeout",
        "100ms",
    ];
    let ended = Ended::of(plant(&absent).output().unwrap());
    ended.failed(6, "plant: no broker at tcp://127.0.0.1:1 (");
    assert!(
        ended.stderr.contains("start a broker with `plantd`"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let broker = Broker::start();
    let _worker = broker.worker(&["org.example.Echo", "--echo"]);
    let mut child = broker
        .plant(&["request", "org.example.Echo", "hello", "--count", "1000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(
        (line.as_str(), ended.code, ended.stderr.as_str()),
        ("hello\n", Some(0), "")
    );
}
