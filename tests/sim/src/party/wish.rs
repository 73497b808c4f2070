//! What a client wants.

use std::time::Duration;

use plantd_mdp::ServiceName;
use plantd_mdp::client::Retry;
use plantd_zmtp::Message;

use crate::body;
use crate::stage::Stage;

#[derive(Debug)]
pub(super) struct Wish {
    pub(super) number: u64,
    pub(super) service: ServiceName,
    pub(super) body: Message,
    pub(super) deadline: Option<Duration>,
    pub(super) retry: Retry,
    pub(super) window: Option<u32>,
    /// When the client thinks better of it.
    pub(super) cancel_after: Option<Duration>,
}

impl Wish {
    /// Draws a wish; `has_terms` if the client's dialect can say more than a body.
    pub(super) fn draw(has_terms: bool, stage: &mut Stage) -> Self {
        let service = stage.dice.count(0..=stage.plan.services.len() - 1);
        let (dice, asking) = (&mut stage.dice, &stage.plan.asking);
        let retry = match dice.count(0..=5) {
            0 if has_terms && asking.retries => Retry::Never,
            1 if has_terms && asking.retries => Retry::AtMost(dice.pick(&[1, 2, 7])),
            _ => Retry::Usual,
        };
        let has_deadline = has_terms && asking.deadlines && dice.chance(40);
        let has_window = has_terms && asking.windows && dice.chance(40);
        let cancels = has_terms && asking.cancels && dice.chance(20);
        let padding = if asking.large_bodies && dice.chance(20) {
            dice.count(1000..=7000)
        } else {
            dice.count(0..=100)
        };
        let deadline = has_deadline.then(|| dice.milliseconds(30..=4000));
        let window = has_window.then(|| dice.pick(&[1, 2, 5]));
        let cancel_after = cancels.then(|| dice.milliseconds(0..=2000));
        let number = stage.ledger.asks(retry == Retry::Never);
        Self {
            number,
            service: stage.plan.services[service].clone(),
            body: body::question(number, padding),
            deadline,
            retry,
            window,
            cancel_after,
        }
    }

    /// A wish without terms, to be answered for certain.
    pub(super) fn plain(service: usize, stage: &mut Stage) -> Self {
        let number = stage.ledger.asks(false);
        Self {
            number,
            service: stage.plan.services[service].clone(),
            body: body::question(number, 10),
            deadline: None,
            retry: Retry::Usual,
            window: None,
            cancel_after: None,
        }
    }
}
