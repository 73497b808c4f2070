//! A libzmq ROUTER that passes frames on and does nothing else: the least a broker on libzmq can cost.

use std::collections::HashSet;

use zmq::{Message, SNDMORE, Socket};

use super::WORKER;

type Identity = Box<[u8]>;

pub(super) fn run() -> anyhow::Result<()> {
    let socket = super::router()?;
    let mut workers: Vec<Identity> = Vec::new();
    let mut known: HashSet<Identity> = HashSet::new();
    let mut client: Identity = Box::default();
    let mut turn = 0;
    let mut from = Message::new();
    let mut frame = Message::new();
    loop {
        socket.recv(&mut from, 0)?;
        socket.recv(&mut frame, 0)?;
        let to: &[u8] = if known.contains(&*from) {
            &client
        } else if &*frame == WORKER {
            // Returned, so that the worker knows that it is known.
            workers.push(Box::from(&*from));
            known.insert(Box::from(&*from));
            &from
        } else {
            if *client != *from {
                client = Box::from(&*from);
            }
            turn = (turn + 1) % workers.len();
            &workers[turn]
        };
        socket.send(to, SNDMORE)?;
        forward(&socket, frame)?;
        frame = Message::new();
    }
}

/// Sends a frame and those that follow it.
fn forward(socket: &Socket, mut frame: Message) -> zmq::Result<()> {
    while frame.get_more() {
        socket.send(frame, SNDMORE)?;
        frame = socket.recv_msg(0)?;
    }
    socket.send(frame, 0)
}
