//! The clock and the timer of a connection.

use std::{future::Future, pin::Pin, task::Context, time::Instant};

use tokio::time::{Sleep, sleep_until};

/// The one timer of a connection. It is moved when its time has come or must come sooner, and so
/// not at each message.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.sleep
            .as_ref()
            .is_some_and(|sleep| sleep.deadline().into_std() <= now)
    }

    /// Sees to it that the task is woken at `deadline` at the latest; true if that is already due.
    pub(super) fn set(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        deadline: Option<Instant>,
    ) -> bool {
        let Some(deadline) = deadline else {
            self.sleep = None;
            return false;
        };
        match &mut self.sleep {
            None => self.sleep = Some(Box::pin(sleep_until(deadline.into()))),
            Some(sleep) => {
                let set_to = sleep.deadline().into_std();
                if deadline < set_to || set_to <= now {
                    sleep.as_mut().reset(deadline.into());
                }
            }
        }
        self.sleep
            .as_mut()
            .is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
    }
}

/// The one clock of a connection, read once in each turn; tokio's, so that it can be paused.
pub(super) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}
