//! A ROUTER of the `zeromq` crate that passes frames on and does nothing else.

use std::collections::HashSet;

use anyhow::{Context as _, anyhow};
use zeromq::{RouterSocket, Socket as _, SocketRecv as _, SocketSend as _, ZmqMessage};

use super::WORKER;

#[tokio::main(flavor = "current_thread")]
pub(super) async fn run() -> anyhow::Result<()> {
    let mut socket = RouterSocket::new();
    let endpoint = socket.bind("tcp://127.0.0.1:0").await?;
    super::announce(&[endpoint.to_string()])?;
    let mut workers = Vec::new();
    let mut known = HashSet::new();
    let mut client = None;
    let mut turn = 0;
    loop {
        let mut frames = socket.recv().await?.into_vecdeque();
        let from = frames.pop_front().context("a ROUTER tells who sent")?;
        let to = if known.contains(&from) {
            client.clone().context("a client has asked")?
        } else if frames.front().is_some_and(|frame| frame == WORKER) {
            // Returned, so that the worker knows that it is known.
            workers.push(from.clone());
            known.insert(from.clone());
            from
        } else {
            client = Some(from);
            turn = (turn + 1) % workers.len();
            workers[turn].clone()
        };
        frames.push_front(to);
        let message = ZmqMessage::try_from(frames);
        let message = message.map_err(|_| anyhow!("a message has frames"))?;
        socket.send(message).await?;
    }
}
