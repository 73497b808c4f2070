//! Who talks to brokers.

mod hostile;
mod job;
mod library_client;
mod library_worker;
mod raw_client;
mod raw_worker;
mod wish;

use std::time::Instant;

use plantd_mdp::planted::Bug;
use plantd_zmtp::Message;

use self::hostile::Hostile;
use self::library_client::LibraryClient;
use self::library_worker::LibraryWorker;
use self::raw_client::RawClient;
use self::raw_worker::RawWorker;
use crate::network::ConnectionId;
use crate::plan::Role;
use crate::stage::Stage;

/// What befalls a party's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It is killed, and starts again.
    Crash,
    /// It takes requests and ends none until it is started again.
    Hang,
    /// It leaves in good order, and comes back.
    Drain,
    /// It asks much at once.
    Burst,
}

/// A process that talks to brokers.
pub(crate) trait Party {
    fn starts(&mut self, stage: &mut Stage);
    fn opened(&mut self, connection: ConnectionId, stage: &mut Stage);
    fn closed(&mut self, connection: ConnectionId, stage: &mut Stage);
    fn hears(&mut self, connection: ConnectionId, message: &Message, stage: &mut Stage);
    /// Does what is due.
    fn wakes(&mut self, stage: &mut Stage);
    /// When something is due next.
    fn due(&self) -> Option<Instant>;
    fn suffers(&mut self, blow: Blow, stage: &mut Stage);
    /// Ends its own part in the storm: it asks no more, and what hangs is started again.
    fn calms(&mut self, stage: &mut Stage);
    /// Whether it waits for nobody.
    fn is_idle(&self) -> bool;
    /// Asks a service, if it is a client; whether it did.
    fn probes(&mut self, service: usize, stage: &mut Stage) -> bool;
    /// Leaves for good.
    fn leaves(&mut self, stage: &mut Stage);
}

/// Gives a role to a party.
pub(crate) fn cast(
    index: usize,
    role: Role,
    bug: Option<Bug>,
    stage: &mut Stage,
) -> Box<dyn Party> {
    match role {
        Role::LibraryClient => Box::new(LibraryClient::new(index, bug)),
        Role::RawClient(form) => Box::new(RawClient::new(index, form, stage)),
        Role::LibraryWorker(broker, service) => {
            Box::new(LibraryWorker::new(index, broker, service, bug, stage))
        }
        Role::RawWorker(form, broker, service) => {
            Box::new(RawWorker::new(index, form, broker, service, stage))
        }
        Role::Hostile(broker) => Box::new(Hostile::new(index, broker)),
    }
}
