//! What clients send, and how their requests end.

use std::time::{Duration, Instant};

use plantd_zmtp::{Kept, Message};

use super::output::{CloseReason, PeerId};
use super::peer::{ClientPeer, Peer, Side};
use super::request::{Asker, Request, RequestKey, State};
use super::service::{Service, ServiceKey};
use super::{Broker, Drain, reasoned};
use crate::command::{FromClient, ToClient, ToWorker};
use crate::planted::Bug;
use crate::{ErrorCode, Form, Header, Properties, Rejection, ServiceName};

pub(super) const MEMORY_LIMIT: &str = "the broker's memory limit is reached";

/// What a client asks of its request beside the body.
struct Terms {
    /// What is left for the worker to see.
    properties: Properties,
    deadline: Option<Instant>,
    max_attempts: u32,
    windowed: bool,
}

/// Why a request is not accepted.
struct Refused {
    code: ErrorCode,
    message: String,
}

impl Refused {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}

impl Broker {
    pub(super) fn handle_client(
        &mut self,
        from: PeerId,
        form: Form,
        command: FromClient,
        now: Instant,
    ) {
        if let Err(reason) = self.pin_client(from, form) {
            self.reject(from, reason);
            return;
        }
        match command {
            FromClient::Request {
                service,
                header,
                body,
            } => self.handle_request(from, form, service, header, body, now),
            FromClient::Cancel { header, .. } => {
                if let Some(key) = self.outstanding(from, header.id)
                    && !self.planted.has(Bug::AnswerCancelled)
                {
                    self.fail(key, ErrorCode::Cancelled, "the client cancelled", now);
                }
            }
            FromClient::More { header, .. } => self.handle_more(from, &header, now),
        }
    }

    /// Tells a client that its malformed request has no answer.
    pub(super) fn refuse_request(
        &mut self,
        from: PeerId,
        form: Form,
        id: u64,
        reason: Rejection,
        now: Instant,
    ) {
        if self.expel_for_duplicate(from, id, now) {
            return;
        }
        let message = format!("the request is malformed: {reason}");
        self.fail_unaccepted(from, form, None, id, ErrorCode::BadRequest, &message);
    }

    /// Ends all requests of a client whose connection is gone.
    pub(super) fn end_client(&mut self, peer: PeerId, now: Instant) {
        let Some(client) = self.peers.get_mut(peer).and_then(Peer::client) else {
            return;
        };
        let mut keys: Vec<RequestKey> = client.requests.values().copied().collect();
        keys.sort_unstable_by_key(|key| self.requests[*key].id);
        for key in keys {
            self.release_asker(key);
            self.abandon(key, now);
        }
    }

    /// Ends a request for its client without an answer.
    pub(super) fn fail(&mut self, key: RequestKey, code: ErrorCode, message: &str, now: Instant) {
        self.end_by_error(key, code, now, |id| reasoned(id, Some(code), message));
    }

    /// Ends a request for its client with the worker's own error.
    pub(super) fn fail_with(
        &mut self,
        key: RequestKey,
        code: ErrorCode,
        properties: &Properties,
        now: Instant,
    ) {
        self.end_by_error(key, code, now, |id| error_header(id, code, properties));
    }

    /// Ends a request for its client by ERROR, whose header `header` makes for the client's id, or
    /// in silence where the dialect has no error.
    fn end_by_error(
        &mut self,
        key: RequestKey,
        code: ErrorCode,
        now: Instant,
        header: impl FnOnce(u64) -> Header,
    ) {
        let Some(asker) = self.release_asker(key) else {
            return;
        };
        self.tally.count_failed(code);
        let in_silence = code == ErrorCode::Cancelled && self.planted.has(Bug::CancelInSilence);
        if asker.form.dialect.has_header() && !in_silence {
            self.send_error(key, asker, header(asker.id));
        }
        self.abandon(key, now);
    }

    fn send_error(&mut self, key: RequestKey, asker: Asker, header: Header) {
        let service = self.services[self.requests[key].service].name.clone();
        let error = ToClient::Error {
            service: Some(service),
            header,
        };
        self.tell_client(asker.peer, asker.form, error);
    }

    /// Takes a request away from its client: it has been answered, has failed, or the client is
    /// gone. What is left is an attempt, if one is under way.
    pub(super) fn release_asker(&mut self, key: RequestKey) -> Option<Asker> {
        let request = self.requests.get_mut(key)?;
        let asker = request.asker.take()?;
        let held_bytes = std::mem::take(&mut request.held_bytes);
        request.body = Kept::EMPTY;
        request.joined = Vec::new();
        if let State::Queued { .. } = request.state {
            let (service, id) = (request.service, request.id);
            self.services[service].queue.remove(asker.peer, id);
            self.tally.queued -= 1;
        }
        self.tally.unanswered -= 1;
        if !self.planted.has(Bug::ForgetToReleaseMemory) {
            self.tally.held_bytes -= held_bytes;
        }
        if let Some(client) = self.peers.get_mut(asker.peer).and_then(Peer::client) {
            client.requests.remove(&asker.id);
            client.held_bytes -= held_bytes;
            self.refresh_reading(asker.peer);
        }
        Some(asker)
    }

    /// Lets go of a request without a client: a queued one is gone, the worker of a dispatched one
    /// is told that nobody waits.
    fn abandon(&mut self, key: RequestKey, now: Instant) {
        let Some(request) = self.requests.get(key) else {
            return;
        };
        match request.state {
            State::Unplaced | State::Queued { .. } => {
                let service = request.service;
                self.requests.remove(key);
                self.forget_if_unused(service);
            }
            State::Dispatched { worker, token, .. } => {
                let header = Header::new(request.id);
                let Some(form) = self.worker_form(worker) else {
                    return;
                };
                if form.dialect.has_header() && !self.planted.has(Bug::SkipCancel) {
                    self.tell_worker(worker, form, ToWorker::Cancel { token, header }, now);
                }
            }
        }
    }

    /// Fails what is queued where no worker is left to take it.
    pub(super) fn fail_unservable(&mut self, now: Instant) {
        let workerless = self.services.values().filter(|s| s.workers.is_empty());
        let mut keys: Vec<RequestKey> = workerless.flat_map(|s| s.queue.keys()).collect();
        keys.sort_unstable_by_key(|key| self.requests[*key].id);
        for key in keys {
            self.fail(key, ErrorCode::Draining, "the broker is stopping", now);
        }
    }

    pub(super) fn forget_if_unused(&mut self, key: ServiceKey) {
        let Some(service) = self.services.get(key) else {
            return;
        };
        if service.is_forgettable() {
            self.idle.push(key);
        }
    }

    /// Forgets the services that nothing holds. A verb that takes a service apart may still need
    /// it, so this is for its end.
    pub(super) fn forget_idle(&mut self) {
        while let Some(key) = self.idle.pop() {
            if let Some(service) = self.services.get(key)
                && service.is_forgettable()
            {
                self.names.remove(&service.name);
                self.services.remove(key);
                self.workerless -= 1;
                self.tally.services -= 1;
            }
        }
    }

    /// Finds a service, or makes room for a name that has no worker yet.
    pub(super) fn service_key(&mut self, name: &ServiceName) -> ServiceKey {
        if let Some(key) = self.names.get(name) {
            return *key;
        }
        let key = self.services.insert(Service::new(name.clone()));
        self.names.insert(name.clone(), key);
        self.workerless += 1;
        self.tally.services += 1;
        key
    }

    fn pin_client(&mut self, from: PeerId, form: Form) -> Result<(), Rejection> {
        let Some(peer) = self.peers.get_mut(from) else {
            return Err(Rejection::Dismissed);
        };
        match &peer.side {
            Side::Unknown => {
                peer.side = Side::Client(ClientPeer::new(form));
                Ok(())
            }
            Side::Client(client) if client.form == form => Ok(()),
            Side::Client(_) => Err(Rejection::DialectChanged),
            Side::Worker(_) | Side::Expired(_) => Err(Rejection::RoleChanged),
            Side::Dismissed => Err(Rejection::Dismissed),
        }
    }

    fn outstanding(&mut self, from: PeerId, id: u64) -> Option<RequestKey> {
        let client = self.peers.get_mut(from)?.client()?;
        client.requests.get(&id).copied()
    }

    /// Closes a client that asks again under the id of an unanswered request: the two could not
    /// be told apart any more. Whether it did.
    fn expel_for_duplicate(&mut self, from: PeerId, id: u64, now: Instant) -> bool {
        let is_duplicate = self.outstanding(from, id).is_some();
        if is_duplicate {
            self.reject(from, Rejection::DuplicateId);
            self.expel(from, CloseReason::DuplicateId, now);
        }
        is_duplicate
    }

    fn handle_request(
        &mut self,
        from: PeerId,
        form: Form,
        service: ServiceName,
        header: Header,
        body: Message,
        now: Instant,
    ) {
        if form.dialect.has_header() && self.expel_for_duplicate(from, header.id, now) {
            return;
        }
        let id = header.id;
        if form.dialect.has_header() && id == 0 {
            let message = "the id of a request is not 0";
            self.fail_unaccepted(
                from,
                form,
                Some(service),
                id,
                ErrorCode::BadRequest,
                message,
            );
            return;
        }
        let accepted = if service.is_reserved() {
            let terms = self.terms(form, &header, now);
            terms.map(|_| self.manage(from, form, service.clone(), id, &body, now))
        } else {
            self.accept(from, form, &service, header, body, now)
        };
        if let Err(refused) = accepted {
            let service = Some(service);
            self.fail_unaccepted(from, form, service, id, refused.code, &refused.message);
        }
    }

    fn accept(
        &mut self,
        from: PeerId,
        form: Form,
        service: &ServiceName,
        header: Header,
        body: Message,
        now: Instant,
    ) -> Result<(), Refused> {
        let terms = self.terms(form, &header, now)?;
        self.check_body(&body)?;
        let kept = Kept::from(&body);
        let held_bytes = kept.held_bytes();
        self.check_room(from, form, service, held_bytes)?;

        let service = self.service_of(from, service);
        self.next_request += 1;
        let Some(peer) = self.peers.get_mut(from) else {
            return Ok(());
        };
        let joins_partials = peer.origin.joins_partials || !form.dialect.has_partials();
        let Some(client) = peer.client() else {
            return Ok(());
        };
        let asker = Asker {
            peer: from,
            form,
            id: if form.dialect.has_header() {
                header.id
            } else {
                client.issue_id()
            },
            joins_partials,
        };
        let key = self.requests.insert(Request {
            id: self.next_request,
            service,
            asker: Some(asker),
            properties: terms.properties,
            body: kept,
            held_bytes,
            deadline: terms.deadline,
            state: State::Unplaced,
            attempts: 0,
            max_attempts: terms.max_attempts,
            history: Vec::new(),
            partly_answered: false,
            windowed: terms.windowed,
            joined: Vec::new(),
            armed: None,
        });
        client.requests.insert(asker.id, key);
        client.held_bytes += held_bytes;
        self.tally.requests += 1;
        self.tally.unanswered += 1;
        self.tally.held_bytes += held_bytes;
        self.refresh_reading(from);
        self.place(key, Some(body), now);
        Ok(())
    }

    /// Finds the service of a request, first where this client's last one went.
    fn service_of(&mut self, from: PeerId, name: &ServiceName) -> ServiceKey {
        let last = match self.peers.get(from).map(|peer| &peer.side) {
            Some(Side::Client(client)) => client.last_service.as_ref(),
            Some(Side::Unknown | Side::Worker(_) | Side::Expired(_) | Side::Dismissed) | None => {
                None
            }
        };
        if let Some((last_name, key)) = last
            && last_name == name
            && self.services.contains_key(*key)
        {
            return *key;
        }
        let key = self.service_key(name);
        if let Some(client) = self.peers.get_mut(from).and_then(Peer::client) {
            client.last_service = Some((name.clone(), key));
        }
        key
    }

    fn terms(&self, form: Form, header: &Header, now: Instant) -> Result<Terms, Refused> {
        let bad_request = |message: String| Refused::new(ErrorCode::BadRequest, message);
        let mut terms = Terms {
            properties: Properties::default(),
            deadline: None,
            max_attempts: self.config.attempts,
            windowed: false,
        };
        if !form.dialect.has_header() {
            return Ok(terms);
        }
        let properties = &header.properties;
        if properties.is_empty() {
            return Ok(terms);
        }
        if let Some((name, _)) = properties.iter().find(|(name, _)| name.starts_with('+')) {
            let message = format!("this broker does not know the property {name}");
            return Err(Refused::new(ErrorCode::Unsupported, message));
        }
        let number = |name| {
            let value = properties.number(name);
            value.map_err(|error| bad_request(error.to_string()))
        };
        if let Some(milliseconds) = number("deadline-ms")? {
            if milliseconds == 0 {
                return Err(bad_request("deadline-ms is 0; at least 1 is needed".into()));
            }
            terms.deadline = now.checked_add(Duration::from_millis(milliseconds));
        }
        if properties.get("retry") == Some("never") {
            if !self.planted.has(Bug::IgnoreRetryNever) {
                terms.max_attempts = 1;
            }
        } else if let Some(attempts) = number("retry")? {
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            terms.max_attempts = attempts.min(self.config.attempts).max(1);
        }
        terms.windowed = number("window")?.is_some();
        let trusts = self.planted.has(Bug::TrustClientProperties);
        terms.properties = properties.filtered(|name| trusts || passes_through(name));
        Ok(terms)
    }

    fn check_body(&self, body: &Message) -> Result<(), Refused> {
        let limits = &self.config.limits;
        if fits(body, limits) {
            return Ok(());
        }
        let message = format!(
            "a body has at most {} frames, {} bytes a frame and {} bytes in all",
            limits.body_frames, limits.frame_bytes, limits.body_bytes
        );
        Err(Refused::new(ErrorCode::TooLarge, message))
    }

    fn check_room(
        &mut self,
        from: PeerId,
        form: Form,
        service: &ServiceName,
        bytes: usize,
    ) -> Result<(), Refused> {
        let limits = &self.config.limits;
        let busy = |message: String| Err(Refused::new(ErrorCode::Busy, message));
        if self.drain != Drain::No {
            return Err(Refused::new(ErrorCode::Draining, "the broker is stopping"));
        }
        if self.memory_bytes() + bytes > limits.memory_bytes {
            return busy(MEMORY_LIMIT.to_owned());
        }
        if let Some(client) = self.peers.get_mut(from).and_then(Peer::client)
            && form.dialect.has_header()
            && !client.requests.is_empty()
            && (client.requests.len() >= limits.client_requests
                || client.held_bytes + bytes > limits.client_bytes)
        {
            return busy(format!(
                "{} requests of this client are unanswered; at most {} or {} bytes may be",
                client.requests.len(),
                limits.client_requests,
                limits.client_bytes
            ));
        }
        match self.names.get(service) {
            None if self.workerless >= limits.names => {
                busy("too many services without a worker are being asked".to_owned())
            }
            None => Ok(()),
            Some(key) => {
                let queue = &self.services[*key].queue;
                let over = queue.len() >= limits.queue_requests
                    || (!queue.is_empty() && queue.bytes() + bytes > limits.queue_bytes);
                if over {
                    return busy(format!("the queue of {service} is full"));
                }
                Ok(())
            }
        }
    }

    /// Ends a request that was never accepted.
    fn fail_unaccepted(
        &mut self,
        peer: PeerId,
        form: Form,
        service: Option<ServiceName>,
        id: u64,
        code: ErrorCode,
        message: &str,
    ) {
        self.tally.count_failed(code);
        if form.dialect.has_header() {
            let header = reasoned(id, Some(code), message);
            self.tell_client(peer, form, ToClient::Error { service, header });
        }
    }

    fn handle_more(&mut self, from: PeerId, header: &Header, now: Instant) {
        let more = match header.properties.number("more") {
            Ok(Some(more)) => more,
            Ok(None) | Err(_) => {
                self.reject(from, Rejection::BadProperty);
                return;
            }
        };
        let Some(key) = self.outstanding(from, header.id) else {
            return;
        };
        let request = &mut self.requests[key];
        if !request.windowed {
            return;
        }
        // The next attempt, should there be one, begins with all that the client takes.
        let window = request.properties.number("window").ok().flatten();
        let window = window.unwrap_or(0).saturating_add(more);
        request.properties = request.properties.with_if_room("window", window);
        if let State::Dispatched { worker, token, .. } = request.state {
            let mut header = Header::new(request.id);
            header.properties = header.properties.with("more", more);
            let Some(form) = self.worker_form(worker) else {
                return;
            };
            if form.dialect.has_header() && !self.planted.has(Bug::LoseMore) {
                self.tell_worker(worker, form, ToWorker::More { token, header }, now);
            }
        }
    }
}

/// The header of a worker's error for its client; only the codes where the rest has no room.
fn error_header(id: u64, code: ErrorCode, properties: &Properties) -> Header {
    let mut header = Header {
        id,
        properties: properties.with("code", code),
    };
    if !header.fits() {
        let codes = Properties::default().with("code", code);
        header.properties = match properties.get("worker-code") {
            Some(own) => codes.with_if_room("worker-code", own),
            None => codes,
        };
    }
    header
}

/// Whether a property of a peer is passed on; the broker alone sets the others.
pub(super) fn passes_through(name: &str) -> bool {
    !matches!(name, "principal" | "attempt" | "deadline-ms") && !name.starts_with("broker-")
}

/// Whether a body is within the limits.
pub(super) fn fits(body: &Message, limits: &super::Limits) -> bool {
    if body.frame_count() > limits.body_frames {
        return false;
    }
    let encoded_bytes = body.encoded().len();
    if encoded_bytes <= limits.frame_bytes.min(limits.body_bytes) {
        return true;
    }
    body.body_bytes() <= limits.body_bytes
        && body.frames().all(|frame| frame.len() <= limits.frame_bytes)
}
