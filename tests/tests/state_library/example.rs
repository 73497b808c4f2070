//! The example of the library, as a process against a real daemon.

use std::env;
use std::process::{Command, Stdio};

use plantd_client::Transport;

use crate::in_time;
use crate::installation::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn the_example_writes_watches_and_ends() {
    let tests = env::current_exe().unwrap();
    let example = tests
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/client-state");
    assert!(
        example.is_file(),
        "{} is built by `cargo test` of the whole package",
        example.display()
    );
    in_time(async {
        let installation = Installation::start(Transport::Plantd).await;
        let mut command = Command::new(example);
        command.arg(installation.endpoint()).stdin(Stdio::null());
        let running = tokio::task::spawn_blocking(move || command.output());
        let output = running.await.unwrap().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert_eq!(printed, "pump/1 is Some(Json(false)) now\n");
    })
    .await;
}
