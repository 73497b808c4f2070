//! Publishers and subscribers of every type, of libzmq and of the `zeromq` crate, on one bus.

use plantd_tests::PATIENCE;
use tokio::time::timeout;
use zeromq::{Socket as _, SocketRecv, SocketSend, ZmqMessage};

use crate::harness::{Bus, receive, send};

/// A message of `frames` frames whose topic is `topic`.
fn message(topic: &str, frames: usize) -> Vec<Vec<u8>> {
    let body = (1..frames).map(|number| vec![b'x'; number]);
    [topic.as_bytes().to_vec()]
        .into_iter()
        .chain(body)
        .collect()
}

fn of_the_crate(frames: &[Vec<u8>]) -> ZmqMessage {
    let mut frames = frames.iter().map(|frame| frame.clone().into());
    let mut message = ZmqMessage::from(frames.next().unwrap());
    frames.for_each(|frame| message.push_back(frame));
    message
}

/// Sends `["sync"]` until one passes, then these messages.
fn publish(bus: &Bus, mut socket: impl SocketSend, messages: &[Vec<Vec<u8>>]) {
    bus.synchronise(|| {
        let sync = socket.send(ZmqMessage::from("sync"));
        bus.plant.block_on(sync).unwrap();
    });
    for message in messages {
        let sent = socket.send(of_the_crate(message));
        bus.plant.block_on(sent).unwrap();
    }
    // Closing would lose what the crate has yet to write.
    std::mem::forget(socket);
}

fn hear(bus: &Bus, socket: &mut impl SocketRecv) -> Vec<Vec<u8>> {
    loop {
        let heard = bus
            .plant
            .block_on(async { timeout(PATIENCE, socket.recv()).await });
        let heard = heard.unwrap().unwrap();
        if heard.get(0).unwrap() != "sync" {
            return heard.iter().map(|frame| frame.to_vec()).collect();
        }
    }
}

fn hear_libzmq(socket: &zmq::Socket) -> Vec<Vec<u8>> {
    loop {
        let heard = receive(socket);
        if heard[0] != b"sync" {
            return heard;
        }
    }
}

#[test]
fn every_type_of_publisher_reaches_every_type_of_subscriber() {
    let bus = Bus::start();
    let plain = bus.subscriber(&["t", "sync"]);
    let extended = bus.socket(zmq::XSUB, &bus.backend());
    for topic in ["t", "sync"] {
        extended.send([&[1], topic.as_bytes()].concat(), 0).unwrap();
    }
    let (mut crate_plain, mut crate_extended) = bus.plant.block_on(async {
        let mut plain = zeromq::SubSocket::new();
        plain.connect(&bus.backend()).await.unwrap();
        let mut extended = zeromq::XSubSocket::new();
        extended.connect(&bus.backend()).await.unwrap();
        for topic in ["t", "sync"] {
            plain.subscribe(topic).await.unwrap();
            extended.subscribe(topic).await.unwrap();
        }
        (plain, extended)
    });
    bus.until_count("bus_subscriptions", 8);

    for kind in ["PUB", "XPUB", "crate PUB", "crate XPUB"] {
        let messages = [1, 2, 3, 20].map(|frames| message(&format!("t {kind}"), frames));
        let libzmq = |kind| {
            let socket = bus.socket(kind, &bus.frontend());
            bus.synchronise(|| send(&socket, &[b"sync"]));
            for message in &messages {
                socket.send_multipart(message, 0).unwrap();
            }
            socket
        };
        let _kept = match kind {
            "PUB" => Some(libzmq(zmq::PUB)),
            "XPUB" => Some(libzmq(zmq::XPUB)),
            "crate PUB" => {
                let socket = bus.plant.block_on(async {
                    let mut socket = zeromq::PubSocket::new();
                    socket.connect(&bus.frontend()).await.unwrap();
                    socket
                });
                publish(&bus, socket, &messages);
                None
            }
            _ => {
                let socket = bus.plant.block_on(async {
                    let mut socket = zeromq::XPubSocket::new();
                    socket.connect(&bus.frontend()).await.unwrap();
                    // It learns what is subscribed from what its owner receives.
                    for _ in ["t", "sync"] {
                        socket.recv().await.unwrap();
                    }
                    socket
                });
                publish(&bus, socket, &messages);
                None
            }
        };
        for message in &messages {
            assert_eq!(hear_libzmq(&plain), *message, "{kind} to SUB");
            assert_eq!(hear_libzmq(&extended), *message, "{kind} to XSUB");
            assert_eq!(
                hear(&bus, &mut crate_plain),
                *message,
                "{kind} to crate SUB"
            );
            assert_eq!(
                hear(&bus, &mut crate_extended),
                *message,
                "{kind} to crate XSUB"
            );
        }
    }
    assert_eq!(bus.count("bus_dropped_total"), 0);
    bus.plant.assert_rejected(&[]);
}
