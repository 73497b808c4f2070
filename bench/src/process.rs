//! A broker in a process of its own, and what the kernel knows of it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// A broker, killed when dropped.
#[derive(Debug)]
pub(crate) struct BrokerProcess {
    child: Child,
    pub(crate) address: String,
}

/// Which of its outputs tells the address of a broker.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told {
    Stdout,
    Stderr,
}

impl BrokerProcess {
    /// Starts a broker. It tells its address at the end of the first line that has `marker` in it.
    pub(crate) fn start(command: &mut Command, told: Told, marker: &str) -> anyhow::Result<Self> {
        command.stdin(Stdio::null());
        match told {
            Told::Stdout => command.stdout(Stdio::piped()),
            Told::Stderr => command.stderr(Stdio::piped()).stdout(Stdio::null()),
        };
        let child = command.spawn().context("start a broker")?;
        let mut process = Self {
            child,
            address: String::new(),
        };
        let output: Box<dyn Read + Send> = match told {
            Told::Stdout => Box::new(process.child.stdout.take().context("its stdout is piped")?),
            Told::Stderr => Box::new(process.child.stderr.take().context("its stderr is piped")?),
        };
        let mut lines = BufReader::new(output).lines();
        process.address = loop {
            let line = lines
                .next()
                .context("the broker ended while it started")??;
            if let Some((_, address)) = line.split_once(marker) {
                break address.trim().to_owned();
            }
        };
        match told {
            Told::Stdout => thread::spawn(move || show(lines)),
            Told::Stderr => thread::spawn(move || lines.for_each(drop)),
        };
        Ok(process)
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
