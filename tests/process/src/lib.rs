//! A daemon as a process under test: its log, its health, its signals, its end.
//!
//! Everything blocks until it is there. A process that ends before it has said what is waited for ends
//! the test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

use serde_json::Value;

/// A program with nothing of this process's environment, and a folder in which no configuration lies.
pub fn program(path: impl AsRef<Path>, folder: impl AsRef<Path>) -> Command {
    let mut command = Command::new(path.as_ref());
    command
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

/// A daemon that serves its health; killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: mpsc::Receiver<Value>,
    health: String,
}

impl Process {
    /// Starts a daemon, and waits until its health is served.
    ///
    /// # Panics
    /// When it ends before that.
    pub fn start(command: &mut Command) -> Self {
        let spawned = command.stdout(Stdio::piped()).spawn();
        let mut child = spawned.expect("the program is built");
        let stdout = child.stdout.take().expect("its stdout is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || read_lines(stdout, &sender));
        let mut process = Self {
            child,
            lines,
            health: String::new(),
        };
        process.health = process.told("daemon.health", "address");
        process
    }

    /// Waits for the line with this context.
    ///
    /// # Panics
    /// When the log ends before.
    #[track_caller]
    pub fn line_of(&self, context: &str) -> Value {
        self.line(context, |line| line["context"] == context)
    }

    /// Waits for the line of this part of an all-in-one with this context.
    ///
    /// # Panics
    /// When the log ends before.
    #[track_caller]
    pub fn line_of_part(&self, part: &str, context: &str) -> Value {
        let is_it = |line: &Value| line["service"] == part && line["context"] == context;
        self.line(context, is_it)
    }

    /// Waits for the line with this context, and returns one of its fields.
    ///
    /// # Panics
    /// When the log ends before, or the field is no text.
    #[track_caller]
    pub fn told(&self, context: &str, field: &str) -> String {
        text(&self.line_of(context)["fields"][field])
    }

    /// The lines that nobody has waited for, up to the end of the log.
    pub fn rest(&self) -> Vec<Value> {
        self.lines.iter().collect()
    }

    /// Where its health is served: `address:port`.
    pub fn health(&self) -> &str {
        &self.health
    }

    /// Gets a path of its health server: the whole answer, with its headers.
    pub fn get(&self, path: &str) -> String {
        get(&self.health, path)
    }

    /// Asks for the health until this is in it, and returns the answer.
    pub fn health_contains(&self, expected: &str) -> String {
        poll(|| Some(self.get("/healthz")).filter(|health| health.contains(expected)))
    }

    /// Asks for the health until a check has this status, and returns the answer.
    pub fn health_says(&self, check: &str, status: &str) -> String {
        self.health_contains(&format!(r#""name":"{check}","status":"{status}""#))
    }

    /// The value of a metric, named with its labels, once there is one.
    pub fn metric(&self, name: &str) -> f64 {
        poll(|| {
            let metrics = self.get("/metrics");
            let mut lines = metrics.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
            Some(value.parse().expect("a number"))
        })
    }

    /// Asks for a metric until it has this value.
    pub fn metric_says(&self, name: &str, expected: f64) {
        poll(|| (self.metric(name) == expected).then_some(()));
    }

    /// Reads its log no more, as if who read it had gone.
    pub fn leave_log(&mut self) {
        (_, self.lines) = mpsc::channel();
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(sent.expect("kill runs").success(), "kill -s {signal}");
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs or has ended");
        self.exit_code();
    }

    /// Asks it to end; returns its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.exit_code()
    }

    /// Its number, as the kernel has it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end; `None` after a signal.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("it is a child").code()
    }

    #[track_caller]
    fn line(&self, context: &str, is_it: impl FnMut(&Value) -> bool) -> Value {
        let found = self.lines.iter().find(is_it);
        found.unwrap_or_else(|| panic!("it ended before {context}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Gets a path of a health server: the whole answer, with its headers.
pub fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the health server listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let sent = stream.write_all(request.as_bytes());
    sent.expect("the health server reads");
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    read.expect("the health server answers in text");
    answer
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Asks until there is something.
pub fn poll<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(found) = ask() {
            return found;
        }
        thread::yield_now();
    }
}

/// Reads to the end, so that a process that logs much is not stopped by a pipe that is full.
fn read_lines(stdout: ChildStdout, lines: &mpsc::Sender<Value>) {
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("a log in UTF-8");
        let line = serde_json::from_str(&line);
        if lines.send(line.expect("a line of JSON")).is_err() {
            return;
        }
    }
}
