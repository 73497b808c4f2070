//! What is asked of all shards, and one answer of theirs.

use std::time::Duration;

use plantd_client::{Reply, Request};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::{Router, forward::failed};
use crate::refusal::{Code, Refusal};
use crate::reply::Object;
use crate::request::Page;
use crate::shards::Shard;

/// How long a shard is waited for where all of them are asked.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for what asks whether it is there.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// The JSON of a reply.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    success: bool,
    error: String,
    code: String,
    pub(super) data: Map<String, Value>,
}

/// What a shard came to.
pub(super) type Gathered<'a> = (&'a Shard, Result<Map<String, Value>, Refusal>);

impl Told {
    /// Reads what a shard answered.
    ///
    /// # Errors
    /// What it refused, or that it cannot be read.
    pub(super) fn read(shard: &Shard, body: &plantd_client::Body) -> Result<Self, Refusal> {
        let told = body.text().map_err(|error| error.to_string());
        let told = told
            .and_then(|text| serde_json::from_str::<Self>(text).map_err(|error| error.to_string()));
        let told = told.map_err(|error| {
            let error = format!(
                "the shard {}: the answer cannot be read: {error}",
                shard.name
            );
            Refusal::new(Code::Unavailable, error)
        })?;
        if told.success {
            return Ok(told);
        }
        let code = Code::parse(&told.code).unwrap_or(Code::Unavailable);
        let error = format!("the shard {}: {}", shard.name, told.error);
        Err(Refusal::new(code, error).with("shard", shard.name.as_str()))
    }
}

impl Router {
    /// Asks every shard the same, and gives the answers in the order of the map.
    async fn gather(&self, request: &Request, patience: Duration) -> Vec<Gathered<'_>> {
        let patience = request
            .time_left()
            .map_or(patience, |left| left.min(patience));
        let mut asking = JoinSet::new();
        for (index, shard) in self.map.shards().iter().enumerate() {
            let asked = self
                .passed_on(&self.requests, shard, request)
                .timeout(patience);
            let (router, shard) = (self.clone(), shard.clone());
            asking.spawn(async move {
                let counted = router.metrics.forwarding(&shard);
                let answer = match asked.await {
                    Ok(reply) => {
                        counted.ended("answered");
                        Told::read(&shard, &reply.body)
                    }
                    Err(error) => {
                        counted.ended(error.code());
                        Err(lacking(&shard, error))
                    }
                };
                (index, answer.map(|told| told.data))
            });
        }
        let mut answers: Vec<_> = self
            .map
            .shards()
            .iter()
            .map(|shard| (shard, None))
            .collect();
        while let Some(Ok((index, answer))) = asking.join_next().await {
            answers[index].1 = Some(answer);
        }
        let gone = || Err(Refusal::new(Code::Draining, "the router stops"));
        let answers = answers.into_iter();
        answers
            .map(|(shard, answer)| (shard, answer.unwrap_or_else(gone)))
            .collect()
    }

    /// A page of the scopes of all shards.
    pub(super) async fn list_scopes(
        &self,
        page: &Page,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        #[derive(Deserialize)]
        struct Listed {
            scopes: Vec<String>,
            next: Option<String>,
        }
        let mut scopes = Vec::new();
        // Up to here every shard has told what it has.
        let mut told_until: Option<String> = None;
        for (shard, answer) in self.gather(request, PATIENCE).await {
            let listed = serde_json::from_value::<Listed>(Value::Object(answer?));
            let listed = listed.map_err(|error| {
                let error = format!(
                    "the shard {}: the answer cannot be read: {error}",
                    shard.name
                );
                Refusal::new(Code::Unavailable, error)
            })?;
            scopes.extend(listed.scopes);
            told_until = match (told_until, listed.next) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
        scopes.sort_unstable();
        let mut has_more = told_until.is_some();
        if let Some(last) = &told_until {
            scopes.retain(|scope| scope <= last);
        }
        if scopes.len() > page.limit {
            scopes.truncate(page.limit);
            has_more = true;
        }
        let mut out = Object::data();
        out.list("scopes");
        for scope in &scopes {
            out.text_item(scope);
        }
        out.end().number("count", scopes.len() as u64);
        if let (true, Some(last)) = (has_more, scopes.last()) {
            out.text("next", last);
        }
        Ok(out.finish().into())
    }

    /// How every shard is.
    pub(super) async fn health(&self, request: &Request) -> Reply {
        let mut is_healthy = true;
        let mut is_available = true;
        let mut shards = Vec::new();
        for (shard, answer) in self.gather(request, SHORT_PATIENCE).await {
            let status = match &answer {
                Ok(data) => data.get("status").and_then(Value::as_str),
                Err(refusal) => Some(refusal.code.as_str()),
            };
            let status = status.unwrap_or_default();
            let has_store = answer.as_ref().is_ok_and(|data| {
                let available = data.get("store_available");
                available.and_then(Value::as_bool).unwrap_or(false)
            });
            is_healthy &= status == "healthy";
            is_available &= has_store;
            shards.push(json!({"name": shard.name, "service": shard.service, "status": status}));
        }
        success(&json!({
            "status": if is_healthy { "healthy" } else { "degraded" },
            "service": self.service,
            "store_available": is_available,
            "shards": shards,
        }))
    }

    /// What all shards count, together and one by one.
    pub(super) async fn stats(&self, request: &Request) -> Result<Reply, Refusal> {
        const SUMS: [&str; 7] = [
            "scopes",
            "keys",
            "commits",
            "file-bytes",
            "wal-bytes",
            "watches",
            "outside",
        ];
        let mut sums = [0_u64; SUMS.len()];
        let mut oldest_backup = Some(0);
        let mut shards = Vec::new();
        for (shard, answer) in self.gather(request, PATIENCE).await {
            let mut data = answer?;
            let number = |name: &str| data.get(name).and_then(Value::as_u64);
            for (sum, name) in sums.iter_mut().zip(SUMS) {
                *sum = sum.saturating_add(number(name).unwrap_or_default());
            }
            oldest_backup = match (oldest_backup, number("backup-age")) {
                (Some(oldest), Some(age)) => Some(age.max(oldest)),
                (_, _) => None,
            };
            data.insert("name".to_owned(), shard.name.clone().into());
            shards.push(Value::Object(data));
        }
        let sums = SUMS.iter().zip(sums);
        let mut data: Map<String, Value> = sums
            .map(|(name, sum)| ((*name).to_owned(), sum.into()))
            .collect();
        if let Some(age) = oldest_backup {
            data.insert("backup-age".to_owned(), age.into());
        }
        data.insert("version".to_owned(), plantd_daemon::VERSION.into());
        data.insert("shards".to_owned(), shards.into());
        Ok(success(&Value::Object(data)))
    }
}

/// The reply to what was done.
pub(super) fn success(data: &Value) -> Reply {
    json!({"success": true, "data": data}).to_string().into()
}

/// That a shard did not answer what changes nothing, or is told of by itself.
pub(super) fn lacking(shard: &Shard, error: plantd_client::RequestError) -> Refusal {
    match failed(shard, error) {
        Ok(Err(refusal)) => refusal,
        Ok(Ok(_)) => Refusal::new(Code::Unavailable, "it has no answer"),
        Err(error) => {
            Refusal::new(Code::Unavailable, error.message).with("shard", shard.name.as_str())
        }
    }
}
