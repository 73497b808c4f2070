//! What a worker's program makes of a request.

use std::time::Duration;

use plantd_mdp::Token;
use plantd_zmtp::Message;

use crate::body::{Piece, Question};
use crate::stage::Stage;

/// A request under way in a worker's program.
#[derive(Debug)]
pub(super) struct Job {
    token: Token,
    /// `None` where nobody honest asked.
    question: Option<Question>,
    parts_left: u32,
    parts_sent: u32,
    pub(super) is_cancelled: bool,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Answer,
    Error { retryable: bool },
    Never,
}

/// What the program does next.
#[derive(Debug)]
pub(super) enum Step {
    Part(Message),
    Answer(Message),
    Error { retryable: bool },
    Nothing,
}

impl Job {
    /// Begins to execute a request. `hangs` if the program is stuck.
    pub(super) fn begin(token: Token, body: &Message, hangs: bool, stage: &mut Stage) -> Self {
        let question = Question::read(body);
        if let Some(question) = question {
            let verdict = stage.ledger.executes(question);
            stage.judge(verdict);
        }
        let (dice, answering) = (&mut stage.dice, &stage.plan.answering);
        let has_parts = answering.parts && dice.chance(40);
        let fails = !stage.is_calm && answering.errors && dice.chance(15);
        let ending = match (hangs, fails) {
            (true, _) => Ending::Never,
            (false, true) => Ending::Error {
                retryable: dice.chance(60),
            },
            (false, false) => Ending::Answer,
        };
        Self {
            token,
            question,
            parts_left: match (has_parts, stage.is_calm) {
                (true, false) => dice.count(1..=6) as u32,
                // As many as fit the tightest limits when they are joined.
                (true, true) => 2,
                (false, _) => 0,
            },
            is_cancelled: false,
            parts_sent: 0,
            ending,
        }
    }

    /// How long the program thinks before the next step.
    pub(super) fn pause(stage: &mut Stage) -> Duration {
        let every = stage.plan.answering.every;
        if stage.dice.chance(30) {
            Duration::ZERO
        } else {
            stage.dice.around(every)
        }
    }

    /// What comes next.
    pub(super) fn next(&self, stage: &mut Stage) -> Step {
        if self.parts_left > 0 {
            return Step::Part(self.piece(false, stage));
        }
        match self.ending {
            Ending::Answer => Step::Answer(self.piece(true, stage)),
            Ending::Error { retryable } => Step::Error { retryable },
            Ending::Never => Step::Nothing,
        }
    }

    /// Notes that the part went out.
    pub(super) fn part_is_sent(&mut self) {
        self.parts_left -= 1;
        self.parts_sent += 1;
    }

    /// Answers with the last part alone.
    pub(super) fn skips_parts(&mut self) {
        self.parts_left = 0;
    }

    /// Lets a program that was stuck go on.
    pub(super) fn unhang(&mut self) {
        if self.ending == Ending::Never {
            self.ending = Ending::Answer;
        }
    }

    fn piece(&self, is_last: bool, stage: &mut Stage) -> Message {
        let large = stage.plan.answering.large_bodies && !stage.is_calm && stage.dice.chance(20);
        let padding = if large {
            stage.dice.count(1000..=7000)
        } else {
            stage.dice.count(0..=100)
        };
        let Some(question) = self.question else {
            return Message::from_frames(["an answer to nobody honest"]);
        };
        let piece = Piece {
            question,
            token: self.token,
            index: self.parts_sent,
            is_last,
        };
        piece.write(padding)
    }
}
