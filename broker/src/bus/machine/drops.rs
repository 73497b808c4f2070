//! What was dropped, told to the captures once a second.

use std::time::{Duration, Instant};

use plantd_zmtp::Message;
use serde::Serialize;

use super::Subscriber;

/// The topic under which drops are told.
pub(super) const TOPIC: &[u8] = b"org.plantd.broker.dropped";
/// The time from the first drop to the report of all that came since.
const INTERVAL: Duration = Duration::from_secs(1);
/// The subscribers that a report names.
const LISTED: usize = 100;

/// Drops that have not been told.
#[derive(Debug, Default)]
pub(super) struct Drops {
    untold: u64,
    due: Option<Instant>,
    /// Subscribers that have left since.
    left: Vec<Loss>,
}

#[derive(Clone, Debug, Serialize)]
struct Loss {
    address: String,
    dropped: u64,
}

/// What a report says.
#[derive(Debug, Serialize)]
struct Report<'a> {
    bus: &'a str,
    dropped: u64,
    subscribers: Vec<Loss>,
}

impl Drops {
    pub(super) fn note(&mut self, messages: u64, now: Instant) {
        self.untold += messages;
        self.due.get_or_insert(now + INTERVAL);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn handle_left(&mut self, subscriber: &Subscriber) {
        let dropped = subscriber.untold();
        if dropped > 0 && self.left.len() < LISTED {
            let address = subscriber.name().to_owned();
            self.left.push(Loss { address, dropped });
        }
    }

    /// What was dropped since the last report, as a message for the captures.
    pub(super) fn report<'a>(
        &mut self,
        bus: &str,
        subscribers: impl Iterator<Item = &'a mut Subscriber>,
    ) -> Message {
        self.due = None;
        let mut losses = std::mem::take(&mut self.left);
        for subscriber in subscribers {
            let dropped = subscriber.take_untold();
            if dropped > 0 && losses.len() < LISTED {
                let address = subscriber.name().to_owned();
                losses.push(Loss { address, dropped });
            }
        }
        let report = Report {
            bus,
            dropped: std::mem::take(&mut self.untold),
            subscribers: losses,
        };
        let report = serde_json::to_vec(&report).expect("names and numbers are plain data");
        Message::from_frames([TOPIC, &report])
    }
}
