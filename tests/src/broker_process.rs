//! A broker, or a state service that listens itself, in a process of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;
use tempfile::TempDir;

use crate::{Peers, Reading};

/// What comes before the arguments of a test.
const COMMON: [&str; 6] = [
    "--endpoint",
    "tcp://127.0.0.1:0",
    "--health-port",
    "0",
    "--log-level",
    "info",
];

/// A broker that can be measured, stopped and killed; killed when dropped. Or a state service, which
/// is a broker to its own clients.
pub struct BrokerProcess {
    child: Child,
    /// Its part in the names of metrics.
    part: &'static str,
    peers: Peers,
    health: String,
    _folder: Option<TempDir>,
}

impl BrokerProcess {
    /// Starts `program` on a free port, with further arguments.
    pub fn start(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        Self::start_as(Command::new(program.as_ref()), arguments)
    }

    /// Starts a broker by a command that takes a broker's arguments after its own.
    pub fn start_as(mut command: Command, arguments: &[&str]) -> Self {
        command.args(COMMON).args(["--buses", "[]"]).args(arguments);
        Self::run(command, "broker", None)
    }

    /// Starts the state service `program`, which nobody reaches but at its own endpoint.
    pub fn start_state(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for a database");
        let mut command = Command::new(program.as_ref());
        command
            .args(COMMON)
            .arg("--db")
            .arg(folder.path().join("state.db"))
            .args(["--broker-endpoint", "", "--bus-endpoint", ""])
            .args(arguments);
        Self::run(command, "state", Some(folder))
    }

    fn run(mut command: Command, part: &'static str, folder: Option<TempDir>) -> Self {
        let mut child = command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the broker starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its log is read")).lines();
        let mut told = |context: &str, field: &str| loop {
            let line = lines
                .next()
                .expect("the log goes on until the broker serves");
            let line: Value = serde_json::from_str(&line.expect("the log is text"))
                .expect("a line of the log is JSON");
            if line["context"] == context {
                let value = line["fields"][field].as_str();
                return value.expect("the log tells an address").to_owned();
            }
        };
        let health = told("daemon.health", "address");
        let endpoint = told(&format!("{part}.bound"), "endpoint");
        // Somebody has to read what the broker logs.
        thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            part,
            peers: Peers::new(endpoint),
            health,
            _folder: folder,
        }
    }

    /// Makes peers of this broker.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// What `/metrics` shows.
    pub fn metrics(&self) -> Reading {
        let mut stream = TcpStream::connect(&self.health).expect("the health server accepts");
        let request = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("the health server reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the health server answers");
        Reading::of(self.part, answer)
    }

    /// Sends a signal by its name, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.expect("kill runs").success(), "SIG{signal} is sent");
    }

    /// The memory that is resident, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.memory_bytes("VmRSS:")
    }

    /// The most memory that was resident at any time, in bytes.
    pub fn peak_bytes(&self) -> u64 {
        self.memory_bytes("VmHWM:")
    }

    /// Whether the process has not ended.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn memory_bytes(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib
            .and_then(|kib| kib.parse().ok())
            .expect("the kernel counts in kB");
        kib * 1024
    }

    /// How many descriptors are open.
    pub fn descriptors(&self) -> usize {
        let folder = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        folder.expect("the process runs").count()
    }

    /// Waits until the process has ended, and returns its exit code.
    pub fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("the process ends").code()
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
