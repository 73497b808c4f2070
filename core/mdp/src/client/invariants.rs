//! What is true of a client after every step.

use super::{Client, links::State, requests::Place};

impl Client {
    /// Checks that the tables agree with each other; for tests, after each step.
    ///
    /// # Panics
    /// If they do not.
    pub fn check_invariants(&self) {
        let mut bytes = 0;
        for (id, pending) in &self.requests {
            bytes += pending.bytes();
            match &pending.place {
                Place::Waiting(_) => assert!(self.waiting.contains(id), "{id} waits unlisted"),
                Place::At(link) => {
                    let up = self.links.get(link).and_then(|link| link.up());
                    let is_owed = up.is_some_and(|up| up.unanswered.contains(id));
                    assert!(is_owed, "{id} is at a link that does not owe it");
                }
            }
        }
        assert_eq!(bytes, self.request_bytes);
        let owed = self.links.values().filter_map(|link| link.up());
        let owed: usize = owed.map(|up| up.unanswered.len()).sum();
        assert_eq!(owed + self.waiting.len(), self.requests.len());
        assert!(
            self.waiting.is_empty() || self.choose_link().is_none(),
            "requests wait although a link is ready"
        );
        for link in self.links.values() {
            if let State::Down { until } = link.state {
                let next = self.timers.next().expect("the next attempt is armed");
                assert!(next <= until, "the next attempt comes late");
            }
        }
    }
}
