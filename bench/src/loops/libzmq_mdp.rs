//! The least Majordomo broker on libzmq: MDP/0.2's services, and workers in the order they waited.
//!
//! No heartbeats, no limits, no errors: peers are trusted and stay.

use std::collections::{HashMap, VecDeque};

use anyhow::bail;
use zmq::{Message, SNDMORE, Socket};

const CLIENT: &[u8] = b"MDPC02";
const WORKER: &[u8] = b"MDPW02";
const READY: &[u8] = &[1];
const REQUEST: &[u8] = &[2];
const FINAL_FROM_WORKER: &[u8] = &[4];
const FINAL_TO_CLIENT: &[u8] = &[3];

#[derive(Default)]
struct Service {
    name: Vec<u8>,
    requests: VecDeque<Request>,
    waiting: VecDeque<Identity>,
}

struct Request {
    client: Message,
    body: Vec<Message>,
}

type Identity = Box<[u8]>;

/// Services by index, so that a worker's is found without its name.
#[derive(Default)]
struct Services {
    services: Vec<Service>,
    by_name: HashMap<Vec<u8>, usize>,
    by_worker: HashMap<Identity, usize>,
}

pub(super) fn run() -> anyhow::Result<()> {
    let socket = super::router()?;
    let mut services = Services::default();
    loop {
        let from = socket.recv_msg(0)?;
        let protocol = next(&socket)?;
        match &*protocol {
            CLIENT => take_request(&socket, &mut services, from)?,
            WORKER => hear_worker(&socket, &mut services, from)?,
            other => bail!("a peer speaks {:?}", String::from_utf8_lossy(other)),
        }
    }
}

fn take_request(socket: &Socket, services: &mut Services, client: Message) -> anyhow::Result<()> {
    let _command = next(socket)?;
    let index = services.index(&next(socket)?);
    let body = rest(socket)?;
    let service = &mut services.services[index];
    service.requests.push_back(Request { client, body });
    dispatch(socket, service)
}

fn hear_worker(socket: &Socket, services: &mut Services, worker: Message) -> anyhow::Result<()> {
    let command = next(socket)?;
    let index = match &*command {
        READY => {
            let index = services.index(&next(socket)?);
            services.by_worker.insert(Box::from(&*worker), index);
            index
        }
        FINAL_FROM_WORKER => {
            let Some(&index) = services.by_worker.get(&*worker) else {
                bail!("a stranger replies");
            };
            let client = next(socket)?;
            let _delimiter = next(socket)?;
            let body = rest(socket)?;
            let name = services.services[index].name.as_slice();
            socket.send(client, SNDMORE)?;
            for frame in [CLIENT, FINAL_TO_CLIENT, name] {
                socket.send(frame, SNDMORE)?;
            }
            send_last(socket, body)?;
            index
        }
        other => bail!("a worker sends {other:?}"),
    };
    let service = &mut services.services[index];
    service.waiting.push_back(Box::from(&*worker));
    dispatch(socket, service)
}

fn dispatch(socket: &Socket, service: &mut Service) -> anyhow::Result<()> {
    while !service.requests.is_empty()
        && let Some(worker) = service.waiting.pop_front()
        && let Some(Request { client, body }) = service.requests.pop_front()
    {
        for frame in [&*worker, WORKER, REQUEST] {
            socket.send(frame, SNDMORE)?;
        }
        socket.send(client, SNDMORE)?;
        socket.send("", SNDMORE)?;
        send_last(socket, body)?;
    }
    Ok(())
}

impl Services {
    fn index(&mut self, name: &[u8]) -> usize {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let index = self.services.len();
        self.by_name.insert(name.to_vec(), index);
        self.services.push(Service {
            name: name.to_vec(),
            ..Service::default()
        });
        index
    }
}

/// The next frame of the message that is being received.
fn next(socket: &Socket) -> anyhow::Result<Message> {
    if !socket.get_rcvmore()? {
        bail!("a message ends too early");
    }
    Ok(socket.recv_msg(0)?)
}

/// The frames that are left of the message that is being received: at least one.
fn rest(socket: &Socket) -> anyhow::Result<Vec<Message>> {
    let mut frames = vec![next(socket)?];
    while frames.last().is_some_and(Message::get_more) {
        frames.push(socket.recv_msg(0)?);
    }
    Ok(frames)
}

fn send_last(socket: &Socket, frames: Vec<Message>) -> zmq::Result<()> {
    let last = frames.len() - 1;
    for (index, frame) in frames.into_iter().enumerate() {
        socket.send(frame, if index < last { SNDMORE } else { 0 })?;
    }
    Ok(())
}
