//! What is told on the state bus: every change, once it is on disk.

use std::time::Duration;
use std::{iter, mem, thread};

use plantd_client::{Burst, Endpoint, Heading, PublishError, Source};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio::{runtime, time};

use crate::metrics::Published;
use crate::names::Scope;
use crate::reply::Object;
use crate::service::write_change;
use crate::shards::Own;
use crate::store::Announcement;

/// Groups that wait to be published.
const GROUPS: usize = 1_024;
/// How long after the last ones the next ones are published at the earliest: a write to a socket, and the waking of whoever
/// reads it, is then for all that came meanwhile.
const PACE: Duration = Duration::from_millis(1);
/// A value of more bytes is left out.
const VALUE_BYTES: usize = 64 << 10;
/// What comes before the scope in a topic.
const TOPIC: &str = "org.plantd.state.";

/// The thread that publishes, and has the connections to the bus.
#[derive(Debug)]
pub(crate) struct Publisher {
    source: Source,
    thread: thread::JoinHandle<()>,
}

impl Publisher {
    /// Begins to publish what is sent; ends when nobody can send any more. What a store still holds of
    /// the scopes of other shards expires, and is theirs to tell of.
    pub(crate) fn start<'a>(
        frontends: impl Iterator<Item = &'a Endpoint>,
        own: Option<Own>,
        metrics: Published,
    ) -> anyhow::Result<(Self, mpsc::Sender<Vec<Announcement>>)> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let source = {
            let _of_the_thread = runtime.enter();
            let frontends = frontends.map(Endpoint::to_string);
            Source::builder().brokers(frontends).build()?
        };
        let announcer = Announcer::new(own, metrics)?;
        let (sender, receiver) = mpsc::channel(GROUPS);
        let thread = thread::Builder::new().name("publisher".to_owned()).spawn({
            let source = source.clone();
            move || runtime.block_on(publish(source, receiver, announcer))
        })?;
        Ok((Self { source, thread }, sender))
    }

    /// The source that is published with.
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    /// Waits until what was sent is published, as far as a broker takes it.
    pub(crate) async fn close(self) {
        // A panic of it was logged.
        let _ = tokio::task::spawn_blocking(move || self.thread.join()).await;
    }
}

/// Whether the changes of a scope go to all brokers of the bus, because somebody subscribes to them there.
pub(crate) async fn is_subscribed(source: &Source, scope: &Scope) -> bool {
    let topic = format!("{TOPIC}{scope}");
    // One that is closed publishes nothing.
    source.is_subscribed(topic).await.unwrap_or(false)
}

/// Publishes groups, those of a millisecond together, until nobody can send any more; then closes the source.
async fn publish(
    source: Source,
    mut groups: mpsc::Receiver<Vec<Announcement>>,
    mut announcer: Announcer,
) {
    let mut pace = time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ready = Vec::new();
    while groups.recv_many(&mut ready, GROUPS).await > 0 {
        pace.tick().await;
        ready.extend(iter::from_fn(|| groups.try_recv().ok()));
        announcer.publish(&source, &ready);
        ready.clear();
    }
    if let Err(error) = source.close().await {
        tracing::debug!(context = "state.bus", %error, "some changes may not be published");
    }
}

/// Publishes groups, and knows of the one before.
#[derive(Debug)]
struct Announcer {
    own: Option<Own>,
    metrics: Published,
    /// What stands over the changes of any scope, but for the topic.
    heading: Heading,
    /// The last scope, and what stands over its changes.
    last: Option<(Scope, Heading)>,
    /// Whether there was no room for the last change.
    is_refused: bool,
}

impl Announcer {
    fn new(own: Option<Own>, metrics: Published) -> Result<Self, PublishError> {
        Ok(Self {
            own,
            metrics,
            heading: Heading::new(TOPIC)?.content_type("application/json")?,
            last: None,
            is_refused: false,
        })
    }

    /// Publishes groups in one piece. Of a scope that nobody subscribes to nothing is written.
    fn publish(&mut self, source: &Source, groups: &[Vec<Announcement>]) {
        let published = source.publish_all(|burst| {
            for group in groups {
                for changes in group.chunk_by(|one, next| one.scope == next.scope) {
                    self.publish_scope(burst, changes);
                }
            }
        });
        if published.is_err() {
            let count: usize = groups.iter().map(Vec::len).sum();
            self.metrics.unpublished.inc_by(count as u64);
        }
    }

    /// Publishes changes of one scope.
    fn publish_scope(&mut self, burst: &mut Burst<'_>, changes: &[Announcement]) {
        let Some(Announcement { scope, .. }) = changes.first() else {
            return;
        };
        let is_foreign = |own: &Own| !own.has(scope.as_str());
        if self.own.as_ref().is_some_and(is_foreign) {
            return;
        }
        let heading = self.heading_of(scope);
        for announcement in changes {
            let write = |out: &mut Vec<u8>| write_payload(out, announcement);
            let published = match &heading {
                Ok(heading) => burst.write(heading, write),
                Err(error) => Err(error.clone()),
            };
            self.count(published);
        }
    }

    fn heading_of(&mut self, scope: &Scope) -> Result<Heading, PublishError> {
        if let Some((last, heading)) = &self.last
            && last == scope
        {
            return Ok(heading.clone());
        }
        let heading = self.heading.with_topic(format!("{TOPIC}{scope}"))?;
        self.last = Some((scope.clone(), heading.clone()));
        Ok(heading)
    }

    /// Counts what was not published, and says so the first time.
    fn count(&mut self, published: Result<(), PublishError>) {
        let Err(error) = published else {
            self.is_refused = false;
            return;
        };
        self.metrics.unpublished.inc();
        if !self.is_refused {
            tracing::warn!(
                context = "state.bus",
                %error,
                "changes are not published; sequences on the bus jump over them"
            );
        }
        // Any other is about this one.
        self.is_refused |= matches!(error, PublishError::Full { .. });
    }
}

fn write_payload(out: &mut Vec<u8>, announcement: &Announcement) {
    let change = &announcement.change;
    let mut object = Object::plain_in(mem::take(out));
    object
        .text("scope", announcement.scope.as_str())
        .number("sequence", change.sequence);
    let is_large = change
        .value
        .as_ref()
        .is_some_and(|value| value.len() > VALUE_BYTES);
    write_change(&mut object, change, !is_large);
    if is_large {
        object.flag("omitted", true);
    }
    *out = object.finish();
}
