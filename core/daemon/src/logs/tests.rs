//! Events in, lines out.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tracing::{error, info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt as _;

use super::layer::Records;
use super::part;
use super::record::Record;
use super::writer::{Format, Queue, Writer};

fn ten_thirty() -> Timestamp {
    "2024-01-15T10:30:00Z".parse().expect("a timestamp")
}

fn recorded(events: impl FnOnce()) -> VecDeque<Record> {
    let queue = Arc::new(Queue::default());
    let records = Records {
        queue: queue.clone(),
        service: "broker".to_owned(),
        now: ten_thirty,
    };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(records), events);
    queue.take().0
}

fn json(events: impl FnOnce()) -> String {
    let mut lines = String::new();
    recorded(events)
        .iter()
        .for_each(|record| record.write_json(&mut lines));
    lines
}

fn text(events: impl FnOnce()) -> String {
    let mut lines = String::new();
    recorded(events)
        .iter()
        .for_each(|record| record.write_text(&mut lines));
    lines
}

fn parsed(line: &str) -> Value {
    serde_json::from_str(line).expect("a line is JSON")
}

#[test]
fn the_line_of_the_protocol_byte_for_byte() {
    let line = json(|| {
        info!(
            context = "worker.registration",
            worker_id = "worker-123",
            endpoint = "tcp://127.0.0.1:9797",
            service_name = "org.plantd.State",
            "worker registered successfully"
        );
    });
    assert_eq!(
        line,
        concat!(
            r#"{"timestamp":"2024-01-15T10:30:00Z","level":"info","service":"broker","#,
            r#""context":"worker.registration","worker_id":"worker-123","#,
            r#""message":"worker registered successfully","#,
            r#""fields":{"endpoint":"tcp://127.0.0.1:9797","service_name":"org.plantd.State"}}"#,
            "\n"
        )
    );
}

#[test]
fn the_same_line_as_text() {
    let line = text(|| {
        info!(
            context = "worker.registration",
            worker_id = "worker-123",
            peers = 3,
            note = "two words",
            "registered"
        );
    });
    assert_eq!(
        line,
        "2024-01-15T10:30:00Z INFO  broker worker.registration: registered \
         worker_id=worker-123 peers=3 note=\"two words\"\n"
    );
}

#[test]
fn ids_of_spans_stand_at_the_top_in_one_order() {
    let line = json(|| {
        let _request =
            info_span!("request", span_id = "b7", trace_id = "4b", route = "x").entered();
        warn!(request_id = 7_u64, client_id = "c1", "slow");
    });
    let at = |name: &str| line.find(&format!("\"{name}\":")).expect("the line has it");
    let order = [
        "context",
        "client_id",
        "request_id",
        "trace_id",
        "span_id",
        "message",
        "fields",
    ];
    assert!(order.is_sorted_by_key(|name| at(name)), "{line}");
    assert_eq!(parsed(&line)["request_id"], 7);
    assert_eq!(parsed(&line)["fields"], serde_json::json!({"route": "x"}));
}

#[test]
fn a_part_gives_its_lines_their_service() {
    let lines = json(|| {
        part("state").in_scope(|| info!("from the part"));
        info!(service = "org.plantd.State", "from the process");
    });
    let lines: Vec<Value> = lines.lines().map(parsed).collect();
    assert_eq!(lines[0]["service"], "state");
    assert_eq!(lines[0]["fields"], serde_json::json!({}));
    assert_eq!(lines[1]["service"], "broker");
    assert_eq!(lines[1]["fields"]["service"], "org.plantd.State");
}

#[test]
fn the_context_is_the_module_where_none_is_said() {
    let line = json(|| {
        info!(target: "plantd_broker::router::dispatch", "a");
        info!(target: "plantd_broker", "b");
        info!(target: "hyper::proto", "c");
    });
    let contexts: Vec<Value> = line
        .lines()
        .map(|line| parsed(line)["context"].take())
        .collect();
    assert_eq!(contexts, ["router.dispatch", "broker", "hyper.proto"]);
}

#[test]
fn what_a_peer_sent_stays_one_line_without_control_characters() {
    let hostile = "a\nb\r\u{1b}[2J\u{7f}\u{9b}31m\u{2028}\u{202e}\u{0}\"\\é";
    let events = || info!(worker_id = hostile, peer = hostile, "{hostile}");
    for line in [json(events), text(events)] {
        let harmless = |c: char| !c.is_control() && !['\u{2028}', '\u{202e}'].contains(&c);
        assert!(
            line.trim_end_matches('\n').chars().all(harmless),
            "{line:?}"
        );
        assert_eq!(line.matches('\n').count(), 1);
    }
    let line = parsed(&json(events));
    for text in [
        &line["worker_id"],
        &line["message"],
        &line["fields"]["peer"],
    ] {
        assert_eq!(text, hostile);
    }
}

#[test]
fn an_error_field_carries_its_sources_and_numbers_stay_numbers() {
    let error = super::LogsError::Thread(io::Error::other("no threads left"));
    let line = parsed(&json(|| {
        error!(
            error = &error as &dyn std::error::Error,
            ratio = 0.5,
            up = true,
            delta = -1,
            "failed"
        );
    }));
    assert_eq!(
        line["fields"],
        serde_json::json!({
            "error": "start the thread that writes logs: no threads left", "ratio": 0.5, "up": true, "delta": -1
        })
    );
}

#[test]
fn a_full_queue_drops_counts_and_says_so() {
    let queue = Arc::new(Queue::default());
    let records = Records {
        queue: queue.clone(),
        service: "broker".to_owned(),
        now: ten_thirty,
    };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(records), || {
        for number in 0..10_000 {
            info!(number, "line");
        }
    });
    assert_eq!(queue.dropped.get(), 10_000 - 8_192);

    let (records, dropped) = queue.take();
    let mut stdout = Vec::new();
    writer(&mut stdout, Format::Json, queue).write(&records, dropped);

    let lines = String::from_utf8(stdout).expect("lines are text");
    assert_eq!(lines.lines().count(), 8_192 + 1);
    let last = parsed(lines.lines().last().expect("a line"));
    assert_eq!(
        (&last["context"], &last["fields"]["dropped"]),
        (&"logs.dropped".into(), &1_808.into())
    );
}

#[test]
fn the_log_file_is_json_whatever_stdout_is() {
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join("broker.log");
    let mut stdout = Vec::new();
    let mut writer = writer(&mut stdout, Format::Text, Arc::default());
    writer.file = Some(std::fs::File::create(&path).expect("a file"));

    writer.write(&recorded(|| info!("hello")), 0);

    let line = std::fs::read_to_string(&path).expect("the file");
    assert_eq!(parsed(&line)["message"], "hello");
    assert!(
        String::from_utf8(stdout)
            .expect("text")
            .contains(": hello\n")
    );
}

#[test]
fn a_closed_stdout_stops_nobody() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let directory = tempfile::tempdir().expect("a folder");
    let path = directory.path().join("broker.log");
    let mut writer = writer(Closed, Format::Json, Arc::default());
    writer.file = Some(std::fs::File::create(&path).expect("a file"));

    writer.write(&recorded(|| info!("first")), 0);
    writer.write(&recorded(|| info!("second")), 0);

    assert_eq!(
        std::fs::read_to_string(&path)
            .expect("the file")
            .lines()
            .count(),
        2
    );
}

fn writer<W: io::Write>(stdout: W, format: Format, queue: Arc<Queue>) -> Writer<W> {
    Writer {
        queue,
        service: "broker".to_owned(),
        format,
        stdout,
        file: None,
    }
}
