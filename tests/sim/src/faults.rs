//! How faults strike, and when they are mended.

use std::time::Duration;

use crate::network::{ConnectionId, End, Reading};
use crate::party::Blow;
use crate::plan::{Fault, Role};
use crate::stage::{Event, Mend, Process, Stage};
use crate::world::World;

/// Lets a fault strike somebody by chance.
pub(crate) fn strike(fault: Fault, world: &mut World) {
    match fault {
        Fault::Reset => {
            if let Some(connection) = any_connection(&mut world.stage) {
                world.stage.cut(connection);
            }
        }
        Fault::Stall => stall(&mut world.stage),
        Fault::Delay => delay(&mut world.stage),
        Fault::SlowReader => read_slowly(&mut world.stage),
        Fault::ClientCrash => befall(Blow::Crash, is_client, world),
        Fault::Burst => befall(Blow::Burst, is_client, world),
        Fault::WorkerCrash => befall(Blow::Crash, is_worker, world),
        Fault::WorkerHang => befall(Blow::Hang, is_worker, world),
        Fault::WorkerDrain => befall(Blow::Drain, is_worker, world),
        Fault::ClientStop => stop_party(is_client, &mut world.stage),
        Fault::WorkerStop => stop_party(is_worker, &mut world.stage),
        Fault::BrokerStop => {
            let broker = any_broker(&mut world.stage);
            stop(Process::Broker(broker), &mut world.stage);
        }
        Fault::BrokerCrash => crash_broker(false, world),
        Fault::BrokerPowerLoss => crash_broker(true, world),
        Fault::BrokerDrain => drain_broker(world),
    }
}

fn is_client(role: Role) -> bool {
    matches!(role, Role::LibraryClient | Role::RawClient(_))
}

fn is_worker(role: Role) -> bool {
    matches!(role, Role::LibraryWorker(..) | Role::RawWorker(..))
}

fn any_connection(stage: &mut Stage) -> Option<ConnectionId> {
    let connections: Vec<ConnectionId> = stage.connections.keys().collect();
    (!connections.is_empty()).then(|| stage.dice.pick(&connections))
}

fn any_broker(stage: &mut Stage) -> usize {
    stage.dice.count(0..=stage.plan.brokers - 1)
}

/// A party that is not stopped.
fn any_party(of: fn(Role) -> bool, stage: &mut Stage) -> Option<usize> {
    let parties = stage.plan.cast.iter().enumerate();
    let parties = parties
        .filter(|(index, role)| of(**role) && !stage.stopped.contains(&Process::Party(*index)));
    let parties: Vec<usize> = parties.map(|(index, _)| index).collect();
    (!parties.is_empty()).then(|| stage.dice.pick(&parties))
}

fn befall(blow: Blow, of: fn(Role) -> bool, world: &mut World) {
    if let Some(party) = any_party(of, &mut world.stage) {
        world.with_party(party, |party, stage| party.suffers(blow, stage));
    }
}

/// Nothing passes in one direction or both, for a while or for good.
fn stall(stage: &mut Stage) {
    let Some(connection) = any_connection(stage) else {
        return;
    };
    let ends = match stage.dice.count(0..=2) {
        0 => &[End::Party][..],
        1 => &[End::Broker][..],
        _ => &End::BOTH[..],
    };
    let lasts = !stage.dice.chance(30);
    let time = stage.dice.milliseconds(100..=8000);
    for end in ends {
        stage.stall(connection, *end);
        if lasts {
            mend(Mend::Unstall(connection, *end), time, stage);
        }
    }
}

fn delay(stage: &mut Stage) {
    if let Some(connection) = any_connection(stage) {
        let extra = stage.dice.milliseconds(10..=2000);
        stage.delay(connection, extra);
        let time = stage.dice.milliseconds(500..=6000);
        mend(Mend::Undelay(connection), time, stage);
    }
}

fn read_slowly(stage: &mut Stage) {
    if let Some(connection) = any_connection(stage) {
        let rest = stage.dice.milliseconds(20..=1500);
        stage.set_reading(connection, End::Party, Reading::Slow(rest));
        let time = stage.dice.milliseconds(500..=8000);
        mend(Mend::ReadEagerly(connection), time, stage);
    }
}

fn stop_party(of: fn(Role) -> bool, stage: &mut Stage) {
    if let Some(party) = any_party(of, stage) {
        stop(Process::Party(party), stage);
    }
}

fn stop(process: Process, stage: &mut Stage) {
    if !stage.stopped.insert(process) {
        return;
    }
    let time = if stage.dice.chance(50) {
        stage.dice.milliseconds(50..=3000)
    } else {
        stage.dice.milliseconds(3000..=15_000)
    };
    mend(Mend::Continue(process), time, stage);
    for connection in stage.connections_of(process) {
        stage.expect_ping(connection, process);
    }
}

fn crash_broker(silently: bool, world: &mut World) {
    let stage = &mut world.stage;
    let broker = any_broker(stage);
    if world.brokers[broker].is_up() {
        stage.stopped.remove(&Process::Broker(broker));
        world.brokers[broker].crash(silently, stage);
        let down = stage.dice.milliseconds(10..=5000);
        mend(Mend::StartBroker(broker), down, stage);
    }
}

fn drain_broker(world: &mut World) {
    let stage = &mut world.stage;
    let broker = any_broker(stage);
    let is_stopped = stage.stopped.contains(&Process::Broker(broker));
    if world.brokers[broker].is_up() && !is_stopped && stage.listening[broker] {
        let patience = stage.dice.milliseconds(50..=6000);
        mend(Mend::DrainDeadline(broker), patience, stage);
        world.brokers[broker].drain(stage);
    }
}

fn mend(mend: Mend, after: Duration, stage: &mut Stage) {
    stage.agenda.put(stage.now + after, Event::Mend(mend));
}
