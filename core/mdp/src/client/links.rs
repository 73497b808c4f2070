//! Links: made, lost, chosen, and found silent.

use std::{collections::BTreeSet, time::Instant};

use plantd_zmtp::Message;

use super::{Client, CloseReason, LinkId, Output, RequestId, Timer};
use crate::{
    Header, ServiceName,
    command::{FromClient, ToClient},
    link::{Backoff, Silence},
};

/// One broker.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) state: State,
    backoff: Backoff,
    /// The [`Client::turn`] in which it was used last.
    last_used: u64,
}

#[derive(Debug)]
pub(super) enum State {
    /// Waits until the next attempt.
    Down { until: Instant },
    /// [`Output::Connect`] has not been answered.
    Connecting,
    /// Messages pass.
    Up(Up),
}

/// A link over which messages pass.
#[derive(Debug, Default)]
pub(super) struct Up {
    /// Whether the transport finds a half-open link by itself.
    has_ping: bool,
    /// Whether the broker said that it is stopping.
    pub(super) is_draining: bool,
    pub(super) unanswered: BTreeSet<RequestId>,
    /// Runs while answers are owed over a link without a ping.
    silence: Option<Silence>,
    /// When the entry of the timers comes up that looks at the silence.
    looked_at: Option<Instant>,
}

impl Link {
    pub(super) fn connects_at(&self, due: Instant) -> bool {
        matches!(self.state, State::Down { until } if until == due)
    }

    pub(super) fn is_looked_at(&self, due: Instant) -> bool {
        self.up().is_some_and(|up| up.looked_at == Some(due))
    }

    pub(super) fn up(&self) -> Option<&Up> {
        match &self.state {
            State::Up(up) => Some(up),
            State::Down { .. } | State::Connecting => None,
        }
    }

    pub(super) fn up_mut(&mut self) -> Option<&mut Up> {
        match &mut self.state {
            State::Up(up) => Some(up),
            State::Down { .. } | State::Connecting => None,
        }
    }
}

impl Client {
    /// Adds a broker, and asks for a connection to it at once.
    pub fn add_link(&mut self) -> LinkId {
        let id = LinkId(self.next_link);
        self.next_link += 1;
        let backoff = Backoff::new(self.config.reconnect, self.seed());
        let link = Link {
            state: State::Connecting,
            backoff,
            last_used: 0,
        };
        self.links.insert(id, link);
        self.outputs.push_back(Output::Connect { link: id });
        id
    }

    /// Takes a broker away; what it has not answered goes to another one.
    pub fn remove_link(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        if !matches!(link.state, State::Down { .. }) {
            let reason = CloseReason::Removed;
            self.outputs.push_back(Output::Close { link: id, reason });
        }
        self.lose_requests(link.state, now);
    }

    /// Takes that a link asked for by [`Output::Connect`] is there.
    ///
    /// `has_ping` says whether the transport finds a half-open link by itself.
    pub fn handle_opened(&mut self, id: LinkId, has_ping: bool, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if !matches!(link.state, State::Connecting) {
            return;
        }
        link.state = State::Up(Up {
            has_ping,
            ..Up::default()
        });
        self.send_waiting(now);
    }

    /// Takes that a link was lost or could not be made.
    pub fn handle_closed(&mut self, id: LinkId, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if matches!(link.state, State::Down { .. }) {
            return;
        }
        let until = now + link.backoff.next_delay();
        let lost = std::mem::replace(&mut link.state, State::Down { until });
        self.timers.arm(until, Timer::Connect(id));
        self.lose_requests(lost, now);
        self.forget_dead_timers();
    }

    /// Takes a message of a broker.
    pub fn handle_message(&mut self, id: LinkId, message: &Message, now: Instant) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let Some(up) = link.up_mut() else {
            return;
        };
        let command = match ToClient::decode(message) {
            Ok(command) => command,
            Err(_) => {
                self.counts.invalid_replies += 1;
                return;
            }
        };
        if let Some(silence) = &mut up.silence {
            silence.heard(now);
        }
        link.backoff.reset();
        match command {
            None => {}
            Some(ToClient::Partial { header, body, .. }) => self.take_partial(id, header, body),
            Some(ToClient::Final { header, body, .. }) => self.take_final(id, header, body),
            Some(ToClient::Error { header, .. }) => self.take_error(id, &header, now),
        }
    }

    pub(super) fn connect_if_due(&mut self, id: LinkId, due: Instant) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        if link.connects_at(due) {
            link.state = State::Connecting;
            self.outputs.push_back(Output::Connect { link: id });
        }
    }

    /// Ends an interval of silence: asks for a sign of life, or gives the link up.
    pub(super) fn miss_if_due(&mut self, id: LinkId, due: Instant, now: Instant) {
        let Some(link) = self
            .links
            .get_mut(&id)
            .filter(|link| link.is_looked_at(due))
        else {
            return;
        };
        let Some(up) = link.up_mut() else {
            return;
        };
        up.looked_at = None;
        let Some(silence) = &mut up.silence else {
            return;
        };
        let is_missed = silence.due() <= now;
        if is_missed && silence.miss(now) {
            let reason = CloseReason::Silent;
            self.outputs.push_back(Output::Close { link: id, reason });
            self.handle_closed(id, now);
            return;
        }
        let due = silence.due();
        up.looked_at = Some(due);
        self.timers.arm(due, Timer::Silence(id));
        if is_missed {
            self.send_probe(id);
        }
    }

    fn send_probe(&mut self, link: LinkId) {
        let probe = FromClient::Request {
            service: ServiceName::parse(b"mmi.heartbeat").expect("a name"),
            header: Header::new(self.next_probe),
            body: Message::EMPTY,
        };
        self.next_probe = self
            .next_probe
            .checked_add(1)
            .unwrap_or(RequestId::FIRST_PROBE);
        self.send(link, probe);
    }

    /// Chooses the link for the next request: fewest unanswered, then the one not used for longest.
    pub(super) fn choose_link(&self) -> Option<LinkId> {
        let ready = self.links.iter().filter_map(|(id, link)| {
            let up = link.up().filter(|up| !up.is_draining)?;
            Some((up.unanswered.len(), link.last_used, *id))
        });
        ready.min().map(|(_, _, id)| id)
    }

    /// Notes that a link owes an answer.
    pub(super) fn owe(&mut self, id: LinkId, request: RequestId, now: Instant) {
        self.turn += 1;
        let (heartbeat, liveness) = (self.config.heartbeat, self.config.liveness);
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.last_used = self.turn;
        let Some(up) = link.up_mut() else {
            return;
        };
        up.unanswered.insert(request);
        if !up.has_ping && up.silence.is_none() {
            let silence = Silence::new(heartbeat, liveness, now);
            up.silence = Some(silence);
            if up.looked_at.is_none() {
                up.looked_at = Some(silence.due());
                self.timers.arm(silence.due(), Timer::Silence(id));
            }
        }
    }

    /// Notes that a link owes an answer no more.
    pub(super) fn settle(&mut self, id: LinkId, request: RequestId) {
        let Some(up) = self.links.get_mut(&id).and_then(Link::up_mut) else {
            return;
        };
        up.unanswered.remove(&request);
        if up.unanswered.is_empty() {
            up.silence = None;
        }
    }

    pub(super) fn send(&mut self, link: LinkId, command: FromClient) {
        self.outputs.push_back(Output::Send { link, command });
    }
}
