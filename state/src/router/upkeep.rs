//! Backups and their verification, by every shard at once.

use plantd_client::{Reply, Request, RequestError};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::forward::failed;
use super::gather::{Gathered, Told, lacking, success};
use super::{Answer, Router};
use crate::refusal::Refusal;
use crate::reply::Object;

/// Parts that are read ahead.
const AHEAD: u32 = 4;

/// How far a shard is: which one, and how much of how much is done.
type Progress = (usize, u64, u64);

impl Router {
    /// Has every shard do long work, and tells how far all of them are.
    pub(super) async fn upkeep(
        &self,
        operation: &str,
        has_progress: bool,
        request: &mut Request,
    ) -> Answer {
        let shards = self.map.shards();
        // One place: what the client has not taken is replaced by what comes later.
        let (sender, mut reports) = mpsc::channel::<Progress>(1);
        let mut working = JoinSet::new();
        for (index, shard) in shards.iter().enumerate() {
            let asked = self.passed_on(&self.streams, shard, request);
            let (router, shard, sender) = (self.clone(), shard.clone(), sender.clone());
            working.spawn(async move {
                let counted = router.metrics.forwarding(&shard);
                let worked = async {
                    let mut parts = asked.stream(AHEAD).await?;
                    while let Some(part) = parts.next().await {
                        let part = part?;
                        if part.is_final {
                            return Ok(Told::read(&shard, &part.body).map(|told| told.data));
                        }
                        if let Ok(told) = Told::read(&shard, &part.body) {
                            let number = |name| told.data.get(name).and_then(Value::as_u64);
                            let (done, total) = (number("done"), number("total"));
                            let progress =
                                (index, done.unwrap_or_default(), total.unwrap_or_default());
                            let _ = sender.try_send(progress);
                        }
                    }
                    Err(RequestError::ConnectionLost)
                };
                match worked.await {
                    Ok(told) => {
                        counted.ended("answered");
                        (index, told)
                    }
                    Err(error) => {
                        counted.ended(error.code());
                        (index, Err(lacking(&shard, error)))
                    }
                }
            });
        }
        drop(sender);
        let mut done = vec![None; shards.len()];
        let mut progress = vec![(0, 0); shards.len()];
        loop {
            tokio::select! {
                worked = working.join_next() => match worked {
                    Some(Ok((index, worked))) => done[index] = Some(worked),
                    Some(Err(_)) => {}
                    None => break,
                },
                Some((index, at, total)) = reports.recv() => {
                    progress[index] = (at, total);
                    if has_progress {
                        let sum = |of: fn(&(u64, u64)) -> u64| progress.iter().map(of).sum::<u64>();
                        let mut out = Object::data();
                        out.number("done", sum(|it| it.0)).number("total", sum(|it| it.1));
                        let part = self.marked(out.finish().into());
                        request.partials().send(part).await?;
                    }
                }
            }
        }
        let gone = || failed(&shards[0], RequestError::Closed);
        let mut worked = Vec::new();
        for (shard, done) in shards.iter().zip(done) {
            match done {
                Some(done) => worked.push((shard, done)),
                None => return gone(),
            }
        }
        Ok(together(operation, &worked))
    }
}

/// What it came to: sums, and each shard's own. One that failed makes all of it fail, and the others
/// are told of.
fn together(operation: &str, worked: &[Gathered<'_>]) -> Result<Reply, Refusal> {
    const SUMS: [&str; 5] = ["bytes", "commits", "scopes", "keys", "changes"];
    let mut sums: Map<String, Value> = Map::new();
    let mut names = Vec::new();
    let mut shards = Vec::new();
    let mut failure = None;
    for (shard, done) in worked {
        let mut row = Map::new();
        match done {
            Ok(data) => {
                for name in SUMS {
                    if let Some(number) = data.get(name).and_then(Value::as_u64) {
                        let sum = sums.get(name).and_then(Value::as_u64).unwrap_or_default();
                        sums.insert(name.to_owned(), sum.saturating_add(number).into());
                    }
                }
                let earliest = [sums.get("timestamp"), data.get("timestamp")];
                let earliest = earliest
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_u64)
                    .min();
                if let Some(earliest) = earliest {
                    sums.insert("timestamp".to_owned(), earliest.into());
                }
                if let Some(name) = data.get("backup").and_then(Value::as_str) {
                    names.push(format!("{}/{name}", shard.name));
                }
                row.clone_from(data);
            }
            Err(refusal) => {
                row.insert("code".to_owned(), refusal.code.as_str().into());
                row.insert("error".to_owned(), refusal.error.clone().into());
                failure.get_or_insert(refusal);
            }
        }
        row.insert("name".to_owned(), shard.name.clone().into());
        shards.push(Value::Object(row));
    }
    if let Some(failure) = failure {
        let error = format!("{operation}: {}", failure.error);
        return Err(Refusal::new(failure.code, error).with("shards", shards));
    }
    if !names.is_empty() {
        sums.insert("backup".to_owned(), names.join(", ").into());
    }
    sums.insert("shards".to_owned(), shards.into());
    Ok(success(&json!(sums)))
}
