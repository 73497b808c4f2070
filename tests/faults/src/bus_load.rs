//! Sources that publish and sinks that listen, while their broker is killed and others never read.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plantd_client::{Sink, SinkEvent, Source, Transport};
use plantd_tests::{PATIENCE, Wire};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::scene::Scene;

/// Sources, each on a topic of its own.
const SOURCES: usize = 2;
const TOPIC: &str = "org.plantd.faults";
const BODY_BYTES: usize = 8 * 1024;

/// Where a bus is, on ports that stay the same when its broker is started again.
#[derive(Debug, Clone)]
pub(crate) struct BusPorts {
    frontend: String,
    backend: String,
}

impl BusPorts {
    /// Two ports that are free.
    pub(crate) fn free() -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [frontend, backend] = listeners.map(|listener| {
            let address = listener.local_addr().expect("a listener has an address");
            format!("tcp://{address}")
        });
        Self { frontend, backend }
    }

    /// The value of the broker's key `buses`.
    pub(crate) fn key(&self) -> String {
        let Self { frontend, backend } = self;
        format!(
            "[{{name: faults, frontend: \"{frontend}\", backend: \"{backend}\", outbox: 256KiB}}]"
        )
    }
}

/// What was published, and what became of it.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct BusFigures {
    /// What sources were given to publish.
    pub published: u64,
    /// What a sink was given.
    pub received: u64,
    /// What a sink was told that it has missed.
    pub missed: u64,
}

/// Sources, a sink for each transport, and a subscriber that never reads.
pub(crate) struct BusLoad {
    stopping: Arc<AtomicBool>,
    sources: Vec<JoinHandle<(Source, u64)>>,
    sinks: Vec<JoinHandle<Result<BusFigures, String>>>,
}

impl BusLoad {
    pub(crate) fn start(scene: &Scene, ports: &BusPorts) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let _entered = scene.runtime.enter();
        let soon = Duration::from_millis(50);
        let sinks = [Transport::Plantd, Transport::Zeromq].map(|transport| {
            let sink = Sink::builder().broker(&ports.backend).transport(transport);
            let sink = sink
                .reconnect_delays(soon, 10 * soon)
                .subscribe(TOPIC)
                .build();
            tokio::spawn(listen(sink.expect("an endpoint is an endpoint")))
        });
        let sources = (0..SOURCES).map(|number| {
            let source = Source::builder().broker(&ports.frontend);
            let source = source.reconnect_delays(soon, 10 * soon).build();
            let source = source.expect("an endpoint is an endpoint");
            tokio::spawn(publish(source, number, Arc::clone(&stopping)))
        });
        Self {
            sources: sources.collect(),
            sinks: sinks.into(),
            stopping,
        }
    }

    /// Publishes the last of each source until it is heard by every sink, and gives what was heard.
    ///
    /// # Errors
    /// What a sink was not given and not told of, and who is not back.
    pub(crate) fn end(self, scene: &Scene) -> Result<BusFigures, String> {
        self.stopping.store(true, Ordering::Relaxed);
        scene.runtime.block_on(async {
            let mut sum = BusFigures::default();
            let mut sources = Vec::new();
            for source in self.sources {
                let (source, published) = source.await.map_err(|error| error.to_string())?;
                sum.published += published;
                sources.push(source);
            }
            // Whoever has just connected again may miss the first that is published after that.
            let last = async {
                loop {
                    for (number, source) in sources.iter().enumerate() {
                        let _full = source.publish(topic(number), "last");
                    }
                    sleep(Duration::from_millis(20)).await;
                }
            };
            let heard = async {
                for sink in self.sinks {
                    let heard = sink.await.map_err(|error| error.to_string())??;
                    sum.received += heard.received;
                    sum.missed += heard.missed;
                }
                Ok(sum)
            };
            let ended = timeout(PATIENCE, async {
                tokio::select! {
                    heard = heard => heard,
                    () = last => Err("publishing ended".to_owned()),
                }
            });
            ended
                .await
                .unwrap_or_else(|_| Err("a sink or a source is not back".to_owned()))
        })
    }
}

fn topic(number: usize) -> String {
    format!("{TOPIC}.{number}")
}

async fn publish(source: Source, number: usize, stopping: Arc<AtomicBool>) -> (Source, u64) {
    let topic = topic(number);
    let mut published = 0;
    while !stopping.load(Ordering::Relaxed) {
        let body = format!("{} {}", published + 1, "x".repeat(BODY_BYTES));
        // A source whose buffer is full takes nothing, and has nothing to count.
        published += u64::from(source.publish(&topic, body).is_ok());
        sleep(Duration::from_millis(2)).await;
    }
    (source, published)
}

/// Listens until the last of each source has come. What comes must be the next, or follow a gap of
/// just what is missing.
async fn listen(mut sink: Sink) -> Result<BusFigures, String> {
    let mut figures = BusFigures::default();
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = std::collections::BTreeSet::new();
    while last.len() < SOURCES {
        match sink.next().await {
            None => return Err("a sink has ended".to_owned()),
            Some(SinkEvent::Gap(gap)) => {
                figures.missed += gap.missed;
                let topic = String::from_utf8_lossy(gap.topic.as_bytes()).into_owned();
                *next.entry(topic).or_default() += gap.missed;
            }
            Some(SinkEvent::Message(publication)) => {
                figures.received += 1;
                let topic = String::from_utf8_lossy(publication.topic.as_bytes()).into_owned();
                let body = publication.body.text().unwrap_or_default();
                if body == "last" {
                    last.insert(topic);
                    continue;
                }
                let number = body
                    .split(' ')
                    .next()
                    .and_then(|number| number.parse().ok());
                let number: u64 = number.ok_or("a publication without a number")?;
                let expected = next.entry(topic.clone()).or_insert(number);
                if number != *expected {
                    return Err(format!("{topic}: {number} came, and {expected} was next"));
                }
                *expected += 1;
            }
        }
    }
    Ok(figures)
}

/// A subscriber that never reads, as one that is stopped.
pub(crate) fn deaf(ports: &BusPorts) -> Wire {
    let mut wire = Wire::connect(&ports.backend);
    wire.write(&Wire::greeting(3, 1));
    wire.write(&Wire::ready("SUB"));
    let mut subscribe = b"\x04\x0a\x09SUBSCRIBE".to_vec();
    subscribe[1] = (10 + TOPIC.len()) as u8;
    subscribe.extend(TOPIC.as_bytes());
    wire.write(&subscribe);
    wire
}
