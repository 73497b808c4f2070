//! Connections over plantd's own ZMTP.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::BytesMut;
use plantd_zmtp::{
    BACKLOG_HIGH_BYTES, Batch, Connection, Endpoint, Message, Notice, Outbox, Run, SessionConfig,
    Side, Stream, Subscription,
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use super::{ConnectionKey, DIAL_TIMEOUT, LINGER, LinkEvent, Role};

/// The connections of one task over plantd's own ZMTP.
#[derive(Debug)]
pub(super) struct Connections {
    session: Arc<SessionConfig>,
    dialling: JoinSet<(ConnectionKey, io::Result<Stream>)>,
    running: JoinSet<()>,
    connections: BTreeMap<ConnectionKey, State>,
    notices: mpsc::Receiver<Notice<ConnectionKey>>,
    notice_sender: mpsc::Sender<Notice<ConnectionKey>>,
}

#[derive(Debug)]
enum State {
    Dialling(AbortHandle),
    Running { outbox: Outbox, batch: Batch },
}

impl Connections {
    pub(super) fn new(role: Role) -> Self {
        let (notice_sender, notices) = mpsc::channel(role.events());
        Self {
            session: Arc::new(SessionConfig::new(Side::Connecting, role.socket_type())),
            dialling: JoinSet::new(),
            running: JoinSet::new(),
            connections: BTreeMap::new(),
            notices,
            notice_sender,
        }
    }

    pub(super) fn dial(&mut self, key: ConnectionKey, endpoint: Endpoint) {
        let dialling = self.dialling.spawn(async move {
            let stream = timeout(DIAL_TIMEOUT, Stream::connect(&endpoint)).await;
            (
                key,
                stream.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())),
            )
        });
        self.connections.insert(key, State::Dialling(dialling));
    }

    pub(super) fn send<'a>(
        &mut self,
        key: ConnectionKey,
        encode: impl FnOnce(&mut BytesMut) -> Option<&'a Message>,
    ) {
        if let Some(State::Running { batch, .. }) = self.connections.get_mut(&key) {
            batch.push(encode);
        }
    }

    pub(super) fn send_run(&mut self, key: ConnectionKey, run: &Run) {
        if let Some(State::Running { batch, .. }) = self.connections.get_mut(&key) {
            batch.push_run(run);
        }
    }

    pub(super) fn change_subscriptions(&mut self, key: ConnectionKey, changes: Vec<Subscription>) {
        if let Some(State::Running { outbox, batch }) = self.connections.get_mut(&key) {
            outbox.send(batch.take());
            outbox.change_subscriptions(changes);
        }
    }

    pub(super) fn mark(&mut self, key: ConnectionKey, mark: u64) {
        if let Some(State::Running { outbox, batch }) = self.connections.get_mut(&key) {
            outbox.send(batch.take());
            outbox.mark(mark);
        }
    }

    pub(super) fn flush(&mut self) {
        for state in self.connections.values_mut() {
            if let State::Running { outbox, batch } = state {
                outbox.send(batch.take());
            }
        }
    }

    pub(super) fn has_room(&self, key: ConnectionKey) -> bool {
        match self.connections.get(&key) {
            Some(State::Running { outbox, batch }) => {
                outbox.backlog_bytes() + batch.len_bytes() <= BACKLOG_HIGH_BYTES
            }
            Some(State::Dialling(_)) | None => true,
        }
    }

    pub(super) fn close(&mut self, key: ConnectionKey) {
        match self.connections.remove(&key) {
            Some(State::Dialling(task)) => task.abort(),
            Some(State::Running { outbox, .. }) => outbox.close(LINGER),
            None => {}
        }
    }

    pub(super) async fn next(&mut self) -> LinkEvent {
        loop {
            tokio::select! {
                Some(dialled) = self.dialling.join_next() => {
                    let Ok((key, stream)) = dialled else {
                        continue;
                    };
                    if let Some(event) = self.take_dialled(key, stream) {
                        return event;
                    }
                }
                Some(notice) = self.notices.recv() => {
                    if let Some(event) = self.take_notice(notice) {
                        return event;
                    }
                }
                Some(_) = self.running.join_next() => {}
            }
        }
    }

    pub(super) async fn finish(mut self) {
        // A connection whose notices nobody takes gives up what it has to write.
        drop(self.notice_sender);
        while self.notices.recv().await.is_some() {}
    }

    fn take_dialled(
        &mut self,
        key: ConnectionKey,
        stream: io::Result<Stream>,
    ) -> Option<LinkEvent> {
        let state = self.connections.get_mut(&key)?;
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                self.connections.remove(&key);
                let reason = error.to_string();
                return Some(LinkEvent::Closed { key, reason });
            }
        };
        let (connection, outbox) = Connection::new(stream, self.session.clone());
        let batch = Batch::new();
        *state = State::Running { outbox, batch };
        self.running
            .spawn(connection.run(key, self.notice_sender.clone()));
        None
    }

    /// Translates a notice; `None` for one of a connection that was closed, and for what nobody cares
    /// for.
    fn take_notice(&mut self, notice: Notice<ConnectionKey>) -> Option<LinkEvent> {
        let event = match notice {
            Notice::Opened { key, peer } => {
                let has_ping = peer.version.knows_commands();
                (key, LinkEvent::Opened { key, has_ping })
            }
            Notice::Messages { key, messages } => (key, LinkEvent::Messages { key, messages }),
            Notice::Subscriptions { key, changes } => {
                (key, LinkEvent::Subscriptions { key, changes })
            }
            Notice::Marked { key, mark } => (key, LinkEvent::Marked { key, mark }),
            Notice::Drained { key } => (key, LinkEvent::HasRoom { key }),
            Notice::Closed { key, reason } => {
                self.connections.remove(&key)?;
                let reason = reason.to_string();
                return Some(LinkEvent::Closed { key, reason });
            }
            // Its own handover gives messages, not runs.
            Notice::Runs { .. } | Notice::Ignored { .. } => return None,
        };
        self.connections.contains_key(&event.0).then_some(event.1)
    }
}
