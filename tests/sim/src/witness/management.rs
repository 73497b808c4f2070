//! What the broker says of itself: `mmi.service`, at once and true.

use plantd_mdp::ServiceName;
use plantd_mdp::broker::PeerId;
use plantd_zmtp::Message;

use super::Witness;
use crate::verdict::{Verdict, ensure};

/// A request that the broker answers itself, at once.
#[derive(Debug)]
pub(super) struct Managed {
    peer: PeerId,
    status: &'static [u8],
}

impl Witness {
    /// What the broker should say to `mmi.service` of an honest client.
    pub(super) fn expect_status(
        &self,
        peer: PeerId,
        service: &ServiceName,
        body: &Message,
    ) -> Option<Managed> {
        let view = self.peers.get(&peer)?;
        if !view.traits.honest || service.as_str() != "mmi.service" {
            return None;
        }
        let name = body.frames().next()?;
        let mut workers = self.workers.values();
        let is_served = workers.any(|worker| worker.service.as_str().as_bytes() == name);
        let status = if is_served { b"200" } else { b"404" };
        Some(Managed { peer, status })
    }

    pub(super) fn sees_status(&mut self, peer: PeerId, body: &Message) -> Verdict {
        if let Some(managed) = self.act.managed.take_if(|managed| managed.peer == peer) {
            let status = body.frames().next().unwrap_or_default();
            ensure!(
                status == managed.status,
                "{body:?} is answered in place of {managed:?}"
            );
        }
        Ok(())
    }

    /// Checks that what was asked in this act was answered in it.
    pub(super) fn check_managed(&self) -> Verdict {
        if let Some(managed) = &self.act.managed {
            let is_gone = self
                .peers
                .get(&managed.peer)
                .is_none_or(|view| view.is_closed);
            ensure!(is_gone, "{managed:?} is not answered");
        }
        Ok(())
    }
}
