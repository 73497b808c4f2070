//! A broker, its workers, and what is between them and the clients.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use plantd_client::Client;
use plantd_tests::{BrokerProcess, Deadline, Reading};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::attack::FLOODED;
use crate::bus_load::BusPorts;
use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::processes::worker::SERVICE;
use crate::proxy::Proxy;

/// How many workers there are.
pub(crate) const WORKERS: usize = 3;

/// What a round needs to be different.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setting {
    /// Further arguments of the broker.
    pub(crate) arguments: &'static [&'static str],
    /// The descriptors that the broker may have.
    pub(crate) descriptors: Option<u32>,
    /// There is a worker for greedy peers.
    pub(crate) is_flooded: bool,
    /// The broker carries a bus.
    pub(crate) has_bus: bool,
    /// Peers come by the proxy.
    pub(crate) is_proxied: bool,
}

/// A broker and its workers, as processes.
pub(crate) struct Scene {
    pub(crate) dice: Dice,
    pub(crate) runtime: Runtime,
    pub(crate) ledger: Ledger,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) bus: Option<BusPorts>,
    pub(crate) strikes: u64,
    program: PathBuf,
    setting: Setting,
    folder: TempDir,
    broker: Option<BrokerProcess>,
    endpoint: String,
    workers: Vec<WorkerProcess>,
    /// The most memory that any of the brokers had.
    peak_bytes: u64,
}

struct WorkerProcess {
    child: Child,
}

impl Scene {
    pub(crate) fn new(program: &Path, setting: Setting, seed: u64) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut dice = Dice::new(seed);
        let bus = setting.has_bus.then(BusPorts::free);
        let broker = start_broker(program, setting, bus.as_ref(), "tcp://127.0.0.1:0");
        let endpoint = broker.peers().endpoint().to_owned();
        let proxy = setting.is_proxied.then(|| {
            let address = endpoint.trim_start_matches("tcp://").to_owned();
            runtime.block_on(Proxy::start(address, dice.another()))
        });
        let mut scene = Self {
            dice,
            runtime,
            ledger: Ledger::default(),
            proxy,
            bus,
            strikes: 0,
            program: program.to_owned(),
            setting,
            folder: tempfile::tempdir().expect("a folder for journals"),
            broker: Some(broker),
            endpoint,
            workers: Vec::new(),
            peak_bytes: 0,
        };
        scene.workers = (0..WORKERS).map(|index| scene.worker(index)).collect();
        if setting.is_flooded {
            let flooded = scene.worker_with(&["--service", FLOODED]);
            scene.workers.push(flooded);
        }
        scene
    }

    /// Where peers are told to dial.
    pub(crate) fn dialled(&self) -> &str {
        self.proxy.as_ref().map_or(&self.endpoint, Proxy::endpoint)
    }

    /// Where the broker listens.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("executions")
    }

    pub(crate) fn waits(&self, time: Duration) {
        self.runtime
            .block_on(async { tokio::time::sleep(time).await });
    }

    /// Waits for some time by chance.
    pub(crate) fn rests(&mut self, milliseconds: RangeInclusive<u64>) {
        let time = self.dice.milliseconds(milliseconds);
        self.waits(time);
    }

    /// Kills a worker, and starts another in its place.
    pub(crate) fn kill_worker(&mut self) {
        self.strikes += 1;
        let index = self.dice.count(0..=WORKERS - 1);
        self.workers[index] = self.worker(index);
    }

    /// Kills the broker, and starts it again where it was.
    pub(crate) fn kill_broker(&mut self) {
        self.strikes += 1;
        self.note_peak();
        self.broker = None;
        let down = self.dice.milliseconds(0..=300);
        self.waits(down);
        let bus = self.bus.as_ref();
        let broker = start_broker(&self.program, self.setting, bus, &self.endpoint);
        self.broker = Some(broker);
    }

    /// Stops a worker for a while.
    pub(crate) fn stop_worker(&mut self, time: Duration) {
        self.strikes += 1;
        let index = self.dice.count(0..=WORKERS - 1);
        self.workers[index].signal(Signal::STOP);
        self.waits(time);
        self.workers[index].signal(Signal::CONT);
    }

    /// Stops the broker for a while.
    pub(crate) fn stop_broker(&mut self, time: Duration) {
        self.strikes += 1;
        self.broker().signal("STOP");
        self.waits(time);
        self.broker().signal("CONT");
    }

    pub(crate) fn metrics(&self) -> Reading {
        self.broker().metrics()
    }

    /// The most memory that a broker had so far, as the kernel has counted it.
    pub(crate) fn peak_bytes(&mut self) -> u64 {
        self.note_peak();
        self.peak_bytes
    }

    /// Says whether the broker lives.
    pub(crate) fn broker_lives(&mut self) -> bool {
        self.broker.as_mut().is_some_and(BrokerProcess::is_running)
    }

    /// Ends what faults go on, and waits until everybody has found everybody again: every worker is
    /// registered, requests are answered, and nothing is held for anybody.
    ///
    /// # Errors
    /// What did not come about in time.
    pub(crate) fn recovers(&mut self) -> Result<(), String> {
        if let Some(proxy) = &self.proxy {
            proxy.calms();
        }
        let soon = Duration::from_millis(50);
        let endpoint = self.dialled().to_owned();
        let client = self.runtime.block_on(async {
            let client = Client::builder().broker(&endpoint);
            client.reconnect_delays(soon, 4 * soon).connect()
        });
        let client = client.map_err(|error| error.to_string())?;
        self.until("every worker is registered", || {
            let workers = client.mmi("workers", Some(SERVICE));
            let workers = self.runtime.block_on(workers).ok()?;
            let total = workers.data?["total"].as_u64()?;
            (total == WORKERS as u64).then_some(())
        })?;
        self.until("requests are answered", || {
            let asked = (0..20).map(|_| client.request(SERVICE, "0 0 0"));
            self.runtime.block_on(async {
                for request in asked {
                    request.timeout(Duration::from_secs(5)).await.ok()?;
                }
                Some(())
            })
        })?;
        self.until("nothing is held", || {
            let reading = self.metrics();
            let held = [
                "requests_unanswered",
                "requests_queued",
                "requests_held_bytes",
            ];
            held.iter()
                .all(|gauge| reading.value(gauge) == 0)
                .then_some(())
        })
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> Option<()>) -> Result<(), String> {
        let deadline = Deadline::start();
        while holds().is_none() {
            if deadline.has_passed() {
                return Err(format!("waited in vain until {what}"));
            }
            self.waits(Duration::from_millis(20));
        }
        Ok(())
    }

    fn broker(&self) -> &BrokerProcess {
        self.broker
            .as_ref()
            .expect("the broker is started again at once")
    }

    fn note_peak(&mut self) {
        if self.broker_lives() {
            self.peak_bytes = self.peak_bytes.max(self.broker().peak_bytes());
        }
    }

    fn worker(&self, index: usize) -> WorkerProcess {
        let arguments: &[&str] = if index == 0 { &["--zeromq"] } else { &[] };
        self.worker_with(arguments)
    }

    fn worker_with(&self, arguments: &[&str]) -> WorkerProcess {
        let mut command = Command::new(&self.program);
        command.args(["worker", "--endpoint", self.dialled(), "--journal"]);
        command.arg(self.journal()).args(arguments);
        let child = command.stdin(Stdio::null()).spawn();
        WorkerProcess {
            child: child.expect("a worker starts"),
        }
    }
}

fn start_broker(
    program: &Path,
    setting: Setting,
    bus: Option<&BusPorts>,
    endpoint: &str,
) -> BrokerProcess {
    let mut command = match setting.descriptors {
        Some(descriptors) => {
            let mut shell = Command::new("/bin/sh");
            shell.args([
                "-c",
                &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""),
            ]);
            shell.arg(program);
            shell
        }
        None => Command::new(program),
    };
    command.arg("broker").arg("--");
    let mut arguments = vec!["--endpoint", endpoint, "--queue-timeout", "2s"];
    arguments.extend(setting.arguments);
    let buses = bus.map(BusPorts::key);
    if let Some(buses) = &buses {
        arguments.extend(["--buses", buses]);
    }
    BrokerProcess::start_as(command, &arguments)
}

impl WorkerProcess {
    fn signal(&mut self, signal: Signal) {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.expect("a process has an id"), signal).expect("a child is signalled");
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // A process that is stopped dies of this signal as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
