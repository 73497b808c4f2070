//! The logger as a process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

/// A logger that serves its health; killed when dropped.
pub(crate) struct Logger {
    child: Child,
    lines: mpsc::Receiver<Value>,
    health: String,
}

/// A logger that is not started yet: no environment, free ports, a short batch.
pub(crate) fn command(bus: &str, database: &str, spool: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plantd-logger"));
    command
        .env_clear()
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .args(["--health-port", "0", "--bus-endpoint", bus])
        .args(["--database", database, "--batch-interval", "50ms"])
        .arg("--spool-directory")
        .arg(spool)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

impl Logger {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().unwrap();
        thread::spawn(move || read_lines(stdout, &sender));
        let mut logger = Self {
            child,
            lines,
            health: String::new(),
        };
        let address = logger.line_of("daemon.health")["fields"]["address"].clone();
        logger.health = address.as_str().unwrap().to_owned();
        logger
    }

    /// Waits for the line with this context.
    pub(crate) fn line_of(&mut self, context: &str) -> Value {
        self.lines
            .iter()
            .find(|line| line["context"] == context)
            .unwrap_or_else(|| panic!("it ended before {context}"))
    }

    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.health).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks for the health until it says this of a check.
    pub(crate) fn health_says(&self, check: &str, status: &str) -> String {
        self.health_contains(&format!(r#""name":"{check}","status":"{status}""#))
    }

    /// Asks for the health until this is in it.
    pub(crate) fn health_contains(&self, expected: &str) -> String {
        loop {
            let health = self.get("/healthz");
            if health.contains(expected) {
                return health;
            }
        }
    }

    /// The value of a metric, named with its labels, once there is one.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        loop {
            let metrics = self.get("/metrics");
            let mut lines = metrics.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            if let Some(value) = value {
                return value.parse().unwrap();
            }
        }
    }

    /// Asks for a metric until it has this value.
    pub(crate) fn metric_says(&self, name: &str, expected: f64) {
        while self.metric(name) != expected {}
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.unwrap().success());
        self.exit_code()
    }

    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Logger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end, so that a process that logs much is not stopped by a pipe that is full.
fn read_lines(stdout: ChildStdout, lines: &mpsc::Sender<Value>) {
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { return };
        // A test that has ended reads no more.
        let _ = lines.send(serde_json::from_str(&line).unwrap());
    }
}
