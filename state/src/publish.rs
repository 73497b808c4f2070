//! What is told on the state bus: every change, once it is on disk.

use std::thread;

use plantd_client::{Endpoint, PublishError, Source};
use tokio::runtime;
use tokio::sync::mpsc;

use crate::metrics::Published;
use crate::names::Scope;
use crate::reply::Object;
use crate::service::write_change;
use crate::shards::Own;
use crate::store::Announcement;

/// Groups that wait to be published.
const GROUPS: usize = 1_024;
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
        let (sender, receiver) = mpsc::channel(GROUPS);
        let thread = thread::Builder::new().name("publisher".to_owned()).spawn({
            let source = source.clone();
            move || runtime.block_on(publish(source, receiver, own, metrics))
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

/// Publishes groups until nobody can send any more, then closes the source.
async fn publish(
    source: Source,
    mut groups: mpsc::Receiver<Vec<Announcement>>,
    own: Option<Own>,
    metrics: Published,
) {
    let mut topic = String::from(TOPIC);
    let mut is_refused = false;
    let is_own = |announcement: &Announcement| {
        own.as_ref()
            .is_none_or(|own| own.has(announcement.scope.as_str()))
    };
    while let Some(group) = groups.recv().await {
        for announcement in group.iter().filter(|it| is_own(it)) {
            topic.truncate(TOPIC.len());
            topic.push_str(announcement.scope.as_str());
            let publication = source
                .publication(&topic, payload(announcement))
                .content_type("application/json");
            let sent = publication.send();
            if let Err(error) = &sent {
                metrics.unpublished.inc();
                if !is_refused {
                    tracing::warn!(
                        context = "state.bus",
                        %error,
                        "changes are not published; sequences on the bus jump over them"
                    );
                }
            }
            is_refused = match sent {
                Ok(()) => false,
                Err(PublishError::Full { .. }) => true,
                // It is about this one.
                Err(_) => is_refused,
            };
        }
    }
    if let Err(error) = source.close().await {
        tracing::debug!(context = "state.bus", %error, "some changes may not be published");
    }
}

fn payload(announcement: &Announcement) -> Vec<u8> {
    let change = &announcement.change;
    let mut out = Object::plain();
    out.text("scope", announcement.scope.as_str())
        .number("sequence", change.sequence);
    let is_large = change
        .value
        .as_ref()
        .is_some_and(|value| value.len() > VALUE_BYTES);
    write_change(&mut out, change, !is_large);
    if is_large {
        out.flag("omitted", true);
    }
    out.finish()
}
