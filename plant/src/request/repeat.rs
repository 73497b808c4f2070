//! One request or many, some at once, and what came of them.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use plantd_client::Reply;
use serde::Serialize;
use tokio::task::{JoinError, JoinSet};

use super::{Request, Style, print};
use crate::failure::{Failure, FailureJson};
use crate::output::body::{self, Frame};
use crate::output::{Output, units};
use crate::stopwatch::{RoundTrips, Stopwatch};

/// One answer in JSON.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    seq: u64,
    round_trip_ms: f64,
    frames: Vec<Frame>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    properties: BTreeMap<&'a str, &'a str>,
}

/// One failure in JSON.
#[derive(Debug, Serialize)]
struct Failed {
    seq: u64,
    error: FailureJson,
}

/// A request that has ended.
#[derive(Debug)]
struct Ended {
    seq: u64,
    round_trip: Duration,
    result: Result<Reply, Failure>,
}

/// What came of all requests.
#[derive(Debug, Default)]
struct Tally {
    sent: u64,
    answered: RoundTrips,
    failed: u64,
    first_failure: Option<Failure>,
}

/// Sends a request `count` times, at most `parallel` at once, and prints each answer as it comes.
///
/// Ends early when the rest would only fail too.
pub(super) async fn run(
    request: &Arc<Request>,
    count: u64,
    parallel: usize,
    style: Style,
    output: &mut Output,
) -> Result<(), Failure> {
    let stopwatch = Stopwatch::start();
    let mut tally = Tally::default();
    let mut in_flight = JoinSet::new();
    loop {
        while tally.sent < count && in_flight.len() < parallel {
            tally.sent += 1;
            in_flight.spawn(send(request.clone(), tally.sent));
        }
        let Some(ended) = in_flight.join_next().await else {
            break;
        };
        let ended = ended.map_err(panicked)?;
        show(&ended, style, output)?;
        if tally.add(ended, count).is_some_and(Failure::is_lasting) {
            break;
        }
    }
    if count > 1 {
        // Without a stderr there is nobody left to tell.
        let _ = writeln!(io::stderr(), "{}", tally.summary(stopwatch.elapsed()));
    }
    tally.into_result(count)
}

async fn send(request: Arc<Request>, seq: u64) -> Ended {
    let stopwatch = Stopwatch::start();
    let result = request.reply().await;
    Ended {
        seq,
        round_trip: stopwatch.elapsed(),
        result,
    }
}

fn panicked(error: JoinError) -> Failure {
    Failure::System {
        what: "wait for an answer".to_owned(),
        error: error.into(),
    }
}

fn show(ended: &Ended, style: Style, output: &mut Output) -> Result<(), Failure> {
    let seq = ended.seq;
    match (&ended.result, style) {
        (Ok(reply), Style::Json) => output.json(&Answer {
            seq,
            round_trip_ms: units::milliseconds(ended.round_trip),
            frames: body::frames(&reply.body),
            properties: body::properties(&reply.properties),
        }),
        (Ok(reply), Style::Raw | Style::Readable) => print(&reply.body, style, output),
        (Err(failure), Style::Json) => output.json(&Failed {
            seq,
            error: failure.to_json(),
        }),
        (Err(_), Style::Raw | Style::Readable) => Ok(()),
    }
}

impl Tally {
    /// Counts a request; of `count` > 1 its failure is told at once.
    fn add(&mut self, ended: Ended, count: u64) -> Option<&Failure> {
        let failure = match ended.result {
            Ok(_) => {
                self.answered.add(ended.round_trip);
                return None;
            }
            Err(failure) => failure,
        };
        if count > 1 {
            let _ = writeln!(io::stderr(), "plant: request {}: {failure}", ended.seq);
        }
        self.failed += 1;
        Some(self.first_failure.get_or_insert(failure))
    }

    fn summary(&self, took: Duration) -> String {
        let answered = self.answered.count();
        let rate = f64::from(answered) / took.as_secs_f64().max(1e-9);
        let given_up = match self.sent - u64::from(answered) - self.failed {
            0 => String::new(),
            given_up => format!(", {given_up} given up"),
        };
        format!(
            "{} sent, {answered} answered, {} failed{given_up} in {} ({rate:.0} a second){}",
            self.sent,
            self.failed,
            units::duration(took),
            self.answered.text(),
        )
    }

    fn into_result(self, count: u64) -> Result<(), Failure> {
        match self.first_failure {
            None => Ok(()),
            Some(failure) if count == 1 => Err(failure),
            Some(first) => Err(Failure::Several {
                failed: self.failed,
                sent: self.sent,
                first: Box::new(first),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(seq: u64, result: Result<Reply, Failure>) -> Ended {
        Ended {
            seq,
            round_trip: Duration::from_millis(2),
            result,
        }
    }

    fn nobody_serves() -> Failure {
        Failure::NoWorker {
            service: "org.example.X".to_owned(),
        }
    }

    #[test]
    fn answers_and_failures_are_counted() {
        let mut tally = Tally {
            sent: 5,
            ..Tally::default()
        };
        tally.add(ended(1, Ok("a".into())), 5);
        tally.add(ended(2, Err(nobody_serves())), 5);
        tally.add(ended(3, Ok("b".into())), 5);

        assert_eq!(
            tally.summary(Duration::from_millis(500)),
            "5 sent, 2 answered, 1 failed, 2 given up in 500 ms (4 a second); \
             round trip min/avg/max 2 ms / 2 ms / 2 ms"
        );
        let failure = tally.into_result(5).unwrap_err();
        assert!(
            matches!(
                failure,
                Failure::Several {
                    failed: 1,
                    sent: 5,
                    ..
                }
            ),
            "{failure:?}"
        );
    }

    #[test]
    fn the_failure_of_a_single_request_stands_for_itself() {
        let mut tally = Tally {
            sent: 1,
            ..Tally::default()
        };
        let lasting = tally
            .add(ended(1, Err(nobody_serves())), 1)
            .map(Failure::is_lasting);
        assert_eq!(lasting, Some(true));
        assert!(matches!(
            tally.into_result(1),
            Err(Failure::NoWorker { .. })
        ));
    }

    #[test]
    fn answers_and_failures_are_lines_of_json() {
        let answer = Answer {
            seq: 7,
            round_trip_ms: 0.25,
            frames: body::frames(&"hello".into()),
            properties: BTreeMap::from([("content-type", "text/plain")]),
        };
        assert_eq!(
            serde_json::to_string(&answer).unwrap(),
            r#"{"seq":7,"round_trip_ms":0.25,"frames":[{"text":"hello"}],"properties":{"content-type":"text/plain"}}"#
        );
        let failed = Failed {
            seq: 8,
            error: nobody_serves().to_json(),
        };
        let json = serde_json::to_value(&failed).unwrap();
        assert_eq!(json["error"]["code"], "no-worker");
    }
}
