//! A worker that listens itself: what its clients get is what a broker would give them.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

mod brokers;
mod clients;
mod crowds;
mod drains;
mod parts;

use std::sync::Arc;
use std::time::Duration;

use plantd_client::{
    Body, Client, Listener, ListenerLimits, ListenerStatus, Request, Served, Worker, WorkerBuilder,
    WorkerError,
};
use plantd_tests::{PATIENCE, Peer, Peers, Wire, frames, properties};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The service that is served.
const SERVICE: &str = "echo";

/// A worker of its own for one test, on a free port.
///
/// It echoes, but for requests whose first frame is one of: `parts`, which it answers in three parts;
/// `wait`, which waits for [`Own::open`]; `flood`, which it answers in parts of 64 KiB as long as
/// somebody takes them; `fail`.
struct Own {
    runtime: Runtime,
    peers: Peers,
    status: watch::Receiver<ListenerStatus>,
    gate: Arc<Semaphore>,
    /// How many parts of floods were taken.
    flooded: watch::Receiver<u64>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<JoinHandle<Served>>,
}

impl Own {
    fn start() -> Self {
        Self::with(ListenerLimits::default(), |worker| worker.concurrency(4))
    }

    fn with(limits: ListenerLimits, change: impl FnOnce(WorkerBuilder) -> WorkerBuilder) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        let any = "tcp://127.0.0.1:0".parse().unwrap();
        let listener = runtime.block_on(Listener::bind(&any)).unwrap();
        let endpoint = listener.endpoint().to_string();
        let worker = Worker::builder(SERVICE).name("own").listen(listener);
        let worker = change(worker).listener_limits(limits).build().unwrap();
        let status = worker.listener_status();
        let gate = Arc::new(Semaphore::new(0));
        let (flood, flooded) = watch::channel(0);
        let (stop, stopped) = oneshot::channel();
        let handler = {
            let (gate, flood) = (gate.clone(), Arc::new(flood));
            move |request| answer(request, gate.clone(), flood.clone())
        };
        let served = runtime.spawn(async move {
            let stopped = async {
                // Whoever drops the other end wants the same.
                let _ = stopped.await;
            };
            worker.serve(handler, stopped).await
        });
        drop(_entered);
        Self {
            runtime,
            peers: Peers::new(endpoint),
            status,
            gate,
            flooded,
            stop: Some(stop),
            served: Some(served),
        }
    }

    fn endpoint(&self) -> &str {
        self.peers.endpoint()
    }

    fn dealer(&self) -> Peer {
        self.peers.dealer()
    }

    fn wire(&self) -> Wire {
        self.peers.wire()
    }

    /// A client of the library.
    fn client(&self) -> Client {
        let _entered = self.runtime.enter();
        Client::connect(self.endpoint()).unwrap()
    }

    fn block_on<F: Future>(&self, future: F) -> F::Output {
        let ended = self
            .runtime
            .block_on(async { timeout(PATIENCE, future).await });
        ended.expect("ends in time")
    }

    /// Lets requests through that wait.
    fn open(&self, requests: usize) {
        self.gate.add_permits(requests);
    }

    fn status(&self) -> ListenerStatus {
        self.status.borrow().clone()
    }

    fn rejected(&self, reason: &str) -> u64 {
        self.status().rejected()[reason]
    }

    /// Waits until its status is as a test wants it, by asking it for signs of life.
    #[track_caller]
    fn until(&self, what: &str, holds: impl Fn(&ListenerStatus) -> bool) {
        let observer = self.dealer();
        let deadline = plantd_tests::Deadline::start();
        while !holds(&self.status()) {
            observer.expect_nothing();
            assert!(
                !deadline.has_passed(),
                "waited in vain until {what}: {:?}",
                self.status()
            );
        }
    }

    /// Asks it to drain, and returns at once.
    fn request_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits for its end.
    fn ended(&mut self) -> Served {
        let served = self.served.take().unwrap();
        self.block_on(served).unwrap()
    }

    fn stop(mut self) {
        self.request_stop();
        assert_eq!(self.ended(), Served::Drained);
        let status = self.status();
        assert_eq!(status.connections, 0);
        assert_eq!(status.tally.unanswered, 0);
        assert_eq!(status.tally.held_bytes, 0);
    }
}

async fn answer(
    mut request: Request,
    gate: Arc<Semaphore>,
    flood: Arc<watch::Sender<u64>>,
) -> Result<Body, WorkerError> {
    let first = request.body().frame_bytes(0).unwrap_or_default();
    match &first[..] {
        b"parts" => {
            for part in ["a", "b", "c"] {
                request.partials().send(part).await?;
            }
            Ok("end".into())
        }
        b"wait" => {
            gate.acquire().await.unwrap().forget();
            Ok(request.into_body())
        }
        b"flood" => loop {
            request.partials().send(vec![0; 64 << 10]).await?;
            flood.send_modify(|taken| *taken += 1);
        },
        b"fail" => Err(WorkerError::new("sorry", "it fails")),
        _ => Ok(request.into_body()),
    }
}

/// The code of the ERROR that an MDP/0.3 client gets next.
#[track_caller]
fn failure(client: &Peer) -> String {
    let error = client.recv();
    assert_eq!(error.0[..2], frames!["MDPC03", 4].0, "{error:?}");
    let (_, mut properties) = properties(&error.0[3]);
    properties.remove("code").unwrap()
}

/// A second, for what must not take as long as a broken promise would.
const SECOND: Duration = Duration::from_secs(1);
