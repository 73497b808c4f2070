//! The changes of a scope as they are made, over every reconnect.

mod course;

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use plantd_mdp::Backoff;
use tokio::time::{Sleep, sleep, timeout};

use super::{
    error::{Refusal, StateError, WatchError},
    exchange::{DELAYS, data, refusal},
    scope::Scope,
    shards::Way,
    wire::Fields,
};
use crate::{Part, ReplyStream, RequestError, jitter_seed};

pub use course::WatchItem;
use course::{Begin, Course, Next};

/// Parts of the answer that are sent ahead of the reader.
const WINDOW: u32 = 16;

/// Configures a [`Watch`]. Made by [`Scope::watch`].
#[must_use = "a watch begins by start"]
#[derive(Debug, Clone)]
pub struct WatchBuilder {
    scope: Scope,
    filter: Filter,
    begin: Begin,
    values: bool,
    window: u32,
}

/// Which keys are told of.
#[derive(Debug, Clone)]
enum Filter {
    All,
    Key(String),
    Prefix(String),
}

impl WatchBuilder {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope,
            filter: Filter::All,
            begin: Begin::Now,
            values: true,
            window: WINDOW,
        }
    }

    /// Tells of one key.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.filter = Filter::Key(key.into());
        self
    }

    /// Tells of keys that begin with this.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.filter = Filter::Prefix(prefix.into());
        self
    }

    /// Tells every change after this sequence, such as [`Watch::position`] of an earlier watch. By
    /// default those from now on are told.
    pub fn from(mut self, sequence: u64) -> Self {
        self.begin = Begin::From(sequence);
        self
    }

    /// Tells what there is, and then every change that it does not have.
    pub fn snapshot(mut self) -> Self {
        self.begin = Begin::Snapshot;
        self
    }

    /// Tells keys and versions without the values.
    pub fn without_values(mut self) -> Self {
        self.values = false;
        self
    }

    /// Sets how many parts of the answer are sent ahead of the reader, each of many changes; 16 by
    /// default. What is beyond it waits in the history of the service.
    pub fn window(mut self, parts: u32) -> Self {
        self.window = parts;
        self
    }

    /// Begins. Once this returns, every change is told from where it was said to begin.
    ///
    /// # Errors
    /// [`WatchError::NoScope`], what is refused for good, and why it could not begin within
    /// [the time](super::StateBuilder::timeout) of any operation.
    pub async fn start(self) -> Result<Watch, WatchError> {
        let limit = self.scope.state.shared.timeout;
        let mut watch = Watch {
            course: Course::new(self.begin),
            backoff: Backoff::new(DELAYS, jitter_seed()),
            way: self.way(),
            phase: Phase::Ended,
            last_failure: None,
            builder: self,
        };
        watch.ask();
        let begun = std::future::poll_fn(|cx| watch.poll_begun(cx));
        match timeout(limit, begun).await {
            Ok(Ok(())) => Ok(watch),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => {
                let failure = watch.last_failure.take();
                Err(failure.unwrap_or(RequestError::Timeout.into()).into())
            }
        }
    }

    fn way(&self) -> Way {
        self.scope.state.way(&self.scope.fields())
    }

    fn ask(&self, begin: Begin, way: &Way) -> Asking {
        let (key, prefix) = match &self.filter {
            Filter::All => (None, None),
            Filter::Key(key) => (Some(key.as_str()), None),
            Filter::Prefix(prefix) => (None, Some(prefix.as_str())),
        };
        let (from, snapshot) = match begin {
            Begin::Now => (None, None),
            Begin::From(sequence) => (Some(sequence), None),
            Begin::Snapshot => (None, Some(true)),
        };
        let fields = Fields {
            key,
            prefix,
            from,
            snapshot,
            values: (!self.values).then_some(false),
            ..self.scope.fields()
        };
        let client = &self.scope.state.shared.client;
        let request = client.request(&way.service, fields.body("watch"));
        Box::pin(request.stream(self.window))
    }
}

/// A request that is being sent.
type Asking = Pin<Box<dyn Future<Output = Result<ReplyStream, RequestError>> + Send>>;

/// The changes of a scope, each told once, in their order.
///
/// When the broker or the service goes away, the watch waits and goes on after the last change that it
/// was told. It ends by an error that would only come again. A reader that is slow takes no memory:
/// what it has not taken stays in the history of the service, and if it is slower than that is
/// long, there is a [`WatchItem::Gap`].
#[must_use = "a watch does nothing unless it is read"]
pub struct Watch {
    builder: WatchBuilder,
    course: Course,
    backoff: Backoff,
    /// Which way it was asked for.
    way: Way,
    phase: Phase,
    last_failure: Option<StateError>,
}

enum Phase {
    /// Until the next attempt.
    Waiting(Pin<Box<Sleep>>),
    Asking(Asking),
    Reading(ReplyStream),
    Ended,
}

impl Watch {
    /// Waits for what is told next; `None` after an error.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<WatchItem, WatchError>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The sequence up to which every change was given by [`Watch::next`]: a watch
    /// [from](WatchBuilder::from) it on goes on where this one stands. `None` before the end of a
    /// snapshot.
    pub fn position(&self) -> Option<u64> {
        self.course.told()
    }

    /// Whether the service is telling, rather than being waited for.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Reading(_))
    }

    fn poll_begun(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WatchError>> {
        while !self.course.has_begun() {
            ready!(self.poll_step(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    /// Goes one step on.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), WatchError>> {
        let next = match &mut self.phase {
            Phase::Waiting(sleep) => {
                ready!(sleep.as_mut().poll(cx));
                self.ask();
                return Poll::Ready(Ok(()));
            }
            Phase::Asking(asking) => match ready!(asking.as_mut().poll(cx)) {
                Ok(parts) => {
                    self.phase = Phase::Reading(parts);
                    return Poll::Ready(Ok(()));
                }
                Err(error) => self.failed(error),
            },
            Phase::Reading(parts) => match ready!(Pin::new(parts).poll_next(cx)) {
                Some(Ok(part)) => match self.refusal_of(&part) {
                    Ok(Some(refusal)) => self.refused(refusal),
                    // A service that has nothing to say at its end is asked again.
                    Ok(None) if part.is_final => Next::Again,
                    Ok(None) => {
                        let taken = data(&part.body).and_then(|part| self.course.handle_part(part));
                        match taken {
                            Ok(()) => {
                                self.backoff.reset();
                                self.go_straight();
                                return Poll::Ready(Ok(()));
                            }
                            Err(error) => self.failed(error),
                        }
                    }
                    Err(error) => self.failed(error),
                },
                Some(Err(error)) => self.failed(error),
                None => self.failed(RequestError::ConnectionLost),
            },
            Phase::Ended => return Poll::Ready(Ok(())),
        };
        Poll::Ready(match next {
            Next::Again => {
                let delay = self.backoff.next_delay();
                self.phase = Phase::Waiting(Box::pin(sleep(delay)));
                Ok(())
            }
            Next::Ended(error) => {
                self.phase = Phase::Ended;
                Err(error)
            }
        })
    }

    fn ask(&mut self) {
        self.way = self.builder.way();
        self.course.handle_asked();
        let asking = self.builder.ask(self.course.begin(), &self.way);
        self.phase = Phase::Asking(asking);
    }

    /// Leaves the router for the shard, once that is known and there is nothing to tell twice.
    fn go_straight(&mut self) {
        let is_between_changes = matches!(self.course.begin(), Begin::From(_));
        if is_between_changes && !self.way.is_straight() && self.builder.way().is_straight() {
            self.ask();
        }
    }

    fn refusal_of(&self, part: &Part) -> Result<Option<Refusal>, RequestError> {
        self.builder.scope.state.take_properties(&part.properties);
        refusal(&part.body)
    }

    fn refused(&mut self, refusal: Refusal) -> Next {
        self.take_failure(refusal.clone().into());
        self.course.handle_refusal(refusal)
    }

    fn failed(&mut self, error: RequestError) -> Next {
        self.take_failure(error.clone().into());
        self.course.handle_failure(error)
    }

    fn take_failure(&mut self, error: StateError) {
        self.builder.scope.state.take_failure(&self.way, &error);
        self.last_failure = Some(error);
    }
}

impl Stream for Watch {
    type Item = Result<WatchItem, WatchError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.course.poll_item() {
                return Poll::Ready(Some(Ok(item)));
            }
            if matches!(self.phase, Phase::Ended) {
                return Poll::Ready(None);
            }
            if let Err(error) = ready!(self.poll_step(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Watch");
        shown.field("builder", &self.builder);
        shown.field("course", &self.course).finish_non_exhaustive()
    }
}
