//! The brokers that there are, and what is shown of them.

use std::collections::BTreeSet;

use plantd_mdp::worker as machine;
use tracing::info;

use super::Server;
use crate::{
    Status, jitter_seed,
    link::ConnectionKey,
    status::BrokerStatus,
    worker::registration::{Registration, RegistrationId},
};

impl Server {
    /// Registers at brokers that are new, and forgets those that are gone and not connected.
    pub(super) fn take_directory(&mut self) {
        if self.drains_until.is_some() {
            return;
        }
        let endpoints: BTreeSet<_> = self.directory.endpoints().into_iter().collect();
        for registration in self.registrations.values_mut() {
            registration.is_gone = !endpoints.contains(&registration.endpoint);
        }
        for endpoint in endpoints {
            if self
                .registrations
                .values()
                .any(|known| known.endpoint == endpoint)
            {
                continue;
            }
            let id = RegistrationId(self.next_registration);
            self.next_registration += 1;
            let machine = machine::Worker::new(self.config.clone(), jitter_seed());
            self.registrations
                .insert(id, Registration::new(endpoint, machine));
        }
        for (endpoint, reason) in self.directory.failures() {
            info!(%endpoint, reason, "the name of a broker has no address");
        }
        self.forget_gone();
        self.show_status();
    }

    pub(super) fn forget_gone(&mut self) {
        let is_forgotten = |it: &mut Registration| it.is_gone && !it.is_up;
        for (_, forgotten) in self.registrations.extract_if(.., |_, it| is_forgotten(it)) {
            if let Some(key) = forgotten.connection {
                self.links.close(key);
            }
        }
    }

    pub(super) fn registration_of(
        &mut self,
        key: ConnectionKey,
    ) -> Option<(RegistrationId, &mut Registration)> {
        let mut registrations = self.registrations.iter_mut();
        let (id, registration) = registrations.find(|(_, it)| it.connection == Some(key))?;
        Some((*id, registration))
    }

    pub(super) fn show_status(&self) {
        let registrations = self.registrations.values().map(Registration::status);
        let nameless = self.directory.failures().map(BrokerStatus::unresolved);
        let status = Status {
            brokers: registrations.chain(nameless).collect(),
        };
        self.status.send_if_modified(|shown| {
            let is_news = *shown != status;
            *shown = status;
            is_news
        });
    }
}
