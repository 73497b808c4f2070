//! The task that owns a client's links and state.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use plantd_mdp::client as machine;
use plantd_zmtp::Endpoint;
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, watch},
    time::{Instant as Clock, sleep_until},
};
use tracing::{debug, info, trace};

use super::asker::Asker;
use crate::{
    RequestError, Status, Transport, Unreachable,
    brokers::{BrokerList, Directory},
    jitter_seed,
    link::{ConnectionKey, LinkEvent, Links, Role},
    status::BrokerStatus,
};

/// Commands that are taken before links are looked at again.
const TURN_COMMANDS: usize = 256;

/// What handles ask of the task.
#[derive(Debug)]
pub(super) enum Command {
    /// Send a request.
    Request {
        id: machine::RequestId,
        request: machine::Request,
        asker: Asker,
        /// Given back when the request has ended.
        budget: [OwnedSemaphorePermit; 2],
    },
    /// The reader took a part.
    Read {
        id: machine::RequestId,
        bytes: usize,
    },
    /// Nobody waits for the answer.
    Cancel { id: machine::RequestId },
}

/// Starts the task. It ends when all senders of commands are gone.
pub(super) fn spawn(
    brokers: BrokerList,
    transport: Transport,
    config: machine::Config,
    commands: mpsc::UnboundedReceiver<Command>,
) -> watch::Receiver<Status> {
    let (status, receiver) = watch::channel(Status::default());
    let owner = Owner {
        machine: machine::Client::new(config, jitter_seed()),
        links: Links::new(transport, Role::Dealer),
        directory: Directory::new(brokers),
        brokers: BTreeMap::new(),
        askers: BTreeMap::new(),
        status,
    };
    tokio::spawn(owner.run(commands));
    receiver
}

#[derive(Debug)]
struct Owner {
    machine: machine::Client,
    links: Links,
    directory: Directory,
    brokers: BTreeMap<machine::LinkId, Broker>,
    askers: BTreeMap<machine::RequestId, (Asker, [OwnedSemaphorePermit; 2])>,
    status: watch::Sender<Status>,
}

#[derive(Debug)]
struct Broker {
    endpoint: Endpoint,
    connection: Option<ConnectionKey>,
    is_up: bool,
    last_error: Option<String>,
    /// Its address is no longer that of any name; it is forgotten when its connection ends.
    is_gone: bool,
}

/// Why the task woke.
#[derive(Debug)]
enum Wake {
    Command(Option<Command>),
    Link(LinkEvent),
    Directory,
    Timeout,
}

impl Owner {
    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut wake = Wake::Directory;
        loop {
            // The one clock of this loop: the runtime's, so that tests can let time pass.
            let now = Clock::now().into_std();
            match wake {
                Wake::Command(None) => break,
                Wake::Command(Some(command)) => {
                    self.take_command(command, now);
                    for _ in 1..TURN_COMMANDS {
                        let Ok(command) = commands.try_recv() else {
                            break;
                        };
                        self.take_command(command, now);
                    }
                }
                Wake::Link(event) => self.take_event(event, now),
                Wake::Directory => self.take_directory(now),
                Wake::Timeout => {}
            }
            self.machine.handle_timeout(now);
            self.take_outputs();
            self.links.flush();
            wake = self.wait(&mut commands).await;
        }
        for broker in self.brokers.values() {
            if let Some(key) = broker.connection {
                self.links.close(key);
            }
        }
        self.links.finish().await;
    }

    async fn wait(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Wake {
        let timeout = self.machine.poll_timeout();
        let due = async {
            match timeout {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = commands.recv() => Wake::Command(command),
            event = self.links.next() => Wake::Link(event),
            () = self.directory.changed() => Wake::Directory,
            () = due => Wake::Timeout,
        }
    }

    fn take_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Request {
                id,
                request,
                asker,
                budget,
            } => match self.machine.handle_request(id, request, now) {
                Ok(()) => {
                    self.askers.insert(id, (asker, budget));
                }
                Err(refused) => asker.fail(RequestError::Busy {
                    message: refused.to_string(),
                }),
            },
            Command::Read { id, bytes } => self.machine.handle_read(id, bytes),
            Command::Cancel { id } => {
                self.machine.handle_cancel(id);
                self.askers.remove(&id);
            }
        }
    }

    fn take_event(&mut self, event: LinkEvent, now: Instant) {
        match event {
            LinkEvent::Opened { key, has_ping } => {
                let Some((link, broker)) = self.broker_of(key) else {
                    return;
                };
                broker.is_up = true;
                broker.last_error = None;
                info!(endpoint = %broker.endpoint, "connected to a broker");
                self.machine.handle_opened(link, has_ping, now);
                self.show_status();
            }
            LinkEvent::Messages { key, messages } => {
                let Some((link, _)) = self.broker_of(key) else {
                    return;
                };
                for message in messages {
                    trace!(?message, "received");
                    self.machine.handle_message(link, &message, now);
                }
            }
            LinkEvent::HasRoom { .. }
            | LinkEvent::Subscriptions { .. }
            | LinkEvent::Marked { .. } => {}
            LinkEvent::Closed { key, reason } => {
                let Some((link, _)) = self.broker_of(key) else {
                    return;
                };
                self.take_loss(link, reason);
                self.machine.handle_closed(link, now);
                self.forget_gone(now);
            }
        }
    }

    /// Dials brokers that are new, and forgets those that are gone and not connected.
    fn take_directory(&mut self, now: Instant) {
        let endpoints: BTreeSet<_> = self.directory.endpoints().into_iter().collect();
        for broker in self.brokers.values_mut() {
            broker.is_gone = !endpoints.contains(&broker.endpoint);
        }
        for endpoint in endpoints {
            if self
                .brokers
                .values()
                .any(|broker| broker.endpoint == endpoint)
            {
                continue;
            }
            let link = self.machine.add_link();
            let broker = Broker {
                endpoint,
                connection: None,
                is_up: false,
                last_error: None,
                is_gone: false,
            };
            self.brokers.insert(link, broker);
        }
        for (endpoint, reason) in self.directory.failures() {
            info!(%endpoint, reason, "the name of a broker has no address");
        }
        self.forget_gone(now);
        self.show_status();
    }

    fn forget_gone(&mut self, now: Instant) {
        let is_forgotten = |broker: &Broker| broker.is_gone && !broker.is_up;
        for (link, broker) in self
            .brokers
            .extract_if(.., |_, broker| is_forgotten(broker))
        {
            if let Some(key) = broker.connection {
                self.links.close(key);
            }
            self.machine.remove_link(link, now);
        }
    }

    fn take_outputs(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                machine::Output::Connect { link } => {
                    if let Some(broker) = self.brokers.get_mut(&link) {
                        debug!(endpoint = %broker.endpoint, "connecting to a broker");
                        broker.connection = Some(self.links.dial(broker.endpoint.clone()));
                    }
                }
                machine::Output::Close { link, reason } => {
                    let connection = self.brokers.get_mut(&link).and_then(|it| it.connection);
                    if let Some(key) = connection {
                        self.links.close(key);
                        self.take_loss(link, reason.to_string());
                    }
                }
                machine::Output::Send { link, command } => {
                    trace!(?command, "sending");
                    if let Some(key) = self.brokers.get(&link).and_then(|it| it.connection) {
                        self.links.send(key, |out| command.encode(out));
                    }
                }
                machine::Output::Partial {
                    request,
                    properties,
                    body,
                } => {
                    if let Some((asker, _)) = self.askers.get_mut(&request) {
                        asker.take_part(properties, body.into_held());
                    }
                }
                machine::Output::Final {
                    request,
                    properties,
                    body,
                } => {
                    if let Some((asker, _)) = self.askers.remove(&request) {
                        asker.finish(properties, body.into_held());
                    }
                }
                machine::Output::Failed { request, failure } => {
                    if let Some((asker, _)) = self.askers.remove(&request) {
                        asker.fail(self.error_of(failure));
                    }
                }
            }
        }
    }

    /// Notes that a link is down; said aloud once, until it is up again.
    fn take_loss(&mut self, link: machine::LinkId, reason: String) {
        let Some(broker) = self.brokers.get_mut(&link) else {
            return;
        };
        broker.connection = None;
        if broker.is_up {
            info!(endpoint = %broker.endpoint, reason, "lost a broker; connecting again");
        } else if broker.last_error.is_none() {
            info!(endpoint = %broker.endpoint, reason, "cannot connect to a broker; trying on");
        } else {
            debug!(endpoint = %broker.endpoint, reason, "cannot connect to a broker");
        }
        broker.is_up = false;
        broker.last_error = Some(reason);
        self.directory.look_again();
        self.show_status();
    }

    fn broker_of(&mut self, key: ConnectionKey) -> Option<(machine::LinkId, &mut Broker)> {
        let mut brokers = self.brokers.iter_mut();
        let (link, broker) = brokers.find(|(_, broker)| broker.connection == Some(key))?;
        Some((*link, broker))
    }

    fn show_status(&self) {
        let dialled = self.brokers.values().map(|broker| BrokerStatus {
            endpoint: broker.endpoint.to_string(),
            is_up: broker.is_up,
            last_error: broker.last_error.clone(),
        });
        let nameless = self.directory.failures().map(BrokerStatus::unresolved);
        let status = Status {
            brokers: dialled.chain(nameless).collect(),
        };
        self.status.send_if_modified(|shown| {
            let is_news = *shown != status;
            *shown = status;
            is_news
        });
    }

    fn error_of(&self, failure: machine::Failure) -> RequestError {
        match failure {
            machine::Failure::NotConnected => {
                let brokers = self.status.borrow().brokers.clone();
                let brokers = brokers.into_iter().map(Unreachable::from);
                RequestError::NotConnected {
                    brokers: brokers.collect(),
                }
            }
            machine::Failure::ConnectionLost => RequestError::ConnectionLost,
            machine::Failure::Timeout => RequestError::Timeout,
            machine::Failure::Unread => RequestError::TooLarge {
                message: "the parts of the answer that are not read".to_owned(),
            },
            machine::Failure::Refused(refusal) => refusal.into(),
        }
    }
}
