//! What programs asked, what was done for it, and how it ended: the view of those who use a broker.

use std::collections::{BTreeMap, VecDeque};

use plantd_mdp::Token;

use crate::body::Question;
use crate::verdict::{Verdict, ensure};

/// How many tokens are remembered for those who steal them.
const STOLEN: usize = 64;

/// Every question of a run.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    asked: BTreeMap<u64, Asked>,
    stamps: u64,
    /// Tokens that were given of late, each with the party.
    tokens: VecDeque<(Token, usize)>,
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    pub(crate) executed: u64,
}

#[derive(Debug)]
struct Asked {
    once: bool,
    executions: u32,
    end: Option<End>,
}

/// How a question ended for who asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Answered,
    /// With a code or the library's words for it.
    Failed(String),
    /// Who asked cancelled, was killed, or lost its connection.
    GivenUp,
}

impl Ledger {
    /// Notes a question; `once` if it may be executed once at most.
    pub(crate) fn asks(&mut self, once: bool) -> u64 {
        let number = self.asked.len() as u64 + 1;
        let asked = Asked {
            once,
            executions: 0,
            end: None,
        };
        self.asked.insert(number, asked);
        number
    }

    /// A number for one sending of a question.
    pub(crate) fn stamp(&mut self) -> u64 {
        self.stamps += 1;
        self.stamps
    }

    pub(crate) fn gives(&mut self, token: Token, party: usize) {
        if self.tokens.len() == STOLEN {
            self.tokens.pop_front();
        }
        self.tokens.push_back((token, party));
    }

    /// Tokens that were given to others than this party.
    pub(crate) fn tokens_of_others(&self, party: usize) -> Vec<Token> {
        let tokens = self.tokens.iter();
        let tokens = tokens.filter(|(_, given_to)| *given_to != party);
        tokens.map(|(token, _)| *token).collect()
    }

    pub(crate) fn executes(&mut self, question: Question) -> Verdict {
        self.executed += 1;
        let number = question.number;
        let Some(asked) = self.asked.get_mut(&number) else {
            return Err(format!("question {number} is executed and was never asked").into());
        };
        asked.executions += 1;
        let executions = asked.executions;
        ensure!(
            !asked.once || executions == 1,
            "question {number} has retry=never and is executed {executions} times"
        );
        Ok(())
    }

    pub(crate) fn ends(&mut self, number: u64, end: End) -> Verdict {
        let Some(asked) = self.asked.get_mut(&number) else {
            return Err(format!("question {number} ends and was never asked").into());
        };
        if let Some(before) = &asked.end {
            return Err(format!("question {number} ends twice: {before:?}, then {end:?}").into());
        }
        match &end {
            End::Answered => {
                self.answered += 1;
                ensure!(
                    asked.executions > 0,
                    "question {number} is answered and was never executed"
                );
            }
            End::Failed(code) => {
                self.failed += 1;
                let never_tried = matches!(code.as_str(), "no-worker" | "bad-request");
                ensure!(
                    !(asked.once && never_tried && asked.executions > 0),
                    "question {number} was executed and failed as {code}"
                );
            }
            End::GivenUp => {}
        }
        asked.end = Some(end);
        Ok(())
    }

    /// Checks that nothing is left open.
    pub(crate) fn closes(&self) -> Verdict {
        for (number, asked) in &self.asked {
            ensure!(
                asked.end.is_some(),
                "question {number} never ended: {asked:?}"
            );
        }
        Ok(())
    }
}
