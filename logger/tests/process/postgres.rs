//! A PostgreSQL of the test's own, in a directory that goes with it.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls, Row};

/// Who the server runs as where the tests are root, which it refuses to run as.
const NOBODY: u32 = 65_534;

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A server that is reached by a Unix socket in its own directory, so that no port is taken.
pub(crate) struct Postgres {
    programs: PathBuf,
    directory: TempDir,
}

impl Postgres {
    /// Starts one. `None` where PostgreSQL is not installed, which is said.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let _ = writeln!(
                io::stderr(),
                "passed over: there is no initdb of PostgreSQL in PATH or /usr/lib/postgresql"
            );
            return None;
        };
        let directory = TempDir::new().unwrap();
        if is_root() {
            chown(directory.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let postgres = Self {
            programs,
            directory,
        };
        let data = postgres.data();
        let data = data.to_str().unwrap();
        postgres.run(
            "initdb",
            &[
                "-D", data, "-U", "plantd", "-A", "trust", "-N", "-E", "UTF8",
            ],
        );
        postgres.up();
        Some(postgres)
    }

    /// Starts the server, and waits until it takes connections.
    pub(crate) fn up(&self) {
        let socket = self.directory.path().display();
        // Tests do not pull plugs.
        let options = format!(
            "-c listen_addresses='' -c unix_socket_directories={socket} -c fsync=off \
             -c max_connections=20 -c log_min_messages=fatal"
        );
        self.control(&["-w", "-o", &options, "start"]);
    }

    /// Stops it as a crash would: open transactions are lost.
    pub(crate) fn crash(&self) {
        self.control(&["-m", "immediate", "-w", "stop"]);
    }

    /// What a program is told, to reach a database of this server.
    pub(crate) fn url(&self) -> String {
        let socket = self.directory.path().display();
        format!("host={socket} user=plantd dbname=postgres")
    }

    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    pub(crate) async fn execute(&self, statements: &str) {
        self.client().await.batch_execute(statements).await.unwrap();
    }

    pub(crate) async fn row(&self, query: &str) -> Row {
        self.client().await.query_one(query, &[]).await.unwrap()
    }

    /// The first column of each row, as text.
    pub(crate) async fn column(&self, query: &str) -> Vec<String> {
        let rows = self.client().await.query(query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Asks until the answer is this one, and leaves the machine to others in between.
    pub(crate) async fn says(&self, query: &str, expected: i64) {
        let client = self.client().await;
        loop {
            match client.query_one(query, &[]).await {
                Ok(row) if row.get::<_, i64>(0) == expected => return,
                // The table may not be there yet.
                Ok(_) | Err(_) => sleep(POLL_INTERVAL).await,
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn control(&self, arguments: &[&str]) {
        let data = self.data();
        let log = self.directory.path().join("log");
        let mut all = vec!["-D", data.to_str().unwrap(), "-l", log.to_str().unwrap()];
        all.extend(arguments);
        self.run("pg_ctl", &all);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let path = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            let user = NOBODY.to_string();
            command
                .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
                .arg(path);
            command
        } else {
            Command::new(path)
        };
        // The server keeps what pg_ctl was given open, so that it is not waited for.
        let log = self.directory.path().join(format!("{program}.out"));
        let log = fs::File::create(log).unwrap();
        let status = command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        let said = fs::read_to_string(self.directory.path().join(format!("{program}.out")));
        assert!(status.success(), "{program} {arguments:?}: {said:?}");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.data().join("postmaster.pid").exists() {
            self.crash();
        }
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The folder of the newest server.
fn programs() -> Option<PathBuf> {
    let in_path = env::var_os("PATH").unwrap_or_default();
    let in_path: Vec<PathBuf> = env::split_paths(&in_path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let versions = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let mut versions: Vec<PathBuf> = versions.collect();
    versions.sort();
    let mut places = versions.into_iter().rev().chain(in_path);
    places.find(|place| has_server(place))
}

fn has_server(place: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres"]
        .iter()
        .all(|program| place.join(program).exists())
}
