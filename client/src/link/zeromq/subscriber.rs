//! An XSUB of the `zeromq` crate, which unlike its SUB takes topics that are not UTF-8.

use std::pin::pin;

use bytes::{BufMut, BytesMut};
use futures_util::StreamExt;
use plantd_zmtp::Subscription;
use zeromq::{SocketRecv, SocketSend, XSubSocket, ZmqMessage};

use super::{Connection, LinkEvent, Outgoing, gather};

/// Carries one connection from dialling to its end.
pub(super) async fn run(mut connection: Connection) {
    let reason = match connection.open::<XSubSocket>().await {
        Ok((mut socket, lost)) => {
            if !connection.tell_opened().await {
                return;
            }
            let mut lost = pin!(lost);
            tokio::select! {
                reason = exchange(&mut socket, &mut connection) => reason,
                _ = lost.next() => "the peer closed the connection".to_owned(),
            }
        }
        Err(reason) => reason,
    };
    connection.tell_closed(reason).await;
}

/// Passes on what comes and sends what is given, until the connection fails or its owner closes it.
async fn exchange(socket: &mut XSubSocket, connection: &mut Connection) -> String {
    let key = connection.key;
    loop {
        tokio::select! {
            first = socket.recv() => {
                let first = match first {
                    Ok(message) => message,
                    Err(error) => return error.to_string(),
                };
                let (messages, failure) = gather(first, socket);
                if !connection.tell(LinkEvent::Messages { key, messages }).await {
                    return "the owner is gone".to_owned();
                }
                if let Some(failure) = failure {
                    return failure;
                }
            }
            order = connection.outgoing.recv() => match order {
                Some(Outgoing::Subscriptions(changes)) => {
                    for change in changes {
                        if let Err(error) = socket.send(subscription_message(&change)).await {
                            return error.to_string();
                        }
                    }
                }
                Some(Outgoing::Mark(mark)) => {
                    if !connection.tell(LinkEvent::Marked { key, mark }).await {
                        return "the owner is gone".to_owned();
                    }
                }
                // A subscriber publishes nothing.
                Some(Outgoing::Message(_)) => {}
                None => return "closed by this side".to_owned(),
            },
        }
    }
}

/// A subscription as it was before ZMTP 3.1 (RFC 23).
fn subscription_message(change: &Subscription) -> ZmqMessage {
    let (form, topic) = match change {
        Subscription::Subscribe(topic) => (1, topic),
        Subscription::Cancel(topic) => (0, topic),
    };
    let mut frame = BytesMut::with_capacity(1 + topic.len());
    frame.put_u8(form);
    frame.put_slice(topic);
    frame.freeze().into()
}
