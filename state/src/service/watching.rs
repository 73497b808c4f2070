//! Watches: a walk along the history of a scope, at the pace of who watches.
//!
//! A watch holds no changes. It reads the next ones when it can send them, so that a slow reader
//! costs nothing and misses nothing until the history itself no longer has what comes next.

use plantd_client::{Request, WorkerError};

use super::{Service, no_scope};
use crate::refusal::{Code, Refusal};
use crate::reply::Object;
use crate::request::{Filter, From, Page, WatchRequest};
use crate::service::listing::write_change;

/// Keys in one step of a snapshot.
const SNAPSHOT_KEYS: usize = 1_000;

impl Service {
    /// Tells changes until the watch ends by itself; the refusal is its end.
    pub(super) async fn watch(
        &self,
        watch: WatchRequest,
        request: &mut Request,
    ) -> Result<Result<Vec<u8>, Refusal>, WorkerError> {
        let Ok(_place) = self.watches.clone().try_acquire_owned() else {
            let error = format!(
                "there are {} watches, as many as limits.watches allows",
                self.most_watches
            );
            return Ok(Err(Refusal::new(Code::Busy, error)));
        };
        let _watching = self.metrics.asked.watching();
        self.tell(&watch, request).await.map(Err)
    }

    async fn tell(
        &self,
        watch: &WatchRequest,
        request: &mut Request,
    ) -> Result<Refusal, WorkerError> {
        // Before the first look, so that what is committed after it is told of.
        let mut head = self.store.shared().follow(&watch.scope);
        let row = match self.look(|reader| reader.scope(&watch.scope)) {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(no_scope(&watch.scope)),
            Err(refusal) => return Ok(refusal),
        };
        let mut at = match watch.from {
            From::Now => row.sequence,
            From::Sequence(sequence) => sequence,
            From::Snapshot => {
                if let Err(refusal) = self.tell_values(watch, row.sequence, request).await? {
                    return Ok(refusal);
                }
                row.sequence
            }
        };
        // After a snapshot, too: it is what says that the snapshot is complete.
        let mut is_first = true;
        loop {
            let _ = head.borrow_and_update();
            let page = self.next_page(watch, at).await;
            let (part, up_to, is_at_head, has_ended) = match page {
                Ok(page) => page,
                Err(refusal) => return Ok(refusal),
            };
            if up_to > at || is_first {
                request.partials().send(part).await?;
                is_first = false;
                at = up_to;
            }
            if has_ended {
                return Ok(no_scope(&watch.scope));
            }
            if is_at_head {
                tokio::select! {
                    changed = head.changed() => if changed.is_err() {
                        return Ok(Refusal::new(Code::Draining, "the daemon stops"));
                    },
                    () = self.stop.requested() => {
                        return Ok(Refusal::new(Code::Draining, "the daemon stops"));
                    }
                }
            }
        }
    }

    /// What comes after a sequence, as a part of the answer; up to where it goes, and whether that is
    /// all there is.
    async fn next_page(
        &self,
        watch: &WatchRequest,
        after: u64,
    ) -> Result<(Vec<u8>, u64, bool, bool), Refusal> {
        let watch = watch.clone();
        self.in_the_background(move |service| {
            let changes = service.look(|reader| reader.changes(&watch.scope, after, &watch.filter))?;
            let page = match changes {
                Ok(page) => page,
                Err(None) => return Err(no_scope(&watch.scope)),
                Err(Some(row)) => {
                    let (floor, sequence) = (row.floor, row.sequence);
                    let error = format!(
                        "the history of {} goes from {floor} to {sequence}, and the watch stands at \
                         {after}",
                        watch.scope
                    );
                    return Err(Refusal::new(Code::Gap, error)
                        .with("oldest", floor)
                        .with("sequence", sequence));
                }
            };
            let mut out = Object::data();
            out.text("scope", watch.scope.as_str())
                .number("sequence", page.up_to)
                .list("events");
            for change in &page.changes {
                out.item();
                write_change(&mut out, change, watch.has_values);
                out.end();
            }
            let is_at_head = page.up_to == page.head;
            Ok((out.finish(), page.up_to, is_at_head, page.has_ended))
        })
        .await
    }

    /// Tells the values that were written up to a sequence. A key that is written while they are
    /// told is left out: its change is told after them.
    async fn tell_values(
        &self,
        watch: &WatchRequest,
        sequence: u64,
        request: &mut Request,
    ) -> Result<Result<(), Refusal>, WorkerError> {
        let mut after = None;
        loop {
            let step = self.next_values(watch, sequence, after).await;
            let (part, next) = match step {
                Ok(step) => step,
                Err(refusal) => return Ok(Err(refusal)),
            };
            request.partials().send(part).await?;
            if next.is_none() {
                return Ok(Ok(()));
            }
            after = next;
        }
    }

    async fn next_values(
        &self,
        watch: &WatchRequest,
        sequence: u64,
        after: Option<String>,
    ) -> Result<(Vec<u8>, Option<String>), Refusal> {
        let watch = watch.clone();
        self.in_the_background(move |service| {
            let (prefix, limit) = match &watch.filter {
                // The first key that begins like this one is this one, if it has a value.
                Filter::Key(key) => (key.as_str(), 1),
                Filter::Prefix(prefix) => (prefix.as_str(), SNAPSHOT_KEYS),
            };
            let page = Page {
                prefix: prefix.to_owned(),
                after,
                limit,
            };
            let listed = service.checked(|store| store.keys(&watch.scope, &page, true))?;
            let listed = listed.ok_or_else(|| no_scope(&watch.scope))?;
            let mut out = Object::data();
            out.text("scope", watch.scope.as_str())
                .number("sequence", sequence)
                .flag("snapshot", true)
                .list("events");
            for (key, entry) in &listed.entries {
                let Some(entry) = entry.as_ref().filter(|entry| entry.version <= sequence) else {
                    continue;
                };
                let is_wanted = match &watch.filter {
                    Filter::Key(wanted) => wanted == key,
                    Filter::Prefix(_) => true,
                };
                if !is_wanted {
                    continue;
                }
                out.item().text("event", "value").text("key", key.as_str());
                out.number("version", entry.version)
                    .number("timestamp", entry.timestamp as u64);
                if watch.has_values {
                    out.value(&entry.value);
                }
                out.end();
            }
            let is_prefix = matches!(watch.filter, Filter::Prefix(_));
            let has_more = listed.has_more && is_prefix;
            let last = listed.entries.last().filter(|_| has_more);
            Ok((out.finish(), last.map(|(key, _)| key.as_str().to_owned())))
        })
        .await
    }
}
