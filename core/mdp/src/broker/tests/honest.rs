//! Honest peers whose workers die at any moment: every request has one end.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::hostile::{Answer, Terms, answer, terms};
use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn with_honest_peers_each_request_has_exactly_one_end(
        steps in vec(honest_step(), 1..100),
    ) {
        let mut honest = Honest::new();
        for step in steps {
            honest.does(step);
        }
        honest.ends();
    }
}

/// What happens to clients of MDP/0.3 whose workers answer, refuse, and die.
#[derive(Debug, Clone, Copy)]
enum HonestStep {
    Asks(usize, Terms),
    Cancels(usize),
    Joins(usize),
    Answers(usize, Answer),
    Dies(usize, Death),
    Passes(u64),
}

#[derive(Debug, Clone, Copy)]
enum Death {
    Closes,
    Leaves,
    FallsSilent,
}

fn honest_step() -> impl Strategy<Value = HonestStep> {
    let death = prop::sample::select(vec![Death::Closes, Death::Leaves, Death::FallsSilent]);
    prop_oneof![
        8 => (0usize..3, terms()).prop_map(|(client, terms)| HonestStep::Asks(client, terms)),
        1 => (0usize..3).prop_map(HonestStep::Cancels),
        3 => (0usize..4).prop_map(HonestStep::Joins),
        8 => (0usize..4, answer()).prop_map(|(worker, answer)| HonestStep::Answers(worker, answer)),
        2 => (0usize..4, death).prop_map(|(worker, death)| HonestStep::Dies(worker, death)),
        3 => (0u64..2000).prop_map(HonestStep::Passes),
    ]
}

/// Three clients of one service, and workers of each dialect.
struct Honest {
    plant: Plant,
    clients: [PeerId; 3],
    workers: [Option<PeerId>; 4],
    given: BTreeMap<PeerId, Vec<Frames>>,
    next_id: u64,
    /// What each id has received after which nothing may follow.
    ends: BTreeMap<u64, Option<Frames>>,
}

impl Honest {
    fn new() -> Self {
        let mut plant = Plant::new();
        Self {
            clients: [(); 3].map(|()| plant.client()),
            plant,
            workers: [None; 4],
            given: BTreeMap::new(),
            next_id: 0,
            ends: BTreeMap::new(),
        }
    }

    fn does(&mut self, step: HonestStep) {
        match step {
            HonestStep::Asks(client, terms) => {
                self.next_id += 1;
                self.ends.insert(self.next_id, None);
                let body = self.next_id.to_string();
                self.plant
                    .asks_with(self.clients[client], self.next_id, terms, "echo", &body);
            }
            HonestStep::Cancels(client) => {
                let cancel = frames!["MDPC03", 5, "echo", header(self.next_id, &[])];
                self.plant.sends(self.clients[client], cancel);
            }
            HonestStep::Joins(worker) => {
                if self.workers[worker].is_none() {
                    self.workers[worker] = Some(self.joins(worker));
                }
            }
            HonestStep::Answers(worker, answer) => {
                if let Some(worker) = self.workers[worker] {
                    self.answers(worker, answer);
                }
            }
            HonestStep::Dies(worker, death) => {
                if let Some(worker) = self.workers[worker].take() {
                    self.dies(worker, death);
                }
            }
            HonestStep::Passes(milliseconds) => {
                self.plant.passes(Duration::from_millis(milliseconds));
            }
        }
        self.reads();
    }

    fn joins(&mut self, number: usize) -> PeerId {
        match number {
            0 => self.plant.worker("echo"),
            1 => {
                let worker = self.plant.opens(false);
                self.plant
                    .sends(worker, frames!["", "MDPW02", "READY", "echo"]);
                self.plant
                    .keeps_alive(worker, frames!["", "MDPW02", "HEARTBEAT"]);
                worker
            }
            2 => {
                let worker = self.plant.opens(false);
                self.plant.sends(worker, frames!["", "MDPW01", 1, "echo"]);
                self.plant.keeps_alive(worker, frames!["", "MDPW01", 4]);
                worker
            }
            _ => self.plant.worker03("echo", 3),
        }
    }

    fn answers(&mut self, worker: PeerId, answer: Answer) {
        let given = self.given.entry(worker).or_default();
        let Some(request) = given.first().cloned() else {
            return;
        };
        let (is_mdp01, is_mdp03) = (request.0[0].is_empty(), request.0[0] == b"MDPW03");
        let message = match answer {
            Answer::Partial if !is_mdp01 => request.partial("part"),
            Answer::Error(properties) if is_mdp03 => request.fails_with(properties),
            Answer::Final | Answer::Partial | Answer::Error(_) => request.echo(),
        };
        if !matches!(answer, Answer::Partial) || is_mdp01 {
            given.remove(0);
        }
        self.plant.sends(worker, message);
        if let Answer::Error([("code", "draining")]) = answer
            && is_mdp03
        {
            self.plant
                .sends(worker, frames!["MDPW03", 5, header(0, &[("credit", "3")])]);
        }
    }

    fn dies(&mut self, worker: PeerId, death: Death) {
        let form = self.plant.heartbeats.get(&worker).cloned();
        match (death, form) {
            (Death::Closes, _) | (_, None) => self.plant.closes(worker),
            (Death::FallsSilent, Some(_)) => self.plant.falls_silent(worker),
            (Death::Leaves, Some(heartbeat)) => {
                self.plant.falls_silent(worker);
                let mut leave = heartbeat;
                let command = leave.0.last_mut().unwrap();
                *command = match &command[..] {
                    [4] => vec![5],
                    [5] => vec![6],
                    _ => b"DISCONNECT".to_vec(),
                };
                self.plant.sends(worker, leave);
            }
        }
    }

    fn reads(&mut self) {
        for worker in self.workers.into_iter().flatten() {
            for message in self.plant.takes(worker) {
                assert!(!message.is_disconnect(), "an honest worker was dismissed");
                let command = &message.0[message.0.len().min(2) - 1];
                let is_cancel = message.0[0] == b"MDPW03" && command != &[2];
                if !is_cancel {
                    self.given.entry(worker).or_default().push(message);
                }
            }
        }
        for client in self.clients {
            for message in self.plant.takes(client) {
                let end = self
                    .ends
                    .get_mut(&message.id())
                    .expect("an id that was asked");
                assert_eq!(*end, None, "{message:?} comes after the end");
                match message.0[1][..] {
                    [2] => assert_eq!(message.0[4], b"part"),
                    [3] => {
                        assert_eq!(message.0[4], message.id().to_string().as_bytes());
                        *end = Some(message);
                    }
                    _ => {
                        message.error();
                        *end = Some(message);
                    }
                }
            }
        }
    }

    /// The last workers die and time passes: whatever is left ends.
    fn ends(mut self) {
        for worker in self.workers.into_iter().flatten() {
            self.plant.closes(worker);
        }
        self.workers = [None; 4];
        // Busy workers of older dialects that fell silent are given a minute; then the queue ends.
        self.plant.passes(H * 24 + Duration::from_secs(31));
        self.reads();
        for (id, end) in &self.ends {
            assert!(end.is_some(), "the request {id} has no end");
        }
        self.plant.assert_nothing_is_held();
    }
}
