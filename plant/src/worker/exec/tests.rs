//! Real commands.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::*;

const SAFETY_NET: Duration = Duration::from_secs(30);

async fn answer(command: &str, body: &Body) -> Result<Body, WorkerError> {
    timeout(SAFETY_NET, run(command, body))
        .await
        .expect("the command ends")
}

#[tokio::test]
async fn the_answer_is_what_the_command_makes_of_the_body() {
    let body = Body::from_frames(["hello ", "world"]);
    assert_eq!(
        answer("tr a-z A-Z", &body).await,
        Ok(Body::from("HELLO WORLD"))
    );
}

#[tokio::test]
async fn a_body_larger_than_a_pipe_goes_through() {
    let large = Body::from(vec![b'x'; 1 << 20]);
    assert_eq!(answer("cat", &large).await, Ok(large));
}

#[tokio::test]
async fn a_command_need_not_read_the_body() {
    let large = Body::from(vec![b'x'; 1 << 20]);
    assert_eq!(answer("printf done", &large).await, Ok(Body::from("done")));
}

#[tokio::test]
async fn a_failed_command_is_an_error_with_its_last_words() {
    let error = answer(
        "echo partial; echo 'no such pump' >&2; exit 3",
        &Body::from(""),
    )
    .await;
    assert_eq!(error, Err(WorkerError::new("exit-3", "no such pump")));

    let error = answer("kill -TERM $$", &Body::from("")).await;
    assert_eq!(error, Err(WorkerError::new("signal-15", "")));
}

#[tokio::test]
async fn only_the_end_of_stderr_is_kept() {
    let command = "head -c 100000 /dev/zero | tr '\\0' x >&2; printf end >&2; exit 1";
    let error = answer(command, &Body::from("")).await.unwrap_err();
    assert_eq!(error.message.len(), STDERR_BYTES);
    assert!(error.message.ends_with("xend"));
}

#[tokio::test]
async fn an_endless_answer_is_refused() {
    let error = answer("cat /dev/zero", &Body::from("")).await.unwrap_err();
    assert_eq!(error.code, "too-large");
}

#[tokio::test]
async fn a_request_that_is_given_up_kills_all_that_its_command_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alive");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    let mut alive = BufReader::new(pipe::OpenOptions::new().open_receiver(&path).unwrap());
    let command = format!(
        "exec 9>{}; echo begun >&9; sleep 1000 | sleep 1000",
        path.display()
    );
    let body = Body::from("");
    let mut line = String::new();

    tokio::select! {
        ended = answer(&command, &body) => panic!("the command ended: {ended:?}"),
        begun = alive.read_line(&mut line) => assert_eq!(begun.unwrap(), "begun\n".len()),
    }

    // The pipe ends when the last process that has it open is gone.
    let end = timeout(SAFETY_NET, alive.read_line(&mut line)).await;
    assert_eq!(end.expect("all processes are killed").unwrap(), 0);
}
