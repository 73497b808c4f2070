//! The services that the broker answers itself: MMI (RFC 8) and `org.plantd.Broker`.

use std::time::Instant;

use plantd_zmtp::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::output::PeerId;
use super::peer::Peer;
use super::service::Service;
use super::{Broker, Drain};
use crate::command::ToClient;
use crate::{Dialect, Form, Header, ServiceName};

/// How many entries a list holds at most, so that an answer costs a bounded time.
const LISTED: usize = 1000;

/// The status frame of MMI (RFC 8).
const OK: &str = "200";
const BAD_REQUEST: &str = "400";
const NOT_FOUND: &str = "404";
const NOT_IMPLEMENTED: &str = "501";

#[derive(Serialize)]
struct ServiceEntry<'a> {
    name: &'a ServiceName,
    workers: usize,
    waiting: usize,
    queued: usize,
    queued_bytes: usize,
}

#[derive(Serialize)]
struct WorkerEntry<'a> {
    service: &'a ServiceName,
    address: &'a str,
    name: Option<&'a str>,
    version: Option<&'a str>,
    protocol: &'static str,
    unanswered: usize,
    credit: u32,
    streams: u32,
    silent_ms: u128,
}

/// What the operation `service` of `org.plantd.Broker` is asked.
#[derive(Deserialize)]
struct ServiceQuery {
    service: String,
}

impl Broker {
    /// Answers a request to one of the broker's own services.
    pub(super) fn manage(
        &mut self,
        peer: PeerId,
        form: Form,
        service: ServiceName,
        id: u64,
        body: &Message,
        now: Instant,
    ) {
        self.tally.management += 1;
        let body = if service.is_mmi() {
            self.answer_mmi(&service, body, now)
        } else {
            self.answer_operation(body)
        };
        let header = Header::new(id);
        let command = ToClient::Final {
            service,
            header,
            body,
        };
        self.tell_client(peer, form, command);
    }

    fn answer_mmi(&self, service: &ServiceName, body: &Message, now: Instant) -> Message {
        let argument = body.frames().next().filter(|name| !name.is_empty());
        let listing = match service.as_str() {
            "mmi.service" => {
                return Message::from_frames([match argument {
                    None => BAD_REQUEST,
                    Some(name) if self.is_served(name) => OK,
                    Some(_) => NOT_FOUND,
                }]);
            }
            "mmi.services" => self.list_services(),
            "mmi.workers" => self.list_workers(argument, now),
            "mmi.broker" => self.describe(now),
            "mmi.buses" => return Message::from_frames([OK, &self.buses]),
            "mmi.dead" => self.list_dead(now),
            "mmi.heartbeat" => json!({}),
            _ => return Message::from_frames([NOT_IMPLEMENTED]),
        };
        Message::from_frames([OK, &listing.to_string()])
    }

    /// Whether a service has a worker, busy ones counted.
    fn is_served(&self, name: &[u8]) -> bool {
        let Ok(name) = ServiceName::parse(name) else {
            return false;
        };
        let service = self.names.get(&name).map(|key| &self.services[*key]);
        name.as_str() == ServiceName::BROKER
            || service.is_some_and(|service| !service.workers.is_empty())
    }

    fn list_services(&self) -> Value {
        let services = self.names.values().map(|key| &self.services[*key]);
        let entries: Vec<ServiceEntry<'_>> = services.take(LISTED).map(service_entry).collect();
        json!({ "total": self.names.len(), "services": entries })
    }

    fn list_workers(&self, service: Option<&[u8]>, now: Instant) -> Value {
        let wanted = |name: &ServiceName| service.is_none_or(|s| s == name.as_str().as_bytes());
        let services = self.names.iter().filter(|(name, _)| wanted(name));
        let services = services.map(|(_, key)| &self.services[*key]);
        let total: usize = services.clone().map(|service| service.workers.len()).sum();
        let workers = services.flat_map(|s| s.workers.iter().map(move |peer| (s, *peer)));
        let entries = workers.filter_map(|(service, peer)| self.worker_entry(service, peer, now));
        let entries: Vec<WorkerEntry<'_>> = entries.take(LISTED).collect();
        json!({ "total": total, "workers": entries })
    }

    fn worker_entry<'a>(
        &'a self,
        service: &'a Service,
        peer: PeerId,
        now: Instant,
    ) -> Option<WorkerEntry<'a>> {
        let peer = self.peers.get(peer)?;
        let worker = peer.worker()?;
        Some(WorkerEntry {
            service: &service.name,
            address: &peer.origin.address,
            name: worker.name.as_deref(),
            version: worker.version.as_deref(),
            protocol: worker.form.dialect.as_str(),
            unanswered: worker.held.len(),
            credit: worker.credit,
            streams: worker.streams,
            silent_ms: now.saturating_duration_since(worker.last_heard).as_millis(),
        })
    }

    fn list_dead(&self, now: Instant) -> Value {
        let age_ms = |at| now.saturating_duration_since(at).as_millis() as u64;
        let newest_first = self.dead.iter().rev().take(LISTED);
        let entries = newest_first.map(|dead| {
            let attempts = dead.history.iter().map(|attempt| {
                json!({
                    "worker": attempt.worker,
                    "outcome": attempt.outcome,
                    "began_ms_ago": age_ms(attempt.began),
                    "ended_ms_ago": age_ms(attempt.ended),
                })
            });
            json!({
                "request": dead.id,
                "service": dead.service,
                "client": dead.client,
                "code": dead.code.as_str(),
                "body_bytes": dead.body_bytes,
                "died_ms_ago": age_ms(dead.died),
                "attempts": attempts.collect::<Vec<_>>(),
            })
        });
        json!({ "total": self.dead.len(), "dead": entries.collect::<Vec<_>>() })
    }

    fn describe(&self, now: Instant) -> Value {
        let limits = &self.config.limits;
        let protocols = [
            Dialect::Mdp01,
            Dialect::Mdp02,
            Dialect::Words,
            Dialect::Mdp03,
        ];
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "endpoints": self.config.endpoints,
            "protocols": protocols.map(Dialect::as_str),
            "uptime_ms": now.saturating_duration_since(self.began).as_millis() as u64,
            "draining": self.drain != Drain::No,
            "connections": self.peers.len(),
            "workers": self.tally.workers,
            "services": self.tally.services,
            "queued": self.tally.queued,
            "unanswered": self.tally.unanswered,
            "requests": self.tally.requests,
            "replies": self.tally.replies,
            "limits": {
                "frame_bytes": limits.frame_bytes,
                "body_bytes": limits.body_bytes,
                "body_frames": limits.body_frames,
                "client_requests": limits.client_requests,
                "client_bytes": limits.client_bytes,
                "queue_requests": limits.queue_requests,
                "queue_bytes": limits.queue_bytes,
                "attempts": self.config.attempts,
                "queue_timeout_ms": self.config.queue_timeout.as_millis() as u64,
            },
        })
    }

    /// Answers `[operation, JSON object]` as the Go plantd's broker did, with real data.
    fn answer_operation(&self, body: &Message) -> Message {
        let mut frames = body.frames();
        let operation = frames.next().unwrap_or_default();
        let argument = frames.next().unwrap_or(b"{}");
        let answer = match operation {
            b"services" => Ok(self.list_services()),
            b"service" => match serde_json::from_slice::<ServiceQuery>(argument) {
                Ok(query) => Ok(self.describe_service(&query.service)),
                Err(error) => Err(format!(
                    "service takes an object such as {{\"service\":\"org.plantd.State\"}}: {error}"
                )),
            },
            _ => Err("the operation is none of: service, services".to_owned()),
        };
        let reply = match answer {
            Ok(data) => json!({ "success": true, "data": data }),
            Err(error) => json!({ "success": false, "error": error, "code": "bad-request" }),
        };
        Message::from_frames([reply.to_string()])
    }

    fn describe_service(&self, name: &str) -> Value {
        let known = name
            .parse()
            .ok()
            .and_then(|name: ServiceName| self.names.get(&name));
        let Some(service) = known.map(|key| &self.services[*key]) else {
            let is_broker = name == ServiceName::BROKER;
            return json!({ "name": name, "registered": is_broker, "workers": 0, "queued": 0 });
        };
        json!({
            "name": service.name,
            "registered": !service.workers.is_empty(),
            "workers": service.workers.len(),
            "waiting": service.room.len(),
            "queued": service.queue.len(),
        })
    }
}

fn service_entry(service: &Service) -> ServiceEntry<'_> {
    ServiceEntry {
        name: &service.name,
        workers: service.workers.len(),
        waiting: service.room.len(),
        queued: service.queue.len(),
        queued_bytes: service.queue.bytes(),
    }
}

impl Peer {
    /// What people know a worker by: the name it gives itself, and its address.
    pub(super) fn display_name(&self) -> String {
        match self.worker().and_then(|worker| worker.name.as_deref()) {
            Some(name) => format!("{name} ({})", self.origin.address),
            None => self.origin.address.clone(),
        }
    }
}

impl Serialize for ServiceName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
