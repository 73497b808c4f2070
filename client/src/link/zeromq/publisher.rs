//! A PUB of the `zeromq` crate.
//!
//! It neither tells which subscriptions have come nor what it drops, so that the first messages wait
//! for a time in which subscriptions are hoped to come.

use std::{pin::pin, time::Duration};

use futures_util::StreamExt;
use zeromq::{PubSocket, SocketSend};

use super::{Connection, FLUSH_TIME, LinkEvent, Outgoing};

/// What is sent before the subscriptions have come is dropped by the crate: this long is hoped to be
/// enough.
const SUBSCRIPTION_TIME: Duration = Duration::from_millis(250);

/// Carries one connection from dialling to its end.
pub(super) async fn run(mut connection: Connection) {
    let reason = match connection.open::<PubSocket>().await {
        Ok((mut socket, lost)) => {
            tokio::time::sleep(SUBSCRIPTION_TIME).await;
            if !connection.tell_opened().await {
                return;
            }
            let mut lost = pin!(lost);
            tokio::select! {
                reason = send(&mut socket, &mut connection) => reason,
                _ = lost.next() => "the peer closed the connection".to_owned(),
            }
        }
        Err(reason) => reason,
    };
    connection.tell_closed(reason).await;
}

/// Sends what is given, until the connection fails or its owner closes it.
async fn send(socket: &mut PubSocket, connection: &mut Connection) -> String {
    while let Some(order) = connection.outgoing.recv().await {
        match order {
            Outgoing::Message(message) => {
                if let Err(error) = socket.send(message).await {
                    return error.to_string();
                }
            }
            Outgoing::Mark(mark) => {
                let key = connection.key;
                if !connection.tell(LinkEvent::Marked { key, mark }).await {
                    return "the owner is gone".to_owned();
                }
            }
            // A publisher subscribes to nothing.
            Outgoing::Subscriptions(_) => {}
        }
    }
    tokio::time::sleep(FLUSH_TIME).await;
    "closed by this side".to_owned()
}
