//! Calls, serves, publishes and subscribes through plantd brokers; or any broker that speaks MDP/0.3,
//! and any XSUB/XPUB proxy of ZeroMQ.
//!
//! A [`Client`] asks services by name; a [`Worker`] answers for one. A [`Source`] publishes on a bus; a
//! [`Sink`] subscribes to one. All of them take several brokers, reconnect by themselves and may be
//! used from any task of a tokio runtime. [`State`] keeps values at the state service, through a client.
//!
//! Ask:
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use plantd_client::Client;
//!
//! let client = Client::connect("tcp://127.0.0.1:9797")?;
//! let reply = client
//!     .request("org.plantd.module.Echo", "hello")
//!     .timeout(Duration::from_secs(5))
//!     .await?;
//! assert_eq!(reply.body.text()?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! Answer:
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use plantd_client::{Request, Worker};
//!
//! let worker = Worker::builder("org.example.Upper")
//!     .broker("tcp://127.0.0.1:9797")
//!     .concurrency(8)
//!     .build()?;
//! let upper = |request: Request| async move { Ok(request.body().text()?.to_uppercase()) };
//! worker.serve(upper, std::future::pending()).await;
//! # Ok(())
//! # }
//! ```
//!
//! Publish:
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use plantd_client::Source;
//!
//! let source = Source::connect("tcp://127.0.0.1:11000")?;
//! source.publish("org.example.greeting", "hello")?;
//! let reading = source.publication("org.example.reading", r#"{"value": 20.5}"#);
//! reading.content_type("application/json").send()?;
//! source.flush().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Subscribe:
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use plantd_client::{Sink, SinkEvent};
//!
//! let mut sink = Sink::connect("tcp://127.0.0.1:11001")?;
//! sink.subscribe("org.example.")?;
//! while let Some(event) = sink.next().await {
//!     match event {
//!         SinkEvent::Message(publication) => println!("{publication:?}"),
//!         SinkEvent::Gap(gap) => eprintln!("missed {} of {}", gap.missed, gap.topic),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Keep state:
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use plantd_client::{Client, State};
//!
//! let client = Client::connect("tcp://127.0.0.1:9797")?;
//! let plant = State::new(&client).scope("org.example.Plant");
//! let written = plant.set("pump/1", &true).await?;
//! plant.set("pump/1", &false).if_version(written.version).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Without a broker
//! A worker can take clients itself, at [listeners](WorkerBuilder::listen) of its own, beside its brokers
//! or without any. Clients name its endpoint as they would a broker's.
//!
//! # Delivery
//! Delivery is **at least once**: a worker can die after the effect and before the answer, and the
//! request is then given to another one. A request that must not be done twice says
//! [`retry_never`](RequestBuilder::retry_never), and may then fail with
//! [`ConnectionLost`](RequestError::ConnectionLost) or [`WorkerLost`](RequestError::WorkerLost)
//! although it was done. A client gets at most one final answer to a request, and it is that
//! request's.
//!
//! What is published is delivered **at most once to a [`Sink`]**, and what it misses it is told: see
//! there. A [`Source`] keeps what no broker has read, within its buffer; a broker drops what a sink
//! that does not keep up has no room for.
//!
//! # Several brokers
//! A list of endpoints, or one name with several addresses, is a set of equal brokers: a client
//! spreads its requests over those that are up and resends what one leaves unanswered to another; a
//! worker registers at all of them; a source publishes to all that are up; a sink joins all, and gives
//! each publication of a source once. See [`ClientBuilder::broker`].
//!
//! # Features
//! `zeromq` (default): [`Transport::Zeromq`], which carries the same protocol over the `zeromq` crate.
//!
//! `cache`: `state::Cache`, with which a [`State`] answers reads from memory.
//!
//! What is not here: any dialect of Majordomo but MDP/0.3, except towards the clients of a worker that
//! listens itself.
#![warn(missing_docs)]

mod body;
mod brokers;
mod client;
mod config_error;
mod link;
mod property;
mod publication;
mod reply;
mod request_error;
mod sink;
mod source;
pub mod state;
mod status;
mod topic;
mod topic_set;
mod uplinks;
mod worker;

pub use body::{Body, NotText};
pub use client::{Client, ClientBuilder, MmiReply, Part, ReplyStream, RequestBuilder};
pub use config_error::ConfigError;
pub use link::Transport;
pub use plantd_mdp::{ErrorCode, InvalidServiceName, Properties, ServiceName, broker::Tally};
pub use plantd_zmtp::{Endpoint, EndpointError, Listener, Message};
pub use publication::{Publication, PublicationHeader, SourceId};
pub use reply::Reply;
pub use request_error::{RequestError, Unreachable};
pub use sink::{Gap, Sink, SinkBuilder, SinkClosed, SinkEvent, SubscribeError};
pub use source::{
    Burst, Heading, PublicationBuilder, PublishError, Source, SourceBuilder, SourceClosed,
    Unconfirmed,
};
pub use state::State;
pub use status::{BrokerStatus, Status};
pub use topic::{InvalidTopic, Topic};
pub use worker::{
    Answering, ListenerLimits, ListenerStatus, NobodyWaits, Partials, Pledge, Request, Served,
    Worker, WorkerBuilder, WorkerError,
};

/// A seed for jitter, which has to differ between processes and no more.
fn jitter_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}
