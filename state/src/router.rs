//! The router: hands requests on to the shards of their scopes, and has no store.
//!
//! Bodies go on and come back as they are. What is parsed of a request is which scopes it is about; what
//! is about no scope is asked of all shards, and their answers are put together (`gather`, `upkeep`).
//! What keeps a request from being handed on is answered so that a client knows whether it may have
//! been done (`forward`).

mod forward;
mod gather;
mod look;
mod metrics;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use plantd_client::{Client, Endpoint, Properties, Reply, Request, WorkerError};
use plantd_daemon::Daemon;
use plantd_daemon::config::OneOrMore;
use plantd_daemon::shutdown::Shutdown;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use crate::config::Config;
use crate::names::Scope;
use crate::refusal::{Code, Refusal};
use crate::reply::refused;
use crate::request::Aim;
use crate::service::clock;
use crate::serving::serve;
use crate::shards::{Shard, Shards};
use metrics::Published;

/// The property of a reply that says which map the router has.
const MAP_VERSION: &str = "shards";
/// Scopes that a refused batch is told of.
const TOLD_SCOPES: usize = 100;

/// The router. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Router {
    map: Arc<Shards>,
    service: String,
    /// What every reply says.
    properties: Properties,
    requests: Client,
    /// For answers in parts, which stay unanswered for long and would use up what a broker takes of
    /// one client.
    streams: Client,
    watches: Arc<Semaphore>,
    most_watches: usize,
    metrics: Published,
    stop: Shutdown,
}

/// What a request is answered: a reply, or a refusal. An error says that what became of it is not known.
type Answer = Result<Result<Reply, Refusal>, WorkerError>;

/// Hands requests on until the daemon is asked to stop.
///
/// # Errors
/// When the configuration cannot be used, or requests could not be finished in time.
pub(crate) async fn run(config: Config, daemon: Daemon) -> anyhow::Result<()> {
    let map = config.to_shards()?;
    let router = Router::new(&config, map, &daemon)?;
    let looking = router.clone().keep_looking(daemon.health.check("shards"));
    let looking = tokio::spawn(looking.in_current_span());
    let answer = move |request: Request| router.clone().answer(request);
    let served = serve(&config, &daemon, answer).await;
    looking.abort();
    served
}

impl Router {
    fn new(config: &Config, map: Arc<Shards>, daemon: &Daemon) -> anyhow::Result<Self> {
        let watches = config.limits.watches;
        let client = |most: usize| {
            let brokers = config.broker_endpoint.iter().flat_map(OneOrMore::iter);
            Client::builder()
                .brokers(brokers.map(Endpoint::to_string))
                .max_unanswered(most)
                .connect()
                .context("configure the client")
        };
        let most_requests = config.concurrency.saturating_mul(map.shards().len());
        Ok(Self {
            properties: Properties::default().with(MAP_VERSION, map.version()),
            service: config.service.clone(),
            // A broker takes 4,096 of one client, unless it is configured otherwise.
            requests: client(most_requests.min(4_096))?,
            streams: client(watches.saturating_add(map.shards().len()))?,
            watches: Arc::new(Semaphore::new(watches)),
            most_watches: watches,
            metrics: Published::register(&daemon.metrics),
            stop: daemon.shutdown.clone(),
            map,
        })
    }

    async fn answer(self, mut request: Request) -> Result<Reply, WorkerError> {
        let began = clock();
        let answer = match self.aim(&request) {
            Ok((name, aim)) => {
                self.metrics.asked.operation(name);
                self.hand_on(aim, &mut request).await?
            }
            Err(refusal) => Err(refusal),
        };
        let reply = answer.unwrap_or_else(|refusal| {
            self.metrics.asked.refused(refusal.code, 1);
            refused(&refusal).into()
        });
        let took = clock().saturating_duration_since(began);
        self.metrics.asked.seconds.observe(took.as_secs_f64());
        Ok(self.marked(reply))
    }

    fn aim(&self, request: &Request) -> Result<(&'static str, Aim), Refusal> {
        let (name, json) = crate::request::two_frames(request.body())?;
        Aim::parse(name, json)
    }

    async fn hand_on(&self, aim: Aim, request: &mut Request) -> Answer {
        match aim {
            Aim::Scope {
                scope,
                is_stream: false,
            } => self.forward(self.map.of(&scope), request).await,
            Aim::Scope {
                scope,
                is_stream: true,
            } => self.forward_watch(self.map.of(&scope), request).await,
            Aim::Batch(scopes) => match self.only_shard(&scopes) {
                Ok(shard) => self.forward(shard, request).await,
                Err(refusal) => Ok(Err(refusal)),
            },
            Aim::ListScopes(page) => Ok(self.list_scopes(&page, request).await),
            Aim::Health => Ok(Ok(self.health(request).await)),
            Aim::Stats => Ok(self.stats(request).await),
            Aim::Backup { has_progress } => self.upkeep("backup", has_progress, request).await,
            Aim::Verify {
                has_backup: true, ..
            } => Ok(Err(self.whose_backup())),
            Aim::Verify {
                has_backup: false,
                has_progress,
            } => self.upkeep("verify", has_progress, request).await,
            Aim::Shards => Ok(Ok(self.map.reply().into())),
        }
    }

    /// The shard of all of these, which a batch needs to be done at once.
    fn only_shard(&self, scopes: &[Scope]) -> Result<&Shard, Refusal> {
        let shards: BTreeMap<&Scope, &Shard> = scopes
            .iter()
            .map(|scope| (scope, self.map.of(scope)))
            .collect();
        let mut owners = shards.values();
        let first = owners.next().ok_or_else(|| {
            Refusal::new(Code::BadRequest, "operations: a batch has at least one")
        })?;
        let Some(other) = owners.find(|shard| **shard != *first) else {
            return Ok(*first);
        };
        let error = format!(
            "a batch is done at once, and so by one shard; this one has scopes of {} and {}",
            first.name, other.name
        );
        let told: Vec<serde_json::Value> = shards
            .iter()
            .take(TOLD_SCOPES)
            .map(|(scope, shard)| serde_json::json!({"scope": scope.as_str(), "shard": shard.name}))
            .collect();
        Err(Refusal::new(Code::CrossShard, error).with("scopes", told))
    }

    fn whose_backup(&self) -> Refusal {
        let services: Vec<&str> = self
            .map
            .shards()
            .iter()
            .map(|it| it.service.as_str())
            .collect();
        let error = format!(
            "backup: it is that of one shard; ask the one that made it: {}",
            services.join(", ")
        );
        Refusal::new(Code::BadRequest, error)
    }

    /// A reply that says which map this router has.
    fn marked(&self, reply: Reply) -> Reply {
        let properties = if reply.properties.is_empty() {
            self.properties.clone()
        } else {
            reply.properties.with(MAP_VERSION, self.map.version())
        };
        Reply {
            properties,
            ..reply
        }
    }
}
