//! Which error becomes which exit code, and that each is told in one line.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn failure(error: RequestError) -> Failure {
    Failure::of("org.example.X", SECOND, error)
}

fn message(text: &str) -> String {
    text.to_owned()
}

#[test]
fn each_error_has_the_exit_code_that_scripts_rely_on() {
    let worker_error = RequestError::WorkerError {
        code: message("exit-1"),
        message: String::new(),
    };
    for (error, code) in [
        (
            RequestError::NoWorker {
                message: String::new(),
            },
            3,
        ),
        (RequestError::Timeout, 4),
        (worker_error, 5),
        (
            RequestError::WorkerLost {
                message: String::new(),
            },
            5,
        ),
        (
            RequestError::NotConnected {
                brokers: Vec::new(),
            },
            6,
        ),
        (RequestError::ConnectionLost, 6),
        (
            RequestError::Draining {
                message: String::new(),
            },
            6,
        ),
        (
            RequestError::Busy {
                message: String::new(),
            },
            1,
        ),
        (
            RequestError::TooLarge {
                message: String::new(),
            },
            1,
        ),
        (
            RequestError::Denied {
                message: String::new(),
            },
            1,
        ),
        (RequestError::Closed, 1),
    ] {
        assert_eq!(failure(error.clone()).code(), code, "{error:?}");
    }
    let name = plantd_client::ServiceName::parse(b"a b").unwrap_err();
    assert_eq!(failure(RequestError::InvalidService(name)).code(), 64);
    assert_eq!(Failure::from(ConfigError::NoBroker).code(), 64);
}

#[test]
fn a_failure_is_one_line_whatever_the_worker_wrote() {
    let error = RequestError::WorkerError {
        code: message("exit-1"),
        message: message("first\nsecond\u{1b}[2J"),
    };
    let line = failure(error).to_string();
    assert_eq!(
        line,
        "org.example.X: the worker failed: exit-1: first\\nsecond\\u{1b}[2J"
    );
}

#[test]
fn several_failures_exit_as_the_first() {
    let several = Failure::Several {
        failed: 2,
        sent: 10,
        first: Box::new(failure(RequestError::Timeout)),
    };
    assert_eq!(several.code(), 4);
    assert_eq!(several.to_string(), "2 of 10 requests failed");
}

#[test]
fn json_has_the_code_of_the_protocol_and_that_of_the_worker() {
    let error = RequestError::WorkerError {
        code: message("not-found"),
        message: message("no such pump"),
    };
    let json = serde_json::to_value(failure(error).to_json()).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "code": "worker-error",
            "message": "org.example.X: the worker failed: not-found: no such pump",
            "worker_code": "not-found",
        })
    );
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let left = Failure::writing(io::Error::from(io::ErrorKind::BrokenPipe));
    assert_eq!(left.code(), 0);
    let full = Failure::writing(io::Error::from(io::ErrorKind::StorageFull));
    assert_eq!(full.code(), 1);
}
