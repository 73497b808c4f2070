//! Clients that ask all the time, and write down what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plantd_client::{Client, RequestError, Transport};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::dice::Dice;
use crate::ledger::{Ending, Ledger};
use crate::processes::worker::SERVICE;
use crate::raw_client::RawClient;
use crate::scene::Scene;

/// Askers for each client of the library.
const ASKERS: usize = 8;
/// How long a request may take.
const DEADLINE: Duration = Duration::from_secs(4);
/// How much longer an asker may take to say so, on a machine that is busy.
const SLACK: Duration = Duration::from_secs(20);

/// The clients of a round.
pub(crate) struct Load {
    stopping: Arc<AtomicBool>,
    askers: Vec<JoinHandle<()>>,
    raw: RawClient,
}

impl Load {
    /// Starts to ask. `patience` is how long who asks only once waits for each answer.
    pub(crate) fn start(scene: &mut Scene, patience: Duration) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut askers = Vec::new();
        let endpoint = scene.dialled().to_owned();
        let _entered = scene.runtime.enter();
        for transport in [Transport::Plantd, Transport::Zeromq] {
            let soon = Duration::from_millis(50);
            let client = Client::builder()
                .broker(&endpoint)
                .transport(transport)
                .reconnect_delays(soon, 10 * soon)
                .connect()
                .expect("an endpoint is an endpoint");
            for _ in 0..ASKERS {
                let asker = Asker {
                    client: client.clone(),
                    ledger: scene.ledger.clone(),
                    dice: scene.dice.another(),
                    stopping: Arc::clone(&stopping),
                };
                askers.push(tokio::spawn(asker.asks()));
            }
        }
        Self {
            raw: RawClient::start(
                endpoint,
                scene.ledger.clone(),
                Arc::clone(&stopping),
                patience,
            ),
            stopping,
            askers,
        }
    }

    /// Asks nothing more, and waits until everything that was asked has ended, or is lost.
    pub(crate) fn end(self, scene: &Scene) {
        self.stopping.store(true, Ordering::Relaxed);
        scene.runtime.block_on(async {
            for asker in self.askers {
                // What an asker still waits for has no end in the ledger, and counts as lost.
                let _late = timeout(DEADLINE + SLACK, asker).await;
            }
        });
        self.raw.join();
    }
}

struct Asker {
    client: Client,
    ledger: Ledger,
    dice: Dice,
    stopping: Arc<AtomicBool>,
}

impl Asker {
    async fn asks(mut self) {
        while !self.stopping.load(Ordering::Relaxed) {
            let once_at_most = self.dice.chance(30);
            let id = self.ledger.asks(once_at_most);
            let milliseconds = self.dice.count(0..=30);
            let body = format!("{id} {milliseconds} 0");
            let mut request = self.client.request(SERVICE, body).timeout(DEADLINE);
            if once_at_most {
                request = request.retry_never();
            }
            let ending = match request.await {
                Ok(reply) => Ending::Answered(reply.body.text().unwrap_or_default().to_owned()),
                Err(RequestError::Timeout | RequestError::ConnectionLost) => {
                    Ending::Unknown("time or connection".to_owned())
                }
                Err(error) => Ending::Failed(error.code().to_owned()),
            };
            let failed = !matches!(ending, Ending::Answered(_));
            self.ledger.ends(id, ending);
            if failed {
                sleep(self.dice.milliseconds(1..=20)).await;
            }
        }
    }
}
