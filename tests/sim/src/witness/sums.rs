//! The broker's own sums, before and after an act.

use plantd_mdp::ErrorCode;
use plantd_mdp::broker::{PeerId, Tally};

use super::Witness;
use crate::verdict::{Verdict, ensure};

/// What was counted before an act.
#[derive(Debug, Default)]
pub(super) struct Sums {
    taken: u64,
    replies: u64,
    failed: u64,
    unanswered: u64,
}

impl Sums {
    pub(super) fn of(tally: &Tally) -> Self {
        let failed = ErrorCode::ALL.iter().map(|code| tally.failed(*code));
        Self {
            taken: tally.requests,
            replies: tally.replies,
            failed: failed.sum(),
            unanswered: tally.unanswered as u64,
        }
    }

    /// Whether the act took a request.
    pub(super) fn has_taken(&self, tally: &Tally) -> bool {
        tally.requests > self.taken
    }
}

impl Witness {
    /// Checks that each request that is no longer unanswered was answered, has failed, or its
    /// client is gone.
    pub(super) fn balance(&self, tally: &Tally) -> Verdict {
        let (before, after) = (&self.sums, Sums::of(tally));
        let taken = after.taken - before.taken;
        let failed = after.failed - before.failed;
        let refused = u64::from(self.act.asks.is_some() && taken == 0 && failed > 0);
        let ended = (after.replies - before.replies) + (failed - refused);
        let open = before.unanswered + taken;
        ensure!(
            open >= ended + after.unanswered,
            "of {open} open requests {ended} ended, and {} are left",
            after.unanswered
        );
        let left_with_client = open - ended - after.unanswered;
        let (least, most) = self.went_with_clients();
        ensure!(
            (least..=most).contains(&left_with_client),
            "{left_with_client} requests ended without a word; {least} to {most} clients' were gone"
        );
        Ok(())
    }

    /// Checks that nothing is over a limit.
    pub(super) fn check_limits(&self, tally: &Tally) -> Verdict {
        let limits = &self.config.limits;
        ensure!(
            tally.held_bytes <= limits.memory_bytes,
            "{} bytes of {} are held",
            tally.held_bytes,
            limits.memory_bytes
        );
        let requests = self.peers.values().map(|view| view.ids.len());
        let most = requests.max().unwrap_or(0);
        ensure!(
            most <= limits.client_requests + 1,
            "{most} requests of one client are open, of {}",
            limits.client_requests
        );
        Ok(())
    }

    /// How many requests may have ended with the connections that ended: where there are ids it is
    /// known, else there are errors that were not told.
    fn went_with_clients(&self) -> (u64, u64) {
        let mut least = 0;
        let mut most = 0;
        for peer in &self.act.gone {
            let (sure, possible) = self.open_of(*peer);
            least += sure;
            most += sure + possible;
        }
        (least, most)
    }

    fn open_of(&self, peer: PeerId) -> (u64, u64) {
        let Some(view) = self.peers.get(&peer) else {
            return (0, 0);
        };
        let possible = view.taken.saturating_sub(view.answered);
        (view.ids.len() as u64, possible as u64)
    }
}
