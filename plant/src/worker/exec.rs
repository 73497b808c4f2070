//! Answers a request by a command: the body on its stdin, its stdout as the answer.
//!
//! The command runs as a process group of its own. When nobody waits for the answer any more, the
//! whole group is killed; signals of the terminal do not reach it, so that a drain can finish it.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};

use plantd_client::{Body, WorkerError};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};

/// The most that any broker can be told to take.
const ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// How much of the end of stderr an error carries.
const STDERR_BYTES: usize = 1024;

/// Kills a process group unless it has ended.
#[derive(Debug)]
struct Group(Option<Pid>);

/// Runs a command to its end.
pub(super) async fn run(command: &str, body: &Body) -> Result<Body, WorkerError> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| WorkerError::new("exec", format!("start sh: {error}")).retryable())?;
    let mut group = Group::of(&child);
    let stdin = child.stdin.take().expect("stdin is piped");
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let ((), answer, complaint) =
        tokio::try_join!(feed(stdin, body), all(stdout), last(stderr, STDERR_BYTES))?;
    let status = child
        .wait()
        .await
        .map_err(|error| broken("wait for the command", &error))?;
    group.has_ended();
    if status.success() {
        Ok(Body::from(answer))
    } else {
        Err(failed(status, &complaint))
    }
}

async fn feed(mut stdin: ChildStdin, body: &Body) -> Result<(), WorkerError> {
    for frame in body.frames() {
        // A command may answer without having read all, or anything, of the body.
        if stdin.write_all(frame).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn all(stdout: impl AsyncRead + Unpin) -> Result<Vec<u8>, WorkerError> {
    let mut answer = Vec::new();
    let read = stdout.take(ANSWER_BYTES + 1).read_to_end(&mut answer).await;
    read.map_err(|error| broken("read the command's stdout", &error))?;
    if answer.len() as u64 > ANSWER_BYTES {
        return Err(WorkerError::new(
            "too-large",
            "the command wrote more than 16 MiB",
        ));
    }
    Ok(answer)
}

/// Reads to the end and keeps the last bytes.
async fn last(mut stderr: impl AsyncRead + Unpin, most: usize) -> Result<Vec<u8>, WorkerError> {
    let mut kept = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stderr.read(&mut chunk).await;
        let count = read.map_err(|error| broken("read the command's stderr", &error))?;
        if count == 0 {
            return Ok(kept);
        }
        kept.extend_from_slice(&chunk[..count]);
        kept.drain(..kept.len().saturating_sub(most));
    }
}

fn broken(what: &str, error: &std::io::Error) -> WorkerError {
    WorkerError::new("exec", format!("{what}: {error}"))
}

/// `exit-2` or `signal-9`, with the end of what the command wrote to stderr.
fn failed(status: ExitStatus, complaint: &[u8]) -> WorkerError {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit-{code}"),
        (None, Some(signal)) => format!("signal-{signal}"),
        (None, None) => "exec".to_owned(),
    };
    let complaint = String::from_utf8_lossy(complaint);
    WorkerError::new(code, complaint.trim())
}

impl Group {
    /// The group of a child that was started as the head of one.
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // A group that is gone already is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests;
