//! The task that owns a source's connections and what it keeps.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant as Clock, sleep_until},
};
use tracing::{trace, warn};

use super::{
    Unconfirmed,
    draft::Draft,
    kept::{Kept, Wanted, Wire},
    sequences::Sequences,
};
use crate::{
    SourceId, jitter_seed,
    uplinks::{Happened, Uplink, Uplinks},
};

/// Commands that are taken before connections are looked at again.
const TURN_COMMANDS: usize = 256;
/// How long a source that is closed waits for its brokers to read what it has.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// What handles ask of the task.
#[derive(Debug)]
pub(super) enum Command {
    Publish(Draft),
    PublishAll(Vec<Draft>),
    /// To be answered when all that was published before was read.
    Flush(oneshot::Sender<()>),
    IsSubscribed(Bytes, oneshot::Sender<bool>),
    Close(oneshot::Sender<Outcome>),
}

#[derive(Debug)]
pub(super) struct Owner {
    uplinks: Uplinks,
    kept: Kept,
    /// The bytes of what is kept and of the commands on their way.
    kept_bytes: Arc<AtomicUsize>,
    /// What handles know to be wanted.
    wanted: watch::Sender<Arc<Wanted>>,
    sequences: Sequences,
    /// Positions that somebody waits for.
    flushes: Vec<(u64, oneshot::Sender<()>)>,
    closing: Option<Closing>,
}

/// A source that is to be closed.
#[derive(Debug)]
struct Closing {
    /// When it is at the latest.
    until: Instant,
    /// Who wants to know.
    done: Option<oneshot::Sender<Outcome>>,
}

type Outcome = Result<(), Unconfirmed>;

/// Why the task woke.
#[derive(Debug)]
enum Wake {
    Command(Option<Command>),
    Happened(Happened),
    Timeout,
}

impl Owner {
    pub(super) fn new(
        uplinks: Uplinks,
        kept: Kept,
        kept_bytes: Arc<AtomicUsize>,
        wanted: watch::Sender<Arc<Wanted>>,
    ) -> Self {
        Self {
            uplinks,
            kept,
            kept_bytes,
            wanted,
            sequences: Sequences::new(new_source()),
            flushes: Vec::new(),
            closing: None,
        }
    }

    /// Runs until the source is closed, or all senders of commands are gone and what they sent was
    /// read or given up.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut wake = Wake::Happened(Happened::Directory);
        loop {
            // The one clock of this loop: the runtime's, so that tests can let time pass.
            let now = Clock::now().into_std();
            match wake {
                Wake::Command(command) => {
                    self.take_command(command, now);
                    if self.closing.is_some() {
                        commands.close();
                    }
                    let mut taken = 1;
                    while (taken < TURN_COMMANDS || self.closing.is_some())
                        && let Ok(command) = commands.try_recv()
                    {
                        taken += 1;
                        self.take_command(Some(command), now);
                    }
                }
                Wake::Happened(happened) => self.take_happened(happened, now),
                Wake::Timeout => {}
            }
            self.send(now);
            self.answer();
            if self.is_done(now) {
                break;
            }
            wake = self.wait(&mut commands).await;
        }
        self.finish().await;
    }

    async fn wait(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>) -> Wake {
        let is_closing = self.closing.is_some();
        let closes_at = self.closing.as_ref().map(|closing| closing.until);
        let due = self.kept.poll_timeout().into_iter().chain(closes_at).min();
        let due = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = commands.recv(), if !is_closing => Wake::Command(command),
            happened = self.uplinks.wait() => Wake::Happened(happened),
            () = due => Wake::Timeout,
        }
    }

    fn take_command(&mut self, command: Option<Command>, now: Instant) {
        match command {
            Some(Command::Publish(draft)) => self.publish(draft),
            Some(Command::PublishAll(drafts)) => {
                for draft in drafts {
                    self.publish(draft);
                }
            }
            Some(Command::Flush(done)) => self.flushes.push((self.kept.end(), done)),
            Some(Command::IsSubscribed(topic, answer)) => {
                // Who does not wait any more needs no answer.
                let _ = answer.send(self.kept.is_subscribed(&topic));
            }
            Some(Command::Close(done)) => self.close(Some(done), now),
            None if self.closing.is_none() => self.close(None, now),
            None => {}
        }
    }

    fn publish(&mut self, draft: Draft) {
        let (topic, count) = (draft.topic(), draft.count());
        let (source, first) = self.sequences.next(topic, count, new_source);
        if let Some(published) = draft.number(source, first) {
            self.kept.push(published);
        }
    }

    fn close(&mut self, done: Option<oneshot::Sender<Outcome>>, now: Instant) {
        let until = now + CLOSE_TIMEOUT;
        self.closing = Some(Closing { until, done });
    }

    fn take_happened(&mut self, happened: Happened, now: Instant) {
        match self.uplinks.take(happened, now) {
            Some(Uplink::Opened(key)) => self.kept.handle_opened(key),
            Some(Uplink::Subscriptions(key, changes)) => {
                trace!(?changes, "subscriptions of a broker");
                self.kept.handle_subscriptions(key, changes);
            }
            Some(Uplink::Marked(key, mark)) => self.kept.handle_marked(key, mark, now),
            Some(Uplink::Lost(key)) => self.kept.handle_closed(key),
            // Nobody has anything to say to a publisher.
            Some(Uplink::Messages(..)) | None => {}
        }
    }

    /// Sends what there is room for, asks what was read, and lets go of what was.
    fn send(&mut self, now: Instant) {
        if let Some(wanted) = self.kept.poll_wanted(now) {
            self.wanted.send_replace(Arc::new(wanted));
        }
        let somebody_waits = !self.flushes.is_empty() || self.closing.is_some();
        let links = self.uplinks.links();
        for key in self.kept.links() {
            while links.has_room(key)
                && let Some(published) = self.kept.poll_send(key, now)
            {
                match &published.wire {
                    Wire::Run(run) => links.send_run(key, run),
                    Wire::Large { envelope, body } => links.send(key, |out| {
                        out.extend_from_slice(envelope);
                        Some(body)
                    }),
                }
            }
            if let Some(mark) = self.kept.poll_mark(key, somebody_waits, now) {
                links.mark(key, mark);
            }
        }
        links.flush();
        let released = self.kept.release();
        self.kept_bytes.fetch_sub(released, Ordering::AcqRel);
    }

    /// Tells those who wait for a flush that is done.
    fn answer(&mut self) {
        let kept = &self.kept;
        for (_, done) in self.flushes.extract_if(.., |(at, _)| kept.is_read(*at)) {
            // Who does not wait any more needs no answer.
            let _ = done.send(());
        }
        self.flushes.retain(|(_, done)| !done.is_closed());
    }

    fn is_done(&self, now: Instant) -> bool {
        let Some(closing) = &self.closing else {
            return false;
        };
        self.kept.is_read(self.kept.end()) || closing.until <= now
    }

    async fn finish(mut self) {
        let publications = self.kept.unread();
        let outcome = match publications {
            0 => Ok(()),
            _ => Err(Unconfirmed { publications }),
        };
        let waiting = self.closing.take().and_then(|closing| closing.done);
        if let (Err(unconfirmed), None) = (&outcome, &waiting) {
            warn!(%unconfirmed, "a source was dropped");
        }
        self.uplinks.finish().await;
        if let Some(done) = waiting {
            // Who does not wait any more needs no answer.
            let _ = done.send(outcome);
        }
    }
}

fn new_source() -> SourceId {
    SourceId::from_random(u128::from(jitter_seed()) << 64 | u128::from(jitter_seed()))
}
