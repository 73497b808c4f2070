//! The Python programs that the README shows, against a broker.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use plantd_broker::BusKeys;
use plantd_client::{Client, Request, Sink, SinkEvent, Source, Worker};
use plantd_daemon::Daemon;
use plantd_daemon::config::OneOrMore;
use plantd_daemon::shutdown::Shutdown;
use plantd_tests::{PATIENCE, Plant};

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
    let mut replaced = program.clone();
    for (documented, endpoint) in documented(plant) {
        replaced = replaced.replace(documented, &endpoint);
    }
    assert_ne!(replaced, program);
    let mut python = Command::new("python3");
    python.arg("-c").arg(replaced);
    Some(python)
}

/// The endpoints that the README names, and those of this plant.
fn documented(plant: &Plant) -> Vec<(&'static str, String)> {
    let mut endpoints = vec![("tcp://127.0.0.1:9797", plant.endpoint().to_owned())];
    if let [bus] = plant.buses() {
        endpoints.push(("tcp://127.0.0.1:12000", bus.frontend[0].to_string()));
        endpoints.push(("tcp://127.0.0.1:12001", bus.backend[0].to_string()));
    }
    endpoints
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
        // Nobody subscribes.
        bus_endpoint: None,
        ..plantd_state::Config::default()
    };
    config.broker_endpoint = Some(OneOrMore::one(plant.endpoint().parse().unwrap()));
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

/// A plant with the event bus on free ports.
fn plant_with_bus() -> Plant {
    let any = || "tcp://127.0.0.1:0".parse().expect("an endpoint");
    Plant::with(|config| config.buses = vec![BusKeys::new("event", any(), any())])
}

#[test]
fn what_python_publishes_comes_to_a_sink() {
    let plant = plant_with_bus();
    let Some(mut publisher) = example("publish.py", &plant) else {
        return;
    };
    plant.block_on(async {
        let mut sink = Sink::connect(plant.buses()[0].backend[0].to_string()).unwrap();
        sink.subscribe("org.example.").unwrap();
        sink.settled().await.unwrap();
        let publishing = tokio::task::spawn_blocking(move || publisher.status());
        let event = tokio::time::timeout(PATIENCE, sink.next()).await.unwrap();
        let Some(SinkEvent::Message(publication)) = event else {
            panic!("not a publication: {event:?}");
        };
        assert_eq!(publication.topic.as_str(), Some("org.example.greeting"));
        assert_eq!(publication.body.text(), Ok("hello"));
        assert_eq!(publication.header, None);
        assert!(publishing.await.unwrap().unwrap().success());
    });
}

#[test]
fn what_a_source_publishes_is_printed_by_python() {
    let plant = plant_with_bus();
    let Some(mut subscriber) = example("subscribe.py", &plant) else {
        return;
    };
    let mut subscriber = Running(subscriber.stdout(Stdio::piped()).spawn().unwrap());
    let printed = BufReader::new(subscriber.0.stdout.take().unwrap());
    plant.block_on(async {
        let source = Source::connect(plant.buses()[0].frontend[0].to_string()).unwrap();
        let reading = tokio::task::spawn_blocking(move || printed.lines().next());
        // It is not known when the subscriber is there.
        let publishing = async {
            loop {
                source.publish("org.example.greeting", "hello").unwrap();
                source.flush().await.unwrap();
            }
        };
        tokio::select! {
            line = reading => {
                assert_eq!(line.unwrap().unwrap().unwrap(), "org.example.greeting hello");
            }
            () = publishing => unreachable!("it goes on"),
        }
    });
}
