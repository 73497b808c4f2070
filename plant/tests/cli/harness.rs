//! A broker of its own for each test, and `plant` as a process beside it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::thread;

use plantd_daemon::Daemon;
use plantd_daemon::config::{Sources, load};
use plantd_daemon::shutdown::Shutdown;
use serde_json::Value;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinHandle;

/// A broker on a free port, which ends with the test.
pub(crate) struct Broker {
    pub(crate) endpoint: String,
    pub(crate) running: plantd_broker::Running,
    pub(crate) runtime: Runtime,
    shutdown: Shutdown,
}

impl Broker {
    /// A broker without buses.
    pub(crate) fn start() -> Self {
        Self::with_buses("[]")
    }

    /// A broker with these buses, in YAML.
    pub(crate) fn with_buses(buses: &str) -> Self {
        let mut sources = Sources::default();
        let endpoint = (
            "PLANTD_BROKER_ENDPOINT".to_owned(),
            "tcp://127.0.0.1:0".to_owned(),
        );
        let buses = ("PLANTD_BROKER_BUSES".to_owned(), buses.to_owned());
        sources.environment.extend([endpoint, buses]);
        let config = load::<plantd_broker::Config>(&sources).unwrap().config;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let shutdown = Shutdown::new();
        let daemon = Daemon::new(shutdown.clone());
        let running = runtime
            .block_on(plantd_broker::start(config, &daemon))
            .unwrap();
        Self {
            endpoint: running.endpoints()[0].to_string(),
            running,
            runtime,
            shutdown,
        }
    }

    /// `plant` with these arguments, told of this broker.
    pub(crate) fn plant(&self, arguments: &[&str]) -> Command {
        let mut command = plant(arguments);
        command.env("PLANT_BROKER", &self.endpoint);
        command
    }

    /// Starts a state daemon on a database; it ends with the test.
    pub(crate) fn state(&self, database: &Path) -> StateDaemon {
        self.state_with(database, &[])
    }

    /// The same, with these variables.
    pub(crate) fn state_with(&self, database: &Path, more: &[(&str, &str)]) -> StateDaemon {
        let mut sources = Sources::default();
        let more = more
            .iter()
            .map(|(key, value)| (format!("PLANTD_STATE_{key}"), (*value).to_owned()));
        sources.environment.extend(more);
        let variables = [
            ("BROKER_ENDPOINT", self.endpoint.clone()),
            // Nobody subscribes.
            ("BUS_ENDPOINT", String::new()),
            ("DB", database.display().to_string()),
        ];
        let variables = variables.map(|(key, value)| (format!("PLANTD_STATE_{key}"), value));
        sources.environment.extend(variables);
        let config = load::<plantd_state::Config>(&sources).unwrap().config;
        let shutdown = Shutdown::new();
        let daemon = Daemon::new(shutdown.clone());
        let ended = self.runtime.spawn(plantd_state::run(config, daemon));
        StateDaemon {
            shutdown,
            ended: Some(ended),
        }
    }

    /// Runs `plant` to its end, with this on its stdin.
    pub(crate) fn run_with(&self, arguments: &[&str], stdin: &[u8]) -> Ended {
        let mut command = self.plant(arguments);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin).unwrap();
        Ended::of(child.wait_with_output().unwrap())
    }

    /// Runs `plant` to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.plant(arguments).output().unwrap())
    }

    /// Starts `plant worker` and waits until it is registered.
    pub(crate) fn worker(&self, arguments: &[&str]) -> Worker {
        let mut child = self
            .plant(&["worker", "--output", "json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut worker = Worker { child, lines };
        worker.event("registered");
        worker
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

/// A state daemon; it is asked to stop when it is dropped.
pub(crate) struct StateDaemon {
    shutdown: Shutdown,
    ended: Option<JoinHandle<anyhow::Result<()>>>,
}

impl StateDaemon {
    /// Stops it and waits until its files are closed.
    pub(crate) fn stop(mut self, broker: &Broker) {
        self.shutdown.request();
        let ended = self.ended.take().unwrap();
        broker.runtime.block_on(ended).unwrap().unwrap();
    }
}

impl Drop for StateDaemon {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

/// `plant` with these arguments and nothing of this process's environment but the path.
pub(crate) fn plant(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plant"));
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null())
        .args(arguments);
    command
}

/// What a process left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// Each line of stdout as JSON.
    pub(crate) fn json(&self) -> Vec<Value> {
        let lines = self.stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// Checks that it printed this and exited with 0.
    #[track_caller]
    pub(crate) fn printed(&self, stdout: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (Some(0), stdout),
            "{}",
            self.stderr
        );
    }

    /// Checks that it failed with this code and one line on stderr that begins with this.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, stderr: &str) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.stderr.lines().count(), 1, "{}", self.stderr);
        assert!(self.stderr.starts_with(stderr), "{}", self.stderr);
    }
}

/// A `plant worker` that is registered; killed when it is dropped.
pub(crate) struct Worker {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Worker {
    /// Reads events up to one with this name.
    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> Value {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "it ended before {name}"
            );
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }

    pub(crate) fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `plant` while the test goes on.
pub(crate) fn in_background(mut command: Command) -> thread::JoinHandle<Ended> {
    thread::spawn(move || Ended::of(command.output().unwrap()))
}
