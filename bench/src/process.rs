//! A broker in a process of its own, and what the kernel knows of it.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum as _;

use crate::cli::OwnBroker;
use crate::loops::LISTENING;

/// A broker, killed when dropped.
#[derive(Debug)]
pub(crate) struct BrokerProcess {
    child: Child,
    /// Where it listens: one address, or several in an order that is its own.
    addresses: Vec<String>,
}

/// Which of its outputs tells the address of a broker.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    Stdout,
    Stderr,
}

impl BrokerProcess {
    /// Starts a broker. It tells its addresses at the end of the first line that has `marker` in it.
    pub(crate) fn start(command: &mut Command, told: Told, marker: &str) -> anyhow::Result<Self> {
        command.stdin(Stdio::null());
        match told {
            Told::Stdout => command.stdout(Stdio::piped()),
            Told::Stderr => command.stderr(Stdio::piped()).stdout(Stdio::null()),
        };
        let child = command.spawn().context("start a broker")?;
        let mut process = Self {
            child,
            addresses: Vec::new(),
        };
        let output: Box<dyn Read + Send> = match told {
            Told::Stdout => Box::new(process.child.stdout.take().context("its stdout is piped")?),
            Told::Stderr => Box::new(process.child.stderr.take().context("its stderr is piped")?),
        };
        let mut lines = BufReader::new(output).lines();
        process.addresses = loop {
            let line = lines
                .next()
                .context("the broker ended while it started")??;
            if let Some((_, addresses)) = line.split_once(marker) {
                break addresses.split_whitespace().map(str::to_owned).collect();
            }
        };
        match told {
            Told::Stdout => thread::spawn(move || show(lines)),
            Told::Stderr => thread::spawn(move || lines.for_each(drop)),
        };
        Ok(process)
    }

    /// The address of this place among those that it told.
    pub(crate) fn address(&self, place: usize) -> anyhow::Result<&str> {
        let address = self.addresses.get(place).map(String::as_str);
        address.context("the broker told too few addresses")
    }

    /// User and system time of all its threads so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanoseconds = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let path = thread?.path().join("schedstat");
            // A thread may end between the two reads.
            let Ok(text) = fs::read_to_string(path) else {
                continue;
            };
            let first = text
                .split_whitespace()
                .next()
                .context("schedstat is empty")?;
            nanoseconds += first.parse::<u64>().context("schedstat is no number")?;
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// The memory that is resident, in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
        let kib: u64 = kib.context("status has no VmRSS")?.parse()?;
        Ok(kib * 1024)
    }
}

/// Starts this program once more, as a broker.
pub(crate) fn own(broker: OwnBroker) -> anyhow::Result<BrokerProcess> {
    own_with(broker, &[])
}

/// The same, with variables of the environment that configure it.
pub(crate) fn own_with(
    broker: OwnBroker,
    variables: &[(&str, String)],
) -> anyhow::Result<BrokerProcess> {
    let name = broker
        .to_possible_value()
        .context("every broker has a name")?;
    let mut command = Command::new(env::current_exe()?);
    // Only what is set here configures a broker.
    command.arg("peer").arg(name.get_name()).env_clear();
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    BrokerProcess::start(&mut command, Told::Stdout, LISTENING)
}

/// Starts nats-server with its defaults, in a folder where it finds no configuration.
pub(crate) fn nats() -> anyhow::Result<BrokerProcess> {
    nats_with(&[])
}

/// The same, with further arguments.
pub(crate) fn nats_with(arguments: &[&str]) -> anyhow::Result<BrokerProcess> {
    let mut command = Command::new("nats-server");
    command
        .args(["--addr", "127.0.0.1", "--port", "-1"])
        .args(arguments)
        .current_dir(env::temp_dir());
    let marker = "Listening for client connections on ";
    BrokerProcess::start(&mut command, Told::Stderr, marker)
}

/// Why nats-server cannot be measured here, if so.
pub(crate) fn nats_is_missing() -> Option<&'static str> {
    (!is_on_the_path("nats-server")).then_some("nats-server is not on the PATH")
}

/// Whether a program can be started that tells its version.
pub(crate) fn is_on_the_path(program: &str) -> bool {
    let version = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

/// Passes on what a broker of ours has to say: warnings, which belong to no measurement.
fn show(lines: impl Iterator<Item = std::io::Result<String>>) {
    for line in lines.map_while(Result::ok) {
        // Without a stderr there is nobody left to tell.
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

impl Drop for BrokerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
