//! Python programs with pyzmq, in both roles, beside the client library.
//!
//! Passed over where `python3` cannot import `zmq`; `.ci/run` installs it.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::io::{self, Write as _};
use std::process::{Child, Command, Stdio};

use plantd_client::{Client, Request, Worker};
use plantd_tests::Plant;

/// Whether there is a pyzmq to test with; says so if not.
fn has_pyzmq() -> bool {
    let mut import = Command::new("python3");
    import.args(["-c", "import zmq"]).stderr(Stdio::null());
    let has_pyzmq = import.status().is_ok_and(|status| status.success());
    if !has_pyzmq {
        // Past the capture of output, so that it is seen although the test passes.
        let _ = writeln!(
            io::stderr(),
            "passed over: python3 cannot import zmq (pip install pyzmq)"
        );
    }
    has_pyzmq
}

fn python(script: &str, arguments: &[&str]) -> Child {
    let script = format!("{}/interop/{script}", env!("CARGO_MANIFEST_DIR"));
    Command::new("python3")
        .arg(script)
        .args(arguments)
        .spawn()
        .unwrap()
}

#[test]
fn python_clients_of_every_kind_are_served_by_the_library() {
    if !has_pyzmq() {
        return;
    }
    let plant = Plant::start();
    plant.block_on(async {
        let worker = Worker::builder("upper")
            .broker(plant.endpoint())
            .build()
            .unwrap();
        let upper = |request: Request| async move { Ok(request.body().text()?.to_uppercase()) };
        tokio::spawn(worker.serve(upper, std::future::pending()));
    });
    let mut client = python("client.py", &[plant.endpoint()]);
    assert!(client.wait().unwrap().success());
    plant.assert_rejected(&[]);
}

#[test]
fn python_workers_of_every_kind_serve_the_library() {
    if !has_pyzmq() {
        return;
    }
    for form in ["strict", "zguide", "words"] {
        let mut plant = Plant::start();
        let mut worker = python("worker.py", &[plant.endpoint(), form]);
        plant.block_on(async {
            let client = Client::connect(plant.endpoint()).unwrap();
            for (body, expected) in [("hello", "HELLO"), ("", ""), ("stop", "STOP")] {
                let reply = client.request("upper", body).await.unwrap();
                assert_eq!(reply.body.text().unwrap(), expected, "{form}");
            }
        });
        assert!(worker.wait().unwrap().success());
        plant.until("it has left", |reading| reading.value("workers") == 0);
        plant.stop();
        plant.assert_rejected(&[]);
    }
}
