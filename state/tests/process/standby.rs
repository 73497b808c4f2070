//! Two daemons on one store: one serves, the other waits and takes over.

use std::process::Command;

use plantd_test_process::poll;

use crate::running::{Broker, get, set, start_state};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_waits_and_takes_over_what_was_acknowledged() {
    let broker = Broker::start().await;
    let client = broker.client();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("state.db");
    let mut first = start_state(&broker, &database, &[]);
    first.line_of("worker.started");
    let mut second = start_state(&broker, &database, &[]);
    second.line_of("state.standby");
    assert!(second.get("/healthz").starts_with("HTTP/1.1 200 "));
    assert!(second.get("/readyz").starts_with("HTTP/1.1 503 "));
    for index in 0..100 {
        set(&client, "a", index).await;
    }

    first.kill();

    second.line_of("state.takeover");
    assert_eq!(get(&client, "a").await, 99);
    assert!(second.get("/readyz").starts_with("HTTP/1.1 200 "));
    assert_eq!(second.terminate(), Some(0));
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_programs_read_and_copy_the_database_while_it_is_served() {
    let broker = Broker::start().await;
    let client = broker.client();
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("state.db");
    let mut state = start_state(&broker, &database, &[]);
    set(&client, "a", "one").await;
    let copy = folder.path().join("copy.db");
    let command = format!(".backup {}", copy.display());
    let Ok(output) = Command::new("sqlite3").arg(&database).arg(command).output() else {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "passed over: sqlite3 is not installed");
        return;
    };
    assert!(output.status.success(), "{output:?}");
    set(&client, "a", "two").await;

    // The table follows the history.
    let columns = "SELECT scope, key, value, timestamp > 1700000000000000000 FROM state";
    let read = || {
        let read = Command::new("sqlite3").arg(&database).arg(columns).output();
        String::from_utf8(read.unwrap().stdout).unwrap()
    };
    let row = "org.example|a|\"two\"|1";
    poll(|| (read().trim() == row).then_some(()));
    assert_eq!(state.terminate(), Some(0));
    // A copy is a store, and has what was acknowledged before it was made.
    let mut copied = start_state(&broker, &copy, &[("PLANTD_STATE_CHECK", "full")]);
    assert_eq!(get(&client, "a").await, "one");
    assert_eq!(copied.terminate(), Some(0));
    broker.stop().await;
}
