//! The rule of trying again: what is lost is asked again, and no write is done twice.
//!
//! A write carries an id, under which the service does it once for as long as its retry window; so it
//! may be sent again whatever became of the answer. It then says how long ago it was first sent, so that
//! the service refuses what it may have forgotten. What is not known at the end is said to be so.

use super::error::{Failed, StateError};
use crate::RequestError;

/// What is known of an operation that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempts {
    is_write: bool,
    /// Why it may have been done, although no answer came.
    lost: Option<RequestError>,
}

/// What follows from an attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another may succeed; the end if there is no time for one.
    Again(Failed),
    /// Another would fail like it.
    Ended(Failed),
}

/// What a failed attempt says of the operation.
enum Meaning {
    /// It was not done, and may be soon.
    NotYet,
    /// It was not done there; it may be where its scope is, if it was not done before that moved.
    Elsewhere,
    /// It was not done, and never will be.
    Never,
    /// It may have been done; ask again.
    Lost,
    /// It may have been done, and nobody will tell.
    Untold,
}

impl Attempts {
    pub(super) fn of_read() -> Self {
        Self {
            is_write: false,
            lost: None,
        }
    }

    pub(super) fn of_write() -> Self {
        Self {
            is_write: true,
            lost: None,
        }
    }

    /// Whether an attempt may have been done, although no answer came.
    pub(super) fn may_be_done(&self) -> bool {
        self.lost.is_some()
    }

    /// Takes how the last attempt ended.
    pub(super) fn take(&mut self, error: StateError) -> Verdict {
        let meaning = meaning(&error);
        if let (Meaning::Lost | Meaning::Untold, StateError::Request(lost)) = (&meaning, &error)
            && self.is_write
        {
            self.lost = Some(lost.clone());
        }
        match meaning {
            Meaning::Never => Verdict::Ended(Failed::Not(error)),
            Meaning::Untold => Verdict::Ended(self.known_of(error)),
            Meaning::Elsewhere if self.may_be_done() => Verdict::Ended(self.known_of(error)),
            Meaning::NotYet | Meaning::Elsewhere | Meaning::Lost => {
                Verdict::Again(self.known_of(error))
            }
        }
    }

    fn known_of(&self, error: StateError) -> Failed {
        match &self.lost {
            Some(lost) => Failed::Unknown(lost.clone()),
            None => Failed::Not(error),
        }
    }
}

fn meaning(error: &StateError) -> Meaning {
    let error = match error {
        StateError::Refused(refusal) => {
            return match refusal.code.as_str() {
                "busy" | "draining" | "unavailable" => Meaning::NotYet,
                "wrong-shard" => Meaning::Elsewhere,
                // Its id may be forgotten, and then it would be done again.
                "too-late" => Meaning::Untold,
                _ => Meaning::Never,
            };
        }
        StateError::Request(error) => error,
    };
    match error {
        RequestError::NotConnected { .. }
        | RequestError::NoWorker { .. }
        | RequestError::Busy { .. }
        | RequestError::Draining { .. } => Meaning::NotYet,
        RequestError::InvalidService(_)
        | RequestError::InvalidProperty { .. }
        | RequestError::TooLarge { .. }
        | RequestError::Denied { .. }
        | RequestError::BadRequest { .. }
        | RequestError::Unsupported { .. } => Meaning::Never,
        RequestError::ConnectionLost | RequestError::WorkerLost { .. } => Meaning::Lost,
        RequestError::Timeout
        | RequestError::Cancelled { .. }
        | RequestError::WorkerError { .. }
        | RequestError::Other { .. }
        | RequestError::InvalidReply(_)
        | RequestError::Closed => Meaning::Untold,
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Refusal;
    use super::*;

    fn refused(code: &str) -> StateError {
        StateError::Refused(Refusal {
            code: code.to_owned(),
            message: String::new(),
            detail: Default::default(),
        })
    }

    fn no_worker() -> StateError {
        let message = String::new();
        StateError::Request(RequestError::NoWorker { message })
    }

    #[test]
    fn what_was_not_done_yet_is_asked_again_and_ends_as_it_is() {
        for error in [refused("busy"), refused("draining"), no_worker()] {
            let again = Verdict::Again(Failed::Not(error.clone()));
            assert_eq!(Attempts::of_write().take(error.clone()), again);
            assert_eq!(Attempts::of_read().take(error), again);
        }
    }

    #[test]
    fn a_refusal_for_good_ends_it() {
        for code in ["version-mismatch", "exists", "too-large", "full", "later"] {
            let ended = Verdict::Ended(Failed::Not(refused(code)));
            assert_eq!(Attempts::of_write().take(refused(code)), ended);
        }
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_unknown_until_one_comes() {
        let lost = RequestError::ConnectionLost;
        let unknown = Verdict::Again(Failed::Unknown(lost.clone()));
        let mut attempts = Attempts::of_write();
        assert_eq!(attempts.take(lost.into()), unknown);
        assert_eq!(attempts.take(no_worker()), unknown);
        assert_eq!(attempts.take(refused("busy")), unknown);
    }

    #[test]
    fn a_write_that_may_have_been_done_is_not_taken_to_another_shard() {
        let mut attempts = Attempts::of_write();
        let elsewhere = refused("wrong-shard");
        let again = Verdict::Again(Failed::Not(elsewhere.clone()));
        assert_eq!(attempts.take(elsewhere.clone()), again);
        let lost = RequestError::ConnectionLost;
        attempts.take(lost.clone().into());
        assert!(attempts.may_be_done());
        assert_eq!(
            attempts.take(elsewhere),
            Verdict::Ended(Failed::Unknown(lost))
        );
    }

    #[test]
    fn a_read_whose_answer_was_lost_is_not_unknown() {
        let lost = StateError::Request(RequestError::ConnectionLost);
        let again = Verdict::Again(Failed::Not(lost.clone()));
        assert_eq!(Attempts::of_read().take(lost), again);
    }

    #[test]
    fn what_was_lost_beyond_a_router_is_lost_as_without_it() {
        let told = |code: &str| RequestError::WorkerError {
            code: code.to_owned(),
            message: String::new(),
        };
        for (code, error, again) in [
            ("connection-lost", RequestError::ConnectionLost, true),
            (
                "worker-lost",
                RequestError::WorkerLost {
                    message: String::new(),
                },
                true,
            ),
            ("timeout", RequestError::Timeout, false),
            ("disk-failed", told("disk-failed"), false),
        ] {
            assert_eq!(told(code).beyond_router(), error);
            let unknown = Failed::Unknown(error.clone());
            let verdict = Attempts::of_write().take(error.into());
            let expected = if again {
                Verdict::Again(unknown)
            } else {
                Verdict::Ended(unknown)
            };
            assert_eq!(verdict, expected);
        }
    }

    #[test]
    fn a_write_that_ran_out_of_time_is_unknown() {
        let ended = Verdict::Ended(Failed::Unknown(RequestError::Timeout));
        let mut attempts = Attempts::of_write();
        assert_eq!(attempts.take(RequestError::Timeout.into()), ended);
    }
}
