//! A worker that listens beside its brokers.

use plantd_client::{Client, ListenerLimits};
use plantd_tests::{Plant, Wire, frames};

use crate::Own;

fn beside(plant: &Plant) -> Own {
    let own = Own::with(ListenerLimits::default(), |worker| {
        worker
            .broker(plant.endpoint())
            .heartbeat(std::time::Duration::from_millis(100), 3)
            .concurrency(8)
    });
    plant.until("it is registered", |reading| reading.value("workers") == 1);
    own
}

fn exchange(client: &plantd_tests::Peer) {
    client.send(frames!["MDPC02", 1, "echo", "hi"]);
    client.expect(frames!["MDPC02", 3, "echo", "hi"]);
}

#[test]
fn it_answers_by_both_ways_and_goes_on_without_its_broker() {
    let mut plant = Plant::start();
    let own = beside(&plant);
    let (through, direct) = (plant.dealer(), own.dealer());
    for _ in 0..50 {
        exchange(&through);
        exchange(&direct);
    }
    let client = {
        let _entered = own.runtime.enter();
        Client::builder()
            .brokers([plant.endpoint(), own.endpoint()])
            .connect()
            .unwrap()
    };
    let ask = || own.block_on(async { client.request("echo", "hi").await.unwrap() });
    for _ in 0..10 {
        ask();
    }
    drop(through);
    plant.stop();
    for _ in 0..50 {
        exchange(&direct);
        ask();
    }
    drop(client);
    own.stop();
}

#[test]
fn slow_and_silent_clients_delay_neither_others_nor_heartbeats() {
    let plant = Plant::start();
    let own = beside(&plant);
    let mut deaf: Vec<Wire> = (0..4).map(|_| own.wire()).collect();
    for wire in &mut deaf {
        wire.handshake(3, 1);
        wire.send(&frames!["MDPC02", 1, "echo", "flood"]);
    }
    let (through, direct) = (plant.dealer(), own.dealer());
    // Those that read nothing are disconnected after 5 s, in which a worker that did not beat would be
    // expired many times.
    own.until("they are disconnected", |status| {
        exchange(&through);
        exchange(&direct);
        status.rejected()["stalled"] == 4
    });
    let reading = plant.metrics();
    assert_eq!(reading.value("redispatches_total"), 0);
    assert_eq!(reading.value("workers"), 1);
    assert_eq!(plant.metrics().rejections(), [].into());
    own.stop();
}
