//! A broker and a state daemon that can be stopped, killed and started again, and clients of them.

use std::time::Duration;

use plantd_client::{Client, State, Transport};
use plantd_daemon::Daemon;
use plantd_daemon::config::{Settings, Sources, load};
use plantd_daemon::health::HealthServer;
use plantd_daemon::shutdown::Shutdown;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// The folder of an installation: its socket, and its databases.
pub(crate) struct Installation {
    folder: TempDir,
    transport: Transport,
    broker: Option<Broker>,
    daemon: Option<Running>,
}

/// A broker in this process.
pub(crate) struct Broker {
    running: plantd_broker::Running,
    shutdown: Shutdown,
}

/// Where a bus is.
#[derive(Debug, Clone)]
pub(crate) struct Bus {
    pub(crate) frontend: String,
    pub(crate) backend: String,
}

impl Broker {
    async fn start(endpoint: &str, bus: &Bus) -> Self {
        let Bus { frontend, backend } = bus;
        let buses = format!("[{{name: state, frontend: '{frontend}', backend: '{backend}'}}]");
        let variables = [("ENDPOINT", endpoint), ("BUSES", &buses)];
        let config = config::<plantd_broker::Config>(&variables);
        let shutdown = Shutdown::new();
        let daemon = Daemon::new(shutdown.clone());
        let running = plantd_broker::start(config, &daemon).await.unwrap();
        Self { running, shutdown }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.request();
        self.running.ended().await.unwrap();
    }
}

/// A state daemon in this process.
pub(crate) struct Running {
    daemon: Daemon,
    ended: JoinHandle<Result<(), String>>,
}

impl Running {
    /// Serves its health and metrics on a free port.
    pub(crate) async fn serve_health(&self) -> HealthServer {
        let (health, metrics) = (self.daemon.health.clone(), self.daemon.metrics.clone());
        let anywhere = ([127, 0, 0, 1], 0).into();
        HealthServer::start(anywhere, health, metrics)
            .await
            .unwrap()
    }

    /// How many requests a router has handed on.
    pub(crate) async fn handed_on(&self) -> u64 {
        let health = self.serve_health().await;
        let metrics = plantd_test_process::get(&health.address().to_string(), "/metrics");
        let of = |line: &str| {
            let line = line.strip_prefix("plantd_state_forwarded_total{")?;
            line.rsplit_once(' ')?.1.parse::<u64>().ok()
        };
        metrics.lines().filter_map(of).sum()
    }

    pub(crate) async fn stop(self) {
        self.daemon.shutdown.request();
        self.ended.await.unwrap().unwrap();
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) async fn kill(self) {
        self.ended.abort();
        // It was killed.
        let _ = self.ended.await;
    }
}

impl Installation {
    /// Starts a broker and a state daemon.
    pub(crate) async fn start(transport: Transport) -> Self {
        let mut installation = Self::without_daemon(transport).await;
        installation.start_daemon(&[]);
        installation
    }

    /// Starts a broker.
    pub(crate) async fn without_daemon(transport: Transport) -> Self {
        let mut installation = Self {
            folder: tempfile::tempdir().unwrap(),
            transport,
            broker: None,
            daemon: None,
        };
        installation.start_broker().await;
        installation
    }

    /// Where the broker listens; the same after a restart.
    pub(crate) fn endpoint(&self) -> String {
        format!("ipc://{}/broker", self.folder.path().display())
    }

    pub(crate) async fn start_broker(&mut self) {
        let endpoint = self.endpoint();
        self.broker = Some(Broker::start(&endpoint, &self.bus()).await);
    }

    pub(crate) async fn stop_broker(&mut self) {
        self.broker.take().unwrap().stop().await;
    }

    /// The state bus of the broker.
    pub(crate) fn bus(&self) -> Bus {
        self.bus_named("bus")
    }

    /// The endpoints of a bus of this name.
    pub(crate) fn bus_named(&self, name: &str) -> Bus {
        let folder = self.folder.path().display();
        Bus {
            frontend: format!("ipc://{folder}/{name}-frontend"),
            backend: format!("ipc://{folder}/{name}-backend"),
        }
    }

    /// Starts another broker, for its bus alone.
    pub(crate) async fn start_bus(&self, bus: &Bus) -> Broker {
        Broker::start(&format!("{}-broker", bus.frontend), bus).await
    }

    pub(crate) fn start_daemon(&mut self, variables: &[(&str, &str)]) {
        self.daemon = Some(self.daemon("state", variables));
    }

    /// Starts a daemon with a database of this name.
    pub(crate) fn daemon(&self, database: &str, variables: &[(&str, &str)]) -> Running {
        let database = self.folder.path().join(format!("{database}.db"));
        let (endpoint, bus) = (self.endpoint(), self.bus());
        let mut all = vec![
            ("BROKER_ENDPOINT", endpoint.as_str()),
            ("BUS_ENDPOINT", &bus.frontend),
            ("DB", database.to_str().unwrap()),
        ];
        all.extend(variables);
        let daemon = Daemon::new(Shutdown::new());
        let running = plantd_state::run(config(&all), daemon.clone());
        let ended = async move { running.await.map_err(|error| format!("{error:#}")) };
        let ended = tokio::spawn(ended);
        Running { daemon, ended }
    }

    pub(crate) async fn stop_daemon(&mut self) {
        self.daemon.take().unwrap().stop().await;
    }

    pub(crate) async fn kill_daemon(&mut self) {
        self.daemon.take().unwrap().kill().await;
    }

    /// A client that reconnects soon.
    pub(crate) fn client(&self) -> Client {
        let soon = Duration::from_millis(20);
        Client::builder()
            .broker(self.endpoint())
            .transport(self.transport)
            .reconnect_delays(soon, soon)
            .connect()
            .unwrap()
    }

    pub(crate) fn state(&self) -> State {
        State::builder(&self.client())
            .timeout(Duration::from_secs(30))
            .build()
    }
}

fn config<T: Settings>(variables: &[(&str, &str)]) -> T {
    let name = T::NAME.to_uppercase();
    let mut sources = Sources::default();
    let variables = variables
        .iter()
        .map(|(key, value)| (format!("PLANTD_{name}_{key}"), (*value).to_owned()));
    sources.environment.extend(variables);
    load::<T>(&sources).unwrap().config
}
