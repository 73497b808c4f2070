//! The task that owns a sink's connections and what it knows of sources.

use std::time::Instant;

use plantd_zmtp::{Message, Subscription};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant as Clock, sleep_until},
};
use tracing::trace;

use super::{
    SinkEvent,
    tracker::{Seen, Tracker},
};
use crate::{
    Publication, Topic,
    link::ConnectionKey,
    topic_set::TopicSet,
    uplinks::{Happened, Uplink, Uplinks},
};

/// What the handle asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    Subscribe(Topic),
    Unsubscribe(Topic),
    /// To be answered when every connected broker has read all subscriptions.
    Settle(oneshot::Sender<()>),
}

#[derive(Debug)]
pub(super) struct Owner {
    uplinks: Uplinks,
    topics: TopicSet,
    tracker: Tracker,
    /// What the reader has not been given; nothing is read while there is any.
    unread: Vec<SinkEvent>,
    reader: mpsc::Sender<Vec<SinkEvent>>,
    links: Vec<Link>,
    /// Counts changes of subscriptions.
    change: u64,
    /// Changes that somebody waits for.
    settling: Vec<(u64, oneshot::Sender<()>)>,
}

/// One connection.
#[derive(Debug)]
struct Link {
    key: ConnectionKey,
    /// The change that the broker was asked about and has not answered.
    asked: Option<u64>,
    /// The last change that the broker has read, once it has answered.
    read: Option<u64>,
}

/// Why the task woke.
#[derive(Debug)]
enum Wake {
    Command(Option<Command>),
    Happened(Happened),
    /// The reader can be given more, or is gone.
    Reader(bool),
    Timeout,
}

impl Owner {
    pub(super) fn new(
        uplinks: Uplinks,
        topics: TopicSet,
        tracker: Tracker,
        reader: mpsc::Sender<Vec<SinkEvent>>,
    ) -> Self {
        Self {
            uplinks,
            topics,
            tracker,
            unread: Vec::new(),
            reader,
            links: Vec::new(),
            change: 0,
            settling: Vec::new(),
        }
    }

    /// Runs until the handle is gone.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut wake = Wake::Happened(Happened::Directory);
        loop {
            // The one clock of this loop: the runtime's, so that tests can let time pass.
            let now = Clock::now().into_std();
            match wake {
                Wake::Command(None) | Wake::Reader(false) => break,
                Wake::Command(Some(command)) => self.take_command(command),
                Wake::Happened(happened) => self.take_happened(happened, now),
                Wake::Reader(true) | Wake::Timeout => {}
            }
            self.tracker.handle_timeout(now);
            self.take_gaps();
            self.ask();
            self.answer();
            wake = self.wait(&mut commands).await;
        }
        self.uplinks.finish().await;
    }

    /// Commands come first: what is no longer subscribed to is then not given any more.
    async fn wait(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Wake {
        let due = self.tracker.poll_timeout();
        let due = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        let has_unread = !self.unread.is_empty();
        tokio::select! {
            biased;
            command = commands.recv() => Wake::Command(command),
            room = self.reader.reserve(), if has_unread => Wake::Reader(match room {
                Ok(room) => {
                    room.send(std::mem::take(&mut self.unread));
                    true
                }
                Err(_) => false,
            }),
            () = due, if !has_unread => Wake::Timeout,
            happened = self.uplinks.wait(), if !has_unread => Wake::Happened(happened),
        }
    }

    fn take_command(&mut self, command: Command) {
        match command {
            Command::Subscribe(topic) => {
                if self.topics.add(topic.to_bytes()) {
                    self.change_subscriptions(Subscription::Subscribe(topic.to_bytes()));
                }
            }
            Command::Unsubscribe(topic) => {
                if self.topics.remove(topic.as_bytes()) {
                    self.change_subscriptions(Subscription::Cancel(topic.to_bytes()));
                    let topics = &self.topics;
                    self.tracker.forget(|known| {
                        let known = known.as_bytes();
                        known.starts_with(topic.as_bytes()) && !topics.matches(known)
                    });
                }
            }
            Command::Settle(done) => self.settling.push((self.change, done)),
        }
    }

    fn change_subscriptions(&mut self, change: Subscription) {
        self.change += 1;
        for link in &self.links {
            let links = self.uplinks.links();
            links.change_subscriptions(link.key, vec![change.clone()]);
        }
    }

    fn take_happened(&mut self, happened: Happened, now: Instant) {
        match self.uplinks.take(happened, now) {
            Some(Uplink::Opened(key)) => {
                let topics = self.topics.iter().cloned();
                let changes = topics.map(Subscription::Subscribe).collect();
                self.uplinks.links().change_subscriptions(key, changes);
                self.tracker.handle_opened(key);
                self.links.push(Link {
                    key,
                    asked: None,
                    read: None,
                });
            }
            Some(Uplink::Messages(key, messages)) => {
                for message in messages {
                    self.take_message(key, message, now);
                }
            }
            Some(Uplink::Marked(key, mark)) => {
                if let Some(link) = self.links.iter_mut().find(|link| link.key == key)
                    && link.asked == Some(mark)
                {
                    link.asked = None;
                    link.read = Some(mark);
                }
            }
            Some(Uplink::Lost(key)) => {
                self.links.retain(|link| link.key != key);
                self.tracker.handle_closed(key, now);
            }
            // Nobody subscribes at a subscriber.
            Some(Uplink::Subscriptions(..)) | None => {}
        }
    }

    fn take_message(&mut self, key: ConnectionKey, message: Message, now: Instant) {
        trace!(?message, "received");
        let publication = Publication::read(&message.into_held());
        if !self.topics.matches(publication.topic.as_bytes()) {
            // It was on its way when its subscription was cancelled.
            return;
        }
        if let Some(header) = &publication.header {
            let (source, sequence) = (header.source, header.sequence);
            let topic = &publication.topic;
            let seen = self
                .tracker
                .handle_publication(key, source, topic, sequence, now);
            self.take_gaps();
            match seen {
                Seen::New => {}
                Seen::Before => return,
            }
        }
        self.unread.push(SinkEvent::Message(publication));
    }

    fn take_gaps(&mut self) {
        while let Some(gap) = self.tracker.poll_gap() {
            self.unread.push(SinkEvent::Gap(gap));
        }
    }

    /// Asks each broker whether it has read the last change.
    fn ask(&mut self) {
        for link in &mut self.links {
            if link.asked.is_none() && link.read != Some(self.change) {
                link.asked = Some(self.change);
                self.uplinks.links().mark(link.key, self.change);
            }
        }
    }

    /// Tells those who wait for a change that is read.
    fn answer(&mut self) {
        let links = &self.links;
        let is_read = |change: u64| {
            !links.is_empty()
                && links
                    .iter()
                    .all(|it| it.read.is_some_and(|read| read >= change))
        };
        for (_, done) in self.settling.extract_if(.., |(at, _)| is_read(*at)) {
            // Who does not wait any more needs no answer.
            let _ = done.send(());
        }
        self.settling.retain(|(_, done)| !done.is_closed());
    }
}
