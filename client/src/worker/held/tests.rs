//! Requests whose handlers run in place, and how each ends.

use std::sync::Mutex;

use plantd_mdp::Properties;
use tokio::sync::mpsc;

use super::*;
use crate::{Body, Pledge};

/// Requests with so many slots, and the pledges that were made, in their order.
struct Bench {
    held: Held,
    pledges: Arc<Mutex<Vec<Pledge>>>,
}

impl Bench {
    /// A handler that answers `now`, panics at `panic`, after it has made a pledge, returns the pledge before at
    /// `another`, and otherwise owes the answer.
    fn new(slots: usize) -> Self {
        let pledges = Arc::new(Mutex::new(Vec::new()));
        let returns = Returns::new(mpsc::channel(1).0);
        let made = pledges.clone();
        let before = Mutex::new(HeldKey::default());
        let handler = move |request: Request| {
            let text = request.body().text().unwrap().to_owned();
            if text == "now" {
                return Answering::now(Ok(text));
            }
            let (pledge, answering) = request.pledge();
            assert_ne!(text, "panic", "as it was asked to");
            made.lock().unwrap().push(pledge);
            let Form::Pledged(key) = answering.0 else {
                return answering;
            };
            let before = std::mem::replace(&mut *before.lock().unwrap(), key);
            Answering(Form::Pledged(if text == "another" { before } else { key }))
        };
        Self {
            held: Held::new(slots, Answer::InPlace(Box::new(handler)), returns),
            pledges,
        }
    }

    fn ask(&mut self, number: u8, text: &str) -> Origin {
        let token = Token::parse(&[number; 16]).unwrap();
        let registration = RegistrationId(0);
        let origin = Origin {
            registration,
            token,
        };
        let header = Header {
            id: number.into(),
            properties: Properties::default(),
        };
        self.held.take(origin, header, Body::from(text).into());
        origin
    }

    fn pledge(&self) -> Pledge {
        self.pledges.lock().unwrap().remove(0)
    }

    /// What has ended: whose, and the text of the answer or the code of the error.
    fn ended(&mut self) -> Vec<(Origin, String)> {
        let ended = std::iter::from_fn(|| self.held.take_answered());
        let told = ended.map(|(origin, outcome)| match outcome {
            Ok(reply) => (origin, reply.body.text().unwrap().to_owned()),
            Err(error) => (origin, error.code),
        });
        told.collect()
    }

    fn assert_nothing_is_held(&self) {
        assert_eq!(self.held.used_slots, 0);
        assert!(self.held.requests.is_empty() && self.held.keys.is_empty());
        assert!(self.held.queue.is_empty() && self.held.answered.is_empty());
    }
}

fn answered(origin: Origin, text: &str) -> (Origin, String) {
    (origin, text.to_owned())
}

#[test]
fn what_is_owed_is_answered_when_the_pledge_is_kept() {
    let mut bench = Bench::new(2);
    let owed = bench.ask(1, "later");
    let now = bench.ask(2, "now");
    assert_eq!(bench.ended(), [answered(now, "now")]);
    bench.pledge().answer(Ok("kept"));
    assert_eq!(bench.ended(), [answered(owed, "kept")]);
    bench.assert_nothing_is_held();
}

#[test]
fn what_is_owed_takes_a_slot_until_it_is_answered() {
    let mut bench = Bench::new(1);
    let first = bench.ask(1, "later");
    let second = bench.ask(2, "later");
    let third = bench.ask(3, "now");
    assert_eq!(bench.ended(), []);
    bench.pledge().answer(Ok("kept"));
    assert_eq!(bench.ended(), [answered(first, "kept")]);
    bench
        .pledge()
        .answer(Err::<&str, _>(WorkerError::new("bad-weather", "it rains")));
    assert_eq!(
        bench.ended(),
        [answered(second, "bad-weather"), answered(third, "now")]
    );
    bench.assert_nothing_is_held();
}

#[test]
fn a_cancelled_request_ends_at_once_and_its_answer_on_the_way_is_dropped() {
    let mut bench = Bench::new(1);
    let first = bench.ask(1, "later");
    let queued = bench.ask(2, "now");
    bench.pledge().answer(Ok("on its way"));
    assert!(!bench.held.cancel(first));
    assert_eq!(
        bench.ended(),
        [answered(first, "cancelled"), answered(queued, "now")]
    );
    // A request in the same place is another one.
    let next = bench.ask(1, "later");
    assert_eq!(bench.ended(), []);
    bench.pledge().answer(Ok("kept"));
    assert_eq!(bench.ended(), [answered(next, "kept")]);
    bench.assert_nothing_is_held();
}

#[test]
fn a_request_that_is_cancelled_before_its_handler_ran_has_none() {
    let mut bench = Bench::new(1);
    let first = bench.ask(1, "later");
    let queued = bench.ask(2, "later");
    assert!(bench.held.cancel(queued));
    bench.pledge().answer(Ok("kept"));
    assert_eq!(bench.ended(), [answered(first, "kept")]);
    assert!(bench.pledges.lock().unwrap().is_empty());
    bench.assert_nothing_is_held();
}

#[test]
fn a_pledge_that_is_given_up_ends_its_request_with_an_error() {
    let mut bench = Bench::new(1);
    let owed = bench.ask(1, "later");
    drop(bench.pledge());
    assert_eq!(bench.ended(), [answered(owed, "unanswered")]);
    bench.assert_nothing_is_held();
}

#[test]
fn a_handler_that_panics_after_it_has_made_a_pledge_answers_once() {
    let mut bench = Bench::new(1);
    let panicked = bench.ask(1, "panic");
    assert_eq!(bench.ended(), [answered(panicked, "panic")]);
    bench.assert_nothing_is_held();
}

#[test]
fn a_handler_that_returns_the_pledge_of_another_request_answers_with_an_error() {
    let mut bench = Bench::new(2);
    let owed = bench.ask(1, "later");
    let wrong = bench.ask(2, "another");
    assert_eq!(bench.ended(), [answered(wrong, "unanswered")]);
    bench.pledge().answer(Ok("kept"));
    bench.pledge().answer(Ok("of nothing"));
    assert_eq!(bench.ended(), [answered(owed, "kept")]);
    bench.assert_nothing_is_held();
}

#[tokio::test]
async fn whoever_waits_is_woken_by_an_answer_of_another_thread() {
    let mut bench = Bench::new(1);
    let owed = bench.ask(1, "later");
    let pledge = bench.pledge();
    let answering = std::thread::spawn(move || pledge.answer(Ok("kept")));
    let (origin, outcome) = bench.held.next().await;
    assert_eq!(origin, owed);
    assert_eq!(outcome.unwrap().body.text(), Ok("kept"));
    answering.join().unwrap();
    bench.assert_nothing_is_held();
}

#[test]
fn an_answer_after_the_worker_is_gone_is_dropped() {
    let mut bench = Bench::new(1);
    bench.ask(1, "later");
    let pledge = bench.pledge();
    drop(bench.held);
    pledge.answer(Ok("late"));
}
