//! The services that are compared.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Serialize, Serializer};
use tempfile::TempDir;

use super::script::{Language, create_bucket, subscriber};
use crate::cli::OwnBroker;
use crate::process::{BrokerProcess, Told, is_on_the_path, nats_with, own, own_with};
use crate::zmtp;

/// A service to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Plantd,
    NatsKv,
    Redis,
}

/// A service that runs, with an empty store.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) language: Language,
    /// Where clients connect.
    pub(super) address: String,
    /// Its processes; the last one has the store.
    processes: Vec<BrokerProcess>,
    /// The folder of its store, deleted with it.
    folder: TempDir,
    /// How many clients it has had.
    clients: AtomicU64,
}

impl Peer {
    /// Who is measured, plantd first.
    pub(super) const ALL: [Self; 3] = [Self::Plantd, Self::NatsKv, Self::Redis];

    /// Why this service cannot be measured here, if so.
    pub(super) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Plantd => None,
            Self::NatsKv => crate::process::nats_is_missing(),
            Self::Redis => {
                (!is_on_the_path("redis-server")).then_some("redis-server is not on the PATH")
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plantd => "plantd",
            Self::NatsKv => "NATS KV",
            Self::Redis => "Redis",
        }
    }

    /// Starts it on free ports, with a store in a new folder in this one.
    pub(super) fn start(self, folder: &Path) -> anyhow::Result<Service> {
        let folder = TempDir::with_prefix_in("plantd-bench-", folder);
        let folder = folder.context("make a folder for the store")?;
        let started = match self {
            Self::Plantd => plantd(folder),
            Self::NatsKv => nats_kv(folder),
            Self::Redis => redis(folder),
        };
        started.with_context(|| format!("start {}", self.name()))
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Service {
    fn new(
        language: Language,
        address: String,
        processes: Vec<BrokerProcess>,
        folder: TempDir,
    ) -> Self {
        Self {
            language,
            address,
            processes,
            folder,
            clients: AtomicU64::new(0),
        }
    }

    /// A number for a client, that no other one has had.
    pub(super) fn number_client(&self) -> u64 {
        self.clients.fetch_add(1, Ordering::Relaxed)
    }

    /// User and system time of all its processes so far.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        self.processes.iter().map(BrokerProcess::cpu).sum()
    }

    /// The memory of the process that has the store, in bytes.
    pub(super) fn store_bytes(&self) -> anyhow::Result<u64> {
        let store = self.processes.last().context("a service has a process")?;
        store.resident_bytes()
    }

    /// The folder of its store.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills plantd's state process, and starts it on the same store.
    pub(super) fn reopen(&mut self) -> anyhow::Result<()> {
        drop(self.processes.pop());
        let broker = self.processes.last().context("plantd has a broker")?;
        let state = state_process(broker, self.folder.path())?;
        self.processes.push(state);
        Ok(())
    }
}

/// A broker and a state service, both as installed: history, and changes published on a bus, where
/// somebody subscribes to all of them.
fn plantd(folder: TempDir) -> anyhow::Result<Service> {
    let broker = own(OwnBroker::Plantd)?;
    let address = broker.address(0)?.to_owned();
    subscribe(broker.address(2)?)?;
    let state = state_process(&broker, folder.path())?;
    Ok(Service::new(
        Language::Mdp,
        address,
        vec![broker, state],
        folder,
    ))
}

/// Subscribes to all that a bus has.
fn subscribe(backend: &str) -> anyhow::Result<()> {
    let mut stream: TcpStream = zmtp::connect(backend, "SUB").context("subscribe")?;
    stream.write_all(&zmtp::encode(&[b"\x01"]).bytes)?;
    read_all(stream);
    Ok(())
}

/// Reads what comes, until it ends.
fn read_all(mut stream: TcpStream) {
    let mut bytes = vec![0; 1 << 20];
    thread::spawn(move || while stream.read(&mut bytes).is_ok_and(|count| count > 0) {});
}

fn state_process(broker: &BrokerProcess, folder: &Path) -> anyhow::Result<BrokerProcess> {
    let database = folder.join("state.db").display().to_string();
    let endpoint = |place| Ok::<_, anyhow::Error>(format!("tcp://{}", broker.address(place)?));
    own_with(
        OwnBroker::PlantdState,
        &[
            ("PLANTD_STATE_BROKER_ENDPOINT", endpoint(0)?),
            ("PLANTD_STATE_BUS_ENDPOINT", endpoint(1)?),
            ("PLANTD_STATE_DB", database),
        ],
    )
}

/// A bucket as its clients make it, and somebody who is sent every value, as with plantd.
fn nats_kv(folder: TempDir) -> anyhow::Result<Service> {
    let store = folder.path().display().to_string();
    let server = nats_with(&["--jetstream", "--store_dir", &store])?;
    let address = server.address(0)?.to_owned();
    create_bucket(&address)?;
    read_all(subscriber(&address)?);
    Ok(Service::new(Language::Nats, address, vec![server], folder))
}

/// An append-only file that is synced before a reply, and no snapshots.
fn redis(folder: TempDir) -> anyhow::Result<Service> {
    // redis-server cannot choose a port that is free.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &port.port().to_string()])
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(["--save", "", "--dir"])
        .arg(folder.path());
    let ready = "Ready to accept connections";
    let server = BrokerProcess::start(&mut command, Told::Stdout, ready)?;
    Ok(Service::new(
        Language::Redis,
        port.to_string(),
        vec![server],
        folder,
    ))
}
