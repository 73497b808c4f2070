//! What a daemon is where there are shards.

use std::sync::Arc;

use anyhow::Context as _;
use plantd_daemon::config::Problem;
use serde::{Deserialize, Serialize};

use super::Config;
use crate::shards::{Own, Shards};

/// What a daemon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It serves a store: that of one shard, where there are shards.
    Store,
    /// It hands requests on to the shards.
    Router,
}

impl Config {
    /// What is wrong with the shards, and with what this daemon is of them.
    pub(super) fn shard_problems(&self) -> Vec<Problem> {
        let map = match Shards::parse(&self.service, &self.shards) {
            Ok(map) => map,
            Err(problems) => return problems,
        };
        let names: Vec<&str> = map.shards().iter().map(|it| it.name.as_str()).collect();
        let names = names.join(", ");
        let problem = match (self.role, &self.shard) {
            (Role::Store, None) if names.is_empty() => return Vec::new(),
            (Role::Router, _) if names.is_empty() => Problem::new(
                "role",
                "expected store: there are no shards to hand requests on to",
            ),
            (Role::Store, Some(_)) if names.is_empty() => {
                Problem::new("shard", "expected none: shards has none")
            }
            (Role::Store, None) => {
                let expected = format!("expected one of {names}, or role: router");
                Problem::new("shard", expected)
            }
            (Role::Router, Some(_)) => Problem::new("shard", "expected none: a router is no shard"),
            (Role::Store, Some(name)) if map.shards().iter().all(|it| it.name != *name) => {
                Problem::new("shard", format!("expected one of {names}"))
            }
            (Role::Store, Some(_)) | (Role::Router, None) => return Vec::new(),
        };
        vec![problem]
    }

    /// The service that this daemon serves.
    pub fn served_service(&self) -> String {
        match &self.shard {
            Some(shard) => format!("{}.{shard}", self.service),
            None => self.service.clone(),
        }
    }

    pub(crate) fn to_shards(&self) -> anyhow::Result<Arc<Shards>> {
        let map = Shards::parse(&self.service, &self.shards);
        let problems = |problems: Vec<Problem>| {
            let problems = problems
                .iter()
                .map(|it| format!("{}: {}", it.key, it.expected));
            anyhow::anyhow!(problems.collect::<Vec<_>>().join("; "))
        };
        map.map(Arc::new).map_err(problems)
    }

    /// Which shard this daemon is; `None` where it has every scope.
    pub(crate) fn to_own(&self) -> anyhow::Result<Option<Own>> {
        let Some(name) = &self.shard else {
            return Ok(None);
        };
        let own = self.to_shards()?.own(name);
        own.map(Some)
            .with_context(|| format!("there is no shard {name}"))
    }
}
