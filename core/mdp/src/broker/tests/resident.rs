//! A worker that lives beside the broker, and peers that may not be one.

use super::*;
use crate::command::FromWorker;
use crate::{Header, Token};

/// A broker of one worker in memory.
struct Own {
    plant: Plant,
    worker: PeerId,
}

impl Own {
    fn start(credit: &str) -> Self {
        let mut plant = Plant::with(|config| config.awaits_workers = false);
        let worker = plant.opens(false);
        let properties = crate::Properties::default().with("credit", credit);
        let ready = FromWorker::Ready {
            service: "echo".parse().unwrap(),
            header: Header { id: 0, properties },
        };
        let mut own = Self { plant, worker };
        own.says(ready);
        own.plant.keeps_alive(worker, frames!["MDPW03", 5]);
        let welcome = own.plant.takes_one(worker);
        assert_eq!(welcome.0[..3], frames!["MDPW03", 8, "echo"].0);
        own
    }

    fn says(&mut self, command: FromWorker) {
        let plant = &mut self.plant;
        plant.broker.handle_command(self.worker, command, plant.now);
        plant.settle();
    }

    fn stranger(&mut self) -> PeerId {
        self.plant.opens_as(|origin| origin.may_serve = false)
    }

    /// The token of the next request.
    fn asked(&mut self) -> Token {
        let request = self.plant.takes_one(self.worker);
        Token::parse(&request.token()).unwrap()
    }

    fn answers(&mut self, token: Token, text: &str) {
        self.says(FromWorker::Final {
            token,
            header: Header::new(1),
            body: Message::from_frames([text]),
        });
    }
}

#[test]
fn a_worker_in_memory_is_one_like_any_other() {
    let mut own = Own::start("1");
    let clients = [(); 2].map(|()| own.stranger());
    own.plant.asks(clients[0], "echo", "a");
    own.plant.asks03(clients[1], 7, "echo", "b");

    let token = own.asked();
    assert_eq!(own.plant.broker.client_of(token), Some(clients[0]));
    own.answers(token, "A");
    assert_eq!(own.plant.broker.client_of(token), None);
    assert_eq!(
        own.plant.takes(clients[0]),
        [frames!["MDPC02", 3, "echo", "A"]]
    );
    let token = own.asked();
    own.answers(token, "B");
    let answer = frames!["MDPC03", 3, "echo", header(7, &[]), "B"];
    assert_eq!(own.plant.takes(clients[1]), [answer]);
    assert!(own.plant.is_served("echo"));
}

#[test]
fn nobody_may_serve_who_may_not_and_is_told_so_in_its_dialect() {
    let mut own = Own::start("1");
    for (ready, disconnect) in [
        (frames!["", "MDPW01", 1, "echo"], frames!["", "MDPW01", 5]),
        (frames!["MDPW02", 1, "echo"], frames!["MDPW02", 6]),
        (
            frames!["", "MDPW02", "READY", "echo"],
            frames!["MDPW02", "DISCONNECT"],
        ),
        (
            frames!["MDPW03", 1, "echo", header(0, &[])],
            frames!["MDPW03", 6, header(0, &[("message", "may_not_serve")])],
        ),
    ] {
        let stranger = own.stranger();
        own.plant.sends(stranger, ready.clone());
        assert_eq!(own.plant.takes(stranger), [disconnect]);
        own.plant.sends(stranger, ready);
        own.plant.assert_silence(stranger);
    }
    let tally = own.plant.broker.tally();
    assert_eq!(tally.rejected(Rejection::MayNotServe), 4);
    assert_eq!(tally.rejected(Rejection::Dismissed), 4);
    assert_eq!(tally.workers, 1);

    let client = own.stranger();
    own.plant.asks(client, "echo", "a");
    let token = own.asked();
    assert_eq!(own.plant.broker.client_of(token), Some(client));
}

#[test]
fn a_service_that_no_worker_can_come_for_is_not_waited_for() {
    let mut own = Own::start("1");
    let client = own.stranger();
    own.plant.asks03(client, 1, "nobody", "a");
    let error = own.plant.takes_one(client);
    assert_eq!(error.error(), (1, "no-worker".to_owned()));
    assert_eq!(own.plant.broker.tally().services, 1);

    // A worker that is busy is waited for.
    own.plant.asks03(client, 2, "echo", "a");
    own.plant.asks03(client, 3, "echo", "b");
    let token = own.asked();
    own.plant.assert_silence(client);
    own.answers(token, "A");
    let token = own.asked();
    own.answers(token, "B");
    assert_eq!(own.plant.takes(client).len(), 2);
}

#[test]
fn a_drain_answers_what_was_taken_queued_requests_too() {
    let mut own = Own::start("1");
    let client = own.stranger();
    own.plant.asks03(client, 1, "echo", "a");
    own.plant.asks03(client, 2, "echo", "b");
    own.plant.broker.handle_drain(own.plant.now);
    own.plant.settle();
    own.plant.asks03(client, 3, "echo", "c");
    let refused = own.plant.takes_one(client);
    assert_eq!(refused.error(), (3, "draining".to_owned()));

    let token = own.asked();
    own.answers(token, "A");
    assert_eq!(own.plant.drained, 0);
    let token = own.asked();
    own.answers(token, "B");
    assert_eq!(own.plant.takes(client).len(), 2);
    assert_eq!(own.plant.drained, 1);
    let goodbye = own.plant.takes_one(own.worker);
    assert_eq!(goodbye.0[..2], frames!["MDPW03", 6].0);
}
