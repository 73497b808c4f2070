//! The Python programs that the README shows, against a broker.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use plantd_client::{Client, Request, Worker};
use plantd_daemon::Daemon;
use plantd_daemon::config::OneOrMore;
use plantd_daemon::shutdown::Shutdown;
use plantd_tests::Plant;

/// A Python program of `docs/examples`, made to dial this plant; `None` where pyzmq is not there.
fn example(name: &str, plant: &Plant) -> Option<Command> {
    let mut probe = Command::new("python3");
    let probe = probe.args(["-c", "import zmq"]).stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        let told = writeln!(io::stderr(), "passed over: {name} needs python3 with pyzmq");
        told.expect("stderr is open");
        return None;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let program = fs::read_to_string(path.join(name)).expect("the example is there");
    assert!(program.contains("tcp://127.0.0.1:9797"));
    let program = program.replace("tcp://127.0.0.1:9797", plant.endpoint());
    let mut python = Command::new("python3");
    python.arg("-c").arg(program);
    Some(python)
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_client_in_python_prints_the_answer_of_the_echo_service() {
    let plant = Plant::start();
    let Some(mut client) = example("request.py", &plant) else {
        return;
    };
    let output = plant.block_on(async {
        let worker = Worker::builder("org.plantd.module.Echo").broker(plant.endpoint());
        let echo = |request: Request| async move { Ok(request.into_body()) };
        let serving = worker.build().unwrap().serve(echo, std::future::pending());
        let asking = tokio::task::spawn_blocking(move || client.output());
        tokio::select! {
            _ = serving => unreachable!("nobody stops the worker"),
            output = asking => output.unwrap().unwrap(),
        }
    });
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n");
    assert!(output.status.success());
}

#[test]
fn the_state_in_python_is_kept_and_read() {
    let plant = Plant::start();
    let Some(mut client) = example("state.py", &plant) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut config = plantd_state::Config {
        db: folder.path().join("state.db"),
        ..plantd_state::Config::default()
    };
    config.broker_endpoint = OneOrMore::one(plant.endpoint().parse().unwrap());
    let daemon = Daemon::new(Shutdown::new());
    let output = plant.block_on(async {
        let running = plantd_state::run(config, daemon.clone());
        let asking = tokio::task::spawn_blocking(move || client.output());
        tokio::pin!(running);
        let output = tokio::select! {
            _ = &mut running => unreachable!("nobody stops the daemon"),
            output = asking => output.unwrap().unwrap(),
        };
        daemon.shutdown.request();
        running.await.unwrap();
        output
    });
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{'on': True}\n");
    assert!(output.status.success());
}

#[test]
fn the_worker_in_python_answers_a_request() {
    let plant = Plant::start();
    let Some(mut worker) = example("worker.py", &plant) else {
        return;
    };
    let _worker = Running(worker.spawn().unwrap());
    let reply = plant.block_on(async {
        let client = Client::connect(plant.endpoint()).unwrap();
        client.request("org.example.Upper", "hello").await.unwrap()
    });
    assert_eq!(reply.body.text(), Ok("HELLO"));
}
