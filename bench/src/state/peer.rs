//! The services that are compared.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Serialize, Serializer};
use tempfile::TempDir;

use super::script::{Language, create_bucket, nats_subscriber, redis_subscriber};
use crate::cli::OwnBroker;
use crate::process::{BrokerProcess, Told, is_on_the_path, nats_with, own, own_with};
use crate::zmtp;

/// How long a service may take until it answers, in milliseconds.
const PATIENCE_MS: i32 = 10_000;

/// A service to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// Asked through its broker.
    Plantd,
    /// Asked at its own endpoint.
    PlantdDirect,
    NatsKv,
    Redis,
}

/// What services are started in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setting<'a> {
    /// Where they make folders for their stores.
    pub(super) folder: &'a Path,
    /// Whether somebody subscribes to all changes.
    pub(super) has_subscriber: bool,
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
    pub(super) const ALL: [Self; 4] = [Self::Plantd, Self::PlantdDirect, Self::NatsKv, Self::Redis];

    /// Why this service cannot be measured here, if so.
    pub(super) fn missing(self) -> Option<&'static str> {
        match self {
            Self::Plantd | Self::PlantdDirect => None,
            Self::NatsKv => crate::process::nats_is_missing(),
            Self::Redis => {
                (!is_on_the_path("redis-server")).then_some("redis-server is not on the PATH")
            }
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plantd => "plantd",
            Self::PlantdDirect => "plantd, direct",
            Self::NatsKv => "NATS KV",
            Self::Redis => "Redis",
        }
    }

    /// Starts it on free ports, with a store of its own.
    pub(super) fn start(self, setting: Setting<'_>) -> anyhow::Result<Service> {
        let folder = TempDir::with_prefix_in("plantd-bench-", setting.folder);
        let folder = folder.context("make a folder for the store")?;
        let started = match self {
            Self::Plantd => plantd(folder, setting),
            Self::PlantdDirect => plantd_direct(folder, setting),
            Self::NatsKv => nats_kv(folder, setting),
            Self::Redis => redis(folder, setting),
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
        let state = state_process(broker, self.folder.path(), None)?;
        self.processes.push(state);
        Ok(())
    }
}

/// A broker and a state service, both as installed: history, and changes published on a bus.
fn plantd(folder: TempDir, setting: Setting<'_>) -> anyhow::Result<Service> {
    let broker = plantd_broker(setting)?;
    let address = broker.address(0)?.to_owned();
    let state = state_process(&broker, folder.path(), None)?;
    let processes = vec![broker, state];
    Ok(Service::new(Language::Mdp, address, processes, folder))
}

/// The same, where the state service listens itself.
fn plantd_direct(folder: TempDir, setting: Setting<'_>) -> anyhow::Result<Service> {
    let broker = plantd_broker(setting)?;
    let address = free_address()?;
    let state = state_process(&broker, folder.path(), Some(address))?;
    await_answer(address)?;
    let processes = vec![broker, state];
    let address = address.to_string();
    Ok(Service::new(Language::Mdp, address, processes, folder))
}

fn plantd_broker(setting: Setting<'_>) -> anyhow::Result<BrokerProcess> {
    let broker = own(OwnBroker::Plantd)?;
    if setting.has_subscriber {
        subscribe(broker.address(2)?)?;
    }
    Ok(broker)
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

fn state_process(
    broker: &BrokerProcess,
    folder: &Path,
    own_address: Option<SocketAddr>,
) -> anyhow::Result<BrokerProcess> {
    let database = folder.join("state.db").display().to_string();
    let endpoint = |place| Ok::<_, anyhow::Error>(format!("tcp://{}", broker.address(place)?));
    let mut variables = vec![
        ("PLANTD_STATE_BROKER_ENDPOINT", endpoint(0)?),
        ("PLANTD_STATE_BUS_ENDPOINT", endpoint(1)?),
        ("PLANTD_STATE_DB", database),
    ];
    variables.extend(own_address.map(|it| ("PLANTD_STATE_ENDPOINT", format!("tcp://{it}"))));
    own_with(OwnBroker::PlantdState, &variables)
}

/// An address for a server that cannot choose a port that is free.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// Waits until plantd answers there: libzmq connects again until somebody listens.
fn await_answer(address: SocketAddr) -> anyhow::Result<()> {
    let socket = zmq::Context::new().socket(zmq::REQ)?;
    socket.set_rcvtimeo(PATIENCE_MS)?;
    socket.set_linger(0)?;
    socket.connect(&format!("tcp://{address}"))?;
    socket.send_multipart(["MDPC01", "mmi.service", "org.plantd.State"], 0)?;
    let answer = socket.recv_multipart(0);
    answer.with_context(|| format!("nobody answers at {address}"))?;
    Ok(())
}

/// A bucket as its clients make it, whose subscriber is sent every value, as with plantd.
fn nats_kv(folder: TempDir, setting: Setting<'_>) -> anyhow::Result<Service> {
    let store = folder.path().display().to_string();
    let server = nats_with(&["--jetstream", "--store_dir", &store])?;
    let address = server.address(0)?.to_owned();
    create_bucket(&address)?;
    if setting.has_subscriber {
        read_all(nats_subscriber(&address)?);
    }
    Ok(Service::new(Language::Nats, address, vec![server], folder))
}

/// An append-only file that is synced before a reply, and no snapshots. Its subscriber is told of every key that is set, and not
/// of the value, which is all that it tells.
fn redis(folder: TempDir, setting: Setting<'_>) -> anyhow::Result<Service> {
    let address = free_address()?;
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &address.port().to_string()])
        .args(["--appendonly", "yes", "--appendfsync", "always"])
        .args(["--save", "", "--dir"])
        .arg(folder.path());
    if setting.has_subscriber {
        command.args(["--notify-keyspace-events", "E$"]);
    }
    let ready = "Ready to accept connections";
    let server = BrokerProcess::start(&mut command, Told::Stdout, ready)?;
    let address = address.to_string();
    if setting.has_subscriber {
        read_all(redis_subscriber(&address)?);
    }
    Ok(Service::new(Language::Redis, address, vec![server], folder))
}
