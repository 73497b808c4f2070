//! Which shard has which scopes, as a value: read from the configuration once, then trusted.
//!
//! A *share* is all scopes from a bound up to another one, in the order of their bytes; those that
//! begin with a prefix, and the rest, are such shares too. Two shares are disjoint or one lies in the
//! other, and the innermost has a scope. So a map is a list of bounds, each with the shard of what
//! comes from there up to the next one; that list is also what clients are told.

mod share;

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use plantd_client::ServiceName;
use plantd_daemon::config::Problem;

use crate::names::Scope;
use crate::refusal::{Code, Refusal};
use crate::reply::Object;
use share::Interval;

pub use share::ShareKeys;

/// The most shares of a map.
const SHARES: usize = 256;
/// The longest name of a shard.
const NAME_BYTES: usize = 64;

/// Which shard has which scopes. Every scope has one, unless there are no shards at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shards {
    shards: Vec<Shard>,
    shares: Vec<ShareKeys>,
    /// In order, from the first scope there can be: from where on, and which shard has it.
    ranges: Vec<(String, usize)>,
    version: String,
}

/// One of the state services that an installation's scopes are divided among.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) name: String,
    /// The service that it serves.
    pub(crate) service: String,
}

/// One shard of a map: what a daemon is.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    map: Arc<Shards>,
    shard: usize,
}

impl Shards {
    /// No shards: one store has every scope.
    pub(crate) fn none() -> Self {
        Self::of_ranges(Vec::new(), &[], Vec::new())
    }

    /// Reads what is configured.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn parse(service: &str, shares: &[ShareKeys]) -> Result<Self, Vec<Problem>> {
        if shares.len() > SHARES {
            let expected = format!("expected at most {SHARES} shares");
            return Err(vec![Problem::new("shards", expected)]);
        }
        let mut problems = Vec::new();
        let mut intervals = Vec::new();
        for (index, keys) in shares.iter().enumerate() {
            if let Err(expected) = check_name(service, &keys.name) {
                problems.push(Problem::new(format!("shards[{index}].name"), expected));
            }
            match Interval::parse(keys) {
                Ok(interval) => intervals.push(interval),
                Err((field, expected)) => {
                    problems.push(Problem::new(format!("shards[{index}]{field}"), expected));
                }
            }
        }
        if problems.is_empty() {
            problems = collisions(shares, &intervals);
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut shards: Vec<Shard> = Vec::new();
        for ShareKeys { name, .. } in shares {
            if !shards.iter().any(|known| known.name == *name) {
                let (name, service) = (name.clone(), format!("{service}.{name}"));
                shards.push(Shard { name, service });
            }
        }
        let index_of = |share: usize| {
            let mut names = shards.iter().map(|shard| &shard.name);
            names.position(|name| *name == shares[share].name)
        };
        let ranges = ranges(&intervals, index_of).map_err(|problem| vec![problem])?;
        Ok(Self::of_ranges(shards, shares, ranges))
    }

    fn of_ranges(shards: Vec<Shard>, shares: &[ShareKeys], ranges: Vec<(String, usize)>) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        for (from, shard) in &ranges {
            hasher.update(from.as_bytes());
            hasher.update(b"\0");
            hasher.update(shards[*shard].service.as_bytes());
            hasher.update(b"\0");
        }
        Self {
            version: format!("{:08x}", hasher.finalize()),
            shares: shares.to_vec(),
            shards,
            ranges,
        }
    }

    /// The shard that has a scope.
    pub(crate) fn of(&self, scope: &Scope) -> &Shard {
        &self.shards[self.index_of(scope.as_str())]
    }

    fn index_of(&self, scope: &str) -> usize {
        let after = self
            .ranges
            .partition_point(|(from, _)| from.as_str() <= scope);
        self.ranges[after.saturating_sub(1)].1
    }

    /// The shards, in the order in which they are configured.
    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The same for every map that divides all scopes in the same way.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The part of one shard; `None` where there is no shard of this name.
    pub(crate) fn own(self: &Arc<Self>, name: &str) -> Option<Own> {
        let shard = self.shards.iter().position(|shard| shard.name == name)?;
        let map = self.clone();
        Some(Own { map, shard })
    }

    /// The map as clients are told it.
    pub(crate) fn reply(&self) -> Vec<u8> {
        let mut out = Object::data();
        out.text("version", &self.version).list("shards");
        for shard in &self.shards {
            out.item()
                .text("name", &shard.name)
                .text("service", &shard.service)
                .list("shares");
            for share in self.shares.iter().filter(|share| share.name == shard.name) {
                out.item();
                let bounds = [
                    ("prefix", &share.prefix),
                    ("from", &share.from),
                    ("until", &share.until),
                ];
                for (name, bound) in bounds {
                    if let Some(bound) = bound {
                        out.text(name, bound);
                    }
                }
                if share.rest {
                    out.flag("rest", true);
                }
                out.end();
            }
            out.end().end();
        }
        out.end().list("ranges");
        for (from, shard) in &self.ranges {
            out.item()
                .text("from", from)
                .text("shard", &self.shards[*shard].name)
                .end();
        }
        out.finish()
    }
}

impl Own {
    pub(crate) fn map(&self) -> &Shards {
        &self.map
    }

    pub(crate) fn shard(&self) -> &Shard {
        &self.map.shards[self.shard]
    }

    /// Whether this shard has a scope.
    pub(crate) fn has(&self, scope: &str) -> bool {
        self.map.index_of(scope) == self.shard
    }

    /// Refuses a scope of another shard, and says which one has it.
    pub(crate) fn check(&self, scope: &Scope) -> Result<(), Refusal> {
        if self.has(scope.as_str()) {
            return Ok(());
        }
        let (own, other) = (self.shard(), self.map.of(scope));
        let error = format!(
            "this is the shard {}, and {scope} is of the shard {}: ask {}",
            own.name, other.name, other.service
        );
        Err(Refusal::new(Code::WrongShard, error)
            .with("scope", scope.as_str())
            .with("shard", other.name.as_str())
            .with("service", other.service.as_str()))
    }
}

fn check_name(service: &str, name: &str) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !(1..=NAME_BYTES).contains(&name.len()) || !name.bytes().all(is_allowed) {
        return Err(format!(
            "expected 1 to {NAME_BYTES} letters, digits, - and _"
        ));
    }
    match format!("{service}.{name}").parse::<ServiceName>() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{service}.{name} is no service: {error}")),
    }
}

/// The shares that are equal, or cross.
fn collisions(shares: &[ShareKeys], intervals: &[Interval]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (later, interval) in intervals.iter().enumerate() {
        for (earlier, other) in intervals[..later].iter().enumerate() {
            let how = if interval == other {
                "is the same as"
            } else if interval.crosses(other) {
                "crosses"
            } else {
                continue;
            };
            let problem = format!(
                "expected a share that lies in another one or apart from it; {} {how} shards[{earlier}], {}",
                shares[later], shares[earlier]
            );
            problems.push(Problem::new(format!("shards[{later}]"), problem));
        }
    }
    problems
}

/// Every bound, with the shard of what comes from there up to the next one.
fn ranges(
    intervals: &[Interval],
    shard_of: impl Fn(usize) -> Option<usize>,
) -> Result<Vec<(String, usize)>, Problem> {
    if intervals.is_empty() {
        return Ok(Vec::new());
    }
    let bounds = intervals
        .iter()
        .flat_map(|it| [Some(it.from.as_str()), it.until.as_deref()]);
    let bounds: BTreeSet<&str> = bounds.flatten().chain([""]).collect();
    let mut ranges: Vec<(String, usize)> = Vec::new();
    for from in bounds {
        let around = intervals.iter().enumerate();
        let around = around.filter(|(_, it)| it.contains(from));
        // Of those that lie in each other, the innermost begins last and ends first.
        let innermost = around.max_by_key(|(_, it)| (it.from.clone(), Reverse(it.end())));
        let Some(shard) = innermost.and_then(|(share, _)| shard_of(share)) else {
            let expected = format!(
                "expected a shard for every scope, and none has those from {from:?} on: add a share \
                 with rest: true"
            );
            return Err(Problem::new("shards", expected));
        };
        if ranges.last().is_none_or(|(_, last)| *last != shard) {
            ranges.push((from.to_owned(), shard));
        }
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests;
