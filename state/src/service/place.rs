//! Which scopes a service has: all of them, or those of its shard.
//!
//! What a store holds of other shards' scopes, since the map was another one, is neither served nor
//! deleted: it waits to be moved.

use crate::names::Scope;
use crate::refusal::Refusal;
use crate::request::Page;
use crate::shards::{Own, Shards};
use crate::store::{Fault, Reader};

/// Scopes that are looked at in one step.
const STEP: usize = 10_000;

/// Where a service stands.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The service that is served.
    pub(crate) service: String,
    /// `None`: every scope is its own.
    own: Option<Own>,
    /// How many scopes of other shards the store holds.
    outside: u64,
}

impl Place {
    pub(crate) fn new(service: String, own: Option<Own>) -> Self {
        Self {
            service,
            own,
            outside: 0,
        }
    }

    /// Finds the scopes of other shards that a store holds.
    pub(crate) fn find_outside(&mut self, reader: &Reader) -> Result<Vec<String>, Fault> {
        let mut found = Vec::new();
        let Some(own) = &self.own else {
            return Ok(found);
        };
        let mut page = Page {
            prefix: String::new(),
            after: None,
            limit: STEP,
        };
        loop {
            let (scopes, has_more) = reader.scopes(&page)?;
            page.after = scopes.last().cloned();
            found.extend(scopes.into_iter().filter(|scope| !own.has(scope)));
            if !has_more {
                self.outside = found.len() as u64;
                return Ok(found);
            }
        }
    }

    pub(super) fn check(&self, scope: &Scope) -> Result<(), Refusal> {
        self.own.as_ref().map_or(Ok(()), |own| own.check(scope))
    }

    /// How many scopes the store holds that are not served; `None` where there are no shards.
    pub(super) fn outside(&self) -> Option<u64> {
        self.own.as_ref().map(|_| self.outside)
    }

    pub(super) fn shards(&self) -> Vec<u8> {
        match &self.own {
            Some(own) => own.map().reply(),
            None => Shards::none().reply(),
        }
    }

    /// A page of the scopes that are served, and whether there are more.
    pub(super) fn scopes(
        &self,
        reader: &Reader,
        page: &Page,
    ) -> Result<(Vec<String>, bool), Fault> {
        let Some(own) = &self.own else {
            return reader.scopes(page);
        };
        let mut page = page.clone();
        let mut served = Vec::new();
        loop {
            let (scopes, has_more) = reader.scopes(&page)?;
            page.after = scopes.last().cloned().or(page.after);
            for scope in scopes.into_iter().filter(|scope| own.has(scope)) {
                if served.len() == page.limit {
                    return Ok((served, true));
                }
                served.push(scope);
            }
            if !has_more {
                return Ok((served, false));
            }
        }
    }
}
