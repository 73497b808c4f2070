//! A DEALER of the `zeromq` crate, whose two halves run beside each other.

use std::pin::pin;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use zeromq::{DealerRecvHalf, DealerSendHalf, DealerSocket, SocketRecv, SocketSend};

use super::{Connection, FLUSH_TIME, LinkEvent, Outgoing, gather};
use crate::link::ConnectionKey;

/// Carries one connection from dialling to its end.
pub(super) async fn run(mut connection: Connection) {
    let reason = match connection.open::<DealerSocket>().await {
        Ok((socket, lost)) => {
            if !connection.tell_opened().await {
                return;
            }
            let (sender, receiver) = socket.split();
            let mut lost = pin!(lost);
            tokio::select! {
                reason = receive(connection.key, receiver, &connection.events) => reason,
                reason = send(sender, &mut connection.outgoing) => reason,
                _ = lost.next() => "the peer closed the connection".to_owned(),
            }
        }
        Err(reason) => reason,
    };
    connection.tell_closed(reason).await;
}

/// Passes on what comes, until the connection fails.
async fn receive(
    key: ConnectionKey,
    mut receiver: DealerRecvHalf,
    events: &mpsc::Sender<LinkEvent>,
) -> String {
    loop {
        let first = match receiver.recv().await {
            Ok(message) => message,
            Err(error) => return error.to_string(),
        };
        let (messages, failure) = gather(first, &mut receiver);
        if events
            .send(LinkEvent::Messages { key, messages })
            .await
            .is_err()
        {
            return "the owner is gone".to_owned();
        }
        if let Some(failure) = failure {
            return failure;
        }
    }
}

/// Sends what is given, until the connection fails or its owner closes it.
async fn send(
    mut sender: DealerSendHalf,
    outgoing: &mut mpsc::UnboundedReceiver<Outgoing>,
) -> String {
    while let Some(order) = outgoing.recv().await {
        match order {
            Outgoing::Message(message) => {
                if let Err(error) = sender.send(message).await {
                    return error.to_string();
                }
            }
            // A DEALER subscribes to nothing, and its owner asks for no marks.
            Outgoing::Subscriptions(_) | Outgoing::Mark(_) => {}
        }
    }
    tokio::time::sleep(FLUSH_TIME).await;
    "closed by this side".to_owned()
}
