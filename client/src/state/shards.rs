//! Which service is asked about a scope: the one that was named, until it says that it is a router; and
//! then the shard of the scope, without it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};
use std::time::Duration;

use plantd_mdp::Properties;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    State,
    error::{ReadError, StateError},
    wire::Fields,
};
use crate::RequestError;

/// The property of a router's reply that has the version of its map.
const MAP_VERSION: &str = "shards";
/// For how long a map that led astray is not followed again, unless it changes.
const ASTRAY: Duration = Duration::from_secs(60);

/// Which shard has which scopes. Told by [`State::shards`]; written by serde in the shape of
/// `docs/protocol.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Told", into = "Told")]
pub struct Shards {
    version: String,
    shards: Vec<Shard>,
    /// In order: from which scope on, and which of the shards has it.
    ranges: Vec<(String, usize)>,
}

/// One of several state services that divide the scopes among them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Shard {
    /// Its name.
    pub name: String,
    /// The service that it serves.
    pub service: String,
    /// What it has, as it is configured.
    #[serde(default)]
    pub shares: Vec<Share>,
}

/// Scopes of a shard: those that begin with a prefix, or from one on and before another, or the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Share {
    /// How they begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The first there can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What they come before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Whether it is what no other share has.
    #[serde(skip_serializing_if = "is_false")]
    pub rest: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes what it asks about by reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

/// A map as it is written in a reply.
#[derive(Serialize, Deserialize)]
struct Told {
    version: String,
    shards: Vec<Shard>,
    ranges: Vec<Range>,
}

#[derive(Serialize, Deserialize)]
struct Range {
    from: String,
    shard: String,
}

impl TryFrom<Told> for Shards {
    type Error = String;

    fn try_from(told: Told) -> Result<Self, String> {
        let Told {
            version,
            shards,
            ranges,
        } = told;
        let ranges = ranges.into_iter().map(|range| {
            let shard = shards.iter().position(|shard| shard.name == range.shard);
            let shard = shard.ok_or_else(|| format!("there is no shard {:?}", range.shard))?;
            Ok((range.from, shard))
        });
        let ranges: Vec<(String, usize)> = ranges.collect::<Result<_, String>>()?;
        if !ranges.is_sorted_by(|one, next| one.0 < next.0) {
            return Err("the ranges are not in order".to_owned());
        }
        Ok(Self {
            version,
            shards,
            ranges,
        })
    }
}

impl From<Shards> for Told {
    fn from(map: Shards) -> Self {
        let ranges = map.ranges.into_iter().map(|(from, shard)| Range {
            from,
            shard: map.shards[shard].name.clone(),
        });
        Self {
            version: map.version,
            ranges: ranges.collect(),
            shards: map.shards,
        }
    }
}

impl Shards {
    /// The same for maps that divide the scopes in the same way.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The shards; none where one service has every scope.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Shard> {
        self.shards.iter()
    }

    /// The shard that has a scope; `None` where there are no shards.
    pub fn of(&self, scope: &str) -> Option<&Shard> {
        let after = self
            .ranges
            .partition_point(|(from, _)| from.as_str() <= scope);
        let (_, shard) = self.ranges.get(after.checked_sub(1)?)?;
        self.shards.get(*shard)
    }
}

/// Which way a request goes.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) service: String,
    /// By which map it goes straight; `None`: by the service that was named.
    straight_by: Option<Arc<Shards>>,
}

impl Way {
    pub(super) fn is_straight(&self) -> bool {
        self.straight_by.is_some()
    }
}

/// What is known of the shards.
#[derive(Debug, Default)]
pub(super) struct Known {
    map: Mutex<Knowledge>,
    is_asked_for: AtomicBool,
}

#[derive(Debug, Default)]
enum Knowledge {
    /// No router has answered yet.
    #[default]
    Nothing,
    /// Which shard to ask.
    Map(Arc<Shards>),
    /// The map of this version led to nobody who serves the scope: it has changed, the shard is away, or
    /// this client reaches the router alone.
    Astray { version: String, until: Instant },
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, Knowledge> {
        // It is replaced whole, so what a panic left behind is as good as any.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn map(&self) -> Option<Arc<Shards>> {
        match &*self.lock() {
            Knowledge::Map(map) => Some(map.clone()),
            Knowledge::Nothing | Knowledge::Astray { .. } => None,
        }
    }

    /// Whether a map of this version is worth to be asked for.
    fn lacks(&self, version: &str, now: Instant) -> bool {
        match &*self.lock() {
            Knowledge::Nothing => true,
            Knowledge::Map(map) => map.version != version,
            Knowledge::Astray {
                version: astray,
                until,
            } => astray != version || *until <= now,
        }
    }

    fn learn(&self, map: Shards) {
        *self.lock() = if map.shards.is_empty() {
            Knowledge::Nothing
        } else {
            Knowledge::Map(Arc::new(map))
        };
    }

    /// Leaves a map, unless there is another one by now.
    fn leave(&self, used: &Arc<Shards>, until: Instant) {
        let mut known = self.lock();
        if matches!(&*known, Knowledge::Map(map) if Arc::ptr_eq(map, used)) {
            let version = used.version.clone();
            *known = Knowledge::Astray { version, until };
        }
    }
}

/// Held while the map is asked for.
struct Asking<'a>(&'a Known);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.is_asked_for.store(false, Ordering::Release);
    }
}

impl State {
    /// Asks which shard has which scopes. It need not be asked: a `State` learns it from the replies of a
    /// router, and goes straight to the shards from then on.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub async fn shards(&self) -> Result<Shards, ReadError> {
        let known = &self.shared.shards;
        known.is_asked_for.store(true, Ordering::Release);
        let _asking = Asking(known);
        let map: Shards = self.read("shards", &Fields::default()).await?;
        known.learn(map.clone());
        Ok(map)
    }

    /// The way of an operation: straight to the shard of all of its scopes, if it is known and one.
    pub(super) fn way(&self, fields: &Fields<'_>) -> Way {
        self.straight(fields).unwrap_or_else(|| Way {
            service: self.shared.service.clone(),
            straight_by: None,
        })
    }

    fn straight(&self, fields: &Fields<'_>) -> Option<Way> {
        let map = self.shared.shards.map()?;
        let in_batch = fields.operations.iter().flatten();
        let mut scopes = fields
            .scope
            .into_iter()
            .chain(in_batch.filter_map(|it| it.scope));
        let shard = map.of(scopes.next()?)?;
        if !scopes.all(|scope| map.of(scope) == Some(shard)) {
            return None;
        }
        let service = shard.service.clone();
        let straight_by = Some(map);
        Some(Way {
            service,
            straight_by,
        })
    }

    /// Learns the map in the background, if a reply says that there is one that is not known.
    pub(super) fn take_properties(&self, properties: &Properties) {
        let Some(version) = properties.get(MAP_VERSION) else {
            return;
        };
        let known = &self.shared.shards;
        if !known.lacks(version, Instant::now()) || known.is_asked_for.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let state = self.clone();
        // What cannot be learnt now is with the next reply.
        tokio::spawn(async move { state.shards().await });
    }

    /// Leaves the map that led to a shard which has not the scope, or is not there.
    pub(super) fn take_failure(&self, way: &Way, error: &StateError) {
        let is_astray = match error {
            StateError::Refused(refusal) => refusal.code == "wrong-shard",
            StateError::Request(error) => {
                matches!(error, RequestError::NoWorker { .. } | RequestError::Timeout)
            }
        };
        if let (true, Some(used)) = (is_astray, &way.straight_by) {
            self.shared.shards.leave(used, Instant::now() + ASTRAY);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Shards, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_map_is_written_as_it_is_told() {
        let told = r#"{"version":"7","shards":[{"name":"a","service":"s.a","shares":[{"from":"x"},{"rest":true}]}],"ranges":[{"from":"","shard":"a"}]}"#;
        assert_eq!(serde_json::to_string(&read(told).unwrap()).unwrap(), told);
    }

    #[test]
    fn the_last_range_that_begins_before_a_scope_has_it() {
        let map = read(
            r#"{"version":"7","shards":[
                {"name":"a","service":"s.a","shares":[{"prefix":"x."}]},{"name":"r","service":"s.r"}],
                "ranges":[{"from":"","shard":"r"},{"from":"x.","shard":"a"},{"from":"x/","shard":"r"}]}"#,
        )
        .unwrap();
        for (scope, shard) in [
            ("a", "r"),
            ("x.", "a"),
            ("x.z", "a"),
            ("x/", "r"),
            ("~", "r"),
        ] {
            assert_eq!(map.of(scope).unwrap().name, shard, "{scope}");
        }
        assert_eq!(
            map.iter().next().unwrap().shares[0].prefix.as_deref(),
            Some("x.")
        );
    }

    #[test]
    fn a_map_that_led_astray_is_asked_for_again_later_or_once_it_has_changed() {
        let map = r#"{"version":"7","shards":[{"name":"a","service":"s.a"}],"ranges":[{"from":"","shard":"a"}]}"#;
        let (known, now) = (Known::default(), Instant::now());
        assert!(known.lacks("7", now));
        known.learn(read(map).unwrap());
        assert!(!known.lacks("7", now) && known.lacks("8", now));
        let used = known.map().unwrap();
        known.leave(&used, now + ASTRAY);
        assert_eq!(known.map(), None);
        assert!(!known.lacks("7", now) && known.lacks("8", now));
        assert!(known.lacks("7", now + ASTRAY));
        // What was learnt meanwhile stays.
        known.learn(read(map).unwrap());
        known.leave(&used, now + ASTRAY);
        assert!(known.map().is_some());
    }

    #[test]
    fn a_map_that_is_none_is_refused() {
        assert_eq!(
            read(r#"{"version":"0","shards":[],"ranges":[]}"#)
                .unwrap()
                .of("a"),
            None
        );
        let unknown = r#"{"version":"1","shards":[],"ranges":[{"from":"","shard":"a"}]}"#;
        assert!(read(unknown).unwrap_err().to_string().contains("no shard"));
        let unsorted = r#"{"version":"1","shards":[{"name":"a","service":"s"}],
            "ranges":[{"from":"b","shard":"a"},{"from":"a","shard":"a"}]}"#;
        assert!(read(unsorted).unwrap_err().to_string().contains("order"));
    }
}
