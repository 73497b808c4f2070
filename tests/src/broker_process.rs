//! A broker, or a state service that listens itself, in a process of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use plantd_test_process::Process;
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
    process: Process,
    /// Its part in the names of metrics.
    part: &'static str,
    peers: Peers,
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
        let process = Process::start(command.env_clear().stdin(Stdio::null()));
        let endpoint = process.told(&format!("{part}.bound"), "endpoint");
        Self {
            process,
            part,
            peers: Peers::new(endpoint),
            _folder: folder,
        }
    }

    /// Makes peers of this broker.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// What `/metrics` shows.
    pub fn metrics(&self) -> Reading {
        Reading::of(self.part, self.process.get("/metrics"))
    }

    /// Sends a signal by its name, such as `STOP`.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
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
        self.process.is_running()
    }

    fn memory_bytes(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()));
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
        let folder = fs::read_dir(format!("/proc/{}/fd", self.process.id()));
        folder.expect("the process runs").count()
    }

    /// Waits until the process has ended, and returns its exit code.
    pub fn exit_code(mut self) -> Option<i32> {
        self.process.exit_code()
    }
}
