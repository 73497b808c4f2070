//! Writes whose answer is lost: tried again, and done once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plantd_client::state::WriteError;
use plantd_client::{Body, Client, Request, RequestError, State, Transport, Worker, WorkerError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::installation::Installation;
use crate::over_both_transports;

over_both_transports!(
    a_write_that_is_committed_before_its_worker_dies_is_done_once,
    a_write_whose_worker_fails_after_the_commit_is_of_unknown_outcome,
    what_is_asked_while_the_daemon_is_away_is_done_when_it_is_back,
    a_write_that_may_be_forgotten_is_not_done_again,
    a_daemon_that_was_ended_in_the_middle_writes_nothing_once_another_one_does,
);

const REAL: &str = "org.plantd.State.real";
const SCOPE: &str = "org.example.Plant";
/// Nobody has written for so long when a daemon brings its table of values up to date.
const REST: Duration = Duration::from_millis(100);

/// Stands before the daemon: hands each request on, and has the answer when it may be lost.
struct Front(JoinHandle<()>);

impl Front {
    /// Tells of each answer of the daemon and gives it to nobody; from the one of this number on it
    /// answers.
    fn start(
        installation: &Installation,
        losses: &Arc<AtomicU32>,
        answered: mpsc::UnboundedSender<()>,
    ) -> Self {
        let client = installation.client();
        let worker = Worker::builder("org.plantd.State").broker(installation.endpoint());
        let worker = worker.concurrency(8).build().unwrap();
        let losses = losses.clone();
        let hand_on = move |request: Request| {
            let (client, losses, answered) = (client.clone(), losses.clone(), answered.clone());
            async move {
                let body = ask(&client, request.into_body()).await?;
                let less = |left: u32| left.checked_sub(1);
                let is_lost = losses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
                if is_lost.is_ok() {
                    answered.send(()).unwrap();
                    std::future::pending::<()>().await;
                }
                Ok(body)
            }
        };
        Self(tokio::spawn(async move {
            worker.serve(hand_on, std::future::pending()).await;
        }))
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn ask(client: &Client, body: Body) -> Result<Body, WorkerError> {
    let reply = client.request(REAL, body).await;
    reply
        .map(|reply| reply.body)
        .map_err(|error| WorkerError::new("lost", error.to_string()))
}

async fn a_write_that_is_committed_before_its_worker_dies_is_done_once(transport: Transport) {
    // The broker gives a request away three times; the library asks again after that.
    const LOSSES: u32 = 5;
    let mut installation = Installation::without_daemon(transport).await;
    installation.start_daemon(&[("SERVICE", REAL)]);
    let losses = Arc::new(AtomicU32::new(LOSSES));
    let (answered, mut is_answered) = mpsc::unbounded_channel();
    let mut front = Front::start(&installation, &losses, answered.clone());
    let scope = installation.state().scope(SCOPE);
    let writing = tokio::spawn(scope.set("a", &1).create_only().into_future());
    for _ in 0..LOSSES {
        is_answered.recv().await.unwrap();
        // Killed between the commit and the answer.
        front = Front::start(&installation, &losses, answered.clone());
    }
    let written = writing.await.unwrap().unwrap();
    assert_eq!(written.previous, 0);
    assert_eq!(scope.stats().await.unwrap().sequence, written.version);
    assert_eq!(scope.history("a").all().await.unwrap().len(), 1);
    drop(front);
}

async fn a_write_whose_worker_fails_after_the_commit_is_of_unknown_outcome(transport: Transport) {
    let mut installation = Installation::without_daemon(transport).await;
    installation.start_daemon(&[("SERVICE", REAL)]);
    let losses = Arc::new(AtomicU32::new(1));
    let (answered, is_answered) = mpsc::unbounded_channel();
    // Nobody is there to be told, and so the handler panics.
    drop(is_answered);
    let _front = Front::start(&installation, &losses, answered);
    let scope = installation.state().scope(SCOPE);
    let ended = scope.set("a", &1).await.unwrap_err();
    assert!(
        matches!(
            ended,
            WriteError::UnknownOutcome(RequestError::WorkerError { .. })
        ),
        "{ended:?}"
    );
    assert_eq!(scope.get::<u8>("a").await.unwrap().unwrap().value, 1);
}

async fn what_is_asked_while_the_daemon_is_away_is_done_when_it_is_back(transport: Transport) {
    let mut installation = Installation::start(transport).await;
    let scope = installation.state().scope(SCOPE);
    let before = scope.set("a", &1).await.unwrap();
    installation.kill_daemon().await;
    let (writer, reader) = (scope.clone(), scope.clone());
    let writing = tokio::spawn(async move { writer.set("a", &2).await });
    let reading = tokio::spawn(async move { reader.get::<u8>("a").await });
    installation.start_daemon(&[]);
    assert_eq!(writing.await.unwrap().unwrap().previous, before.version);
    assert!(reading.await.unwrap().unwrap().is_some());
}

/// Stands before the daemon as a router would, and says of the first answer that it was lost.
fn losing_the_first(installation: &Installation) -> JoinHandle<()> {
    let client = installation.client();
    let worker = Worker::builder("org.plantd.State").broker(installation.endpoint());
    let worker = worker.build().unwrap();
    let hand_on = move |request: Request| {
        let client = client.clone();
        async move {
            let name = "asked-before-ms";
            let before = request.property(name).map(str::to_owned);
            let asked = client.request(REAL, request.into_body());
            let Some(before) = before else {
                asked.await.unwrap();
                return Err(WorkerError::new("connection-lost", "the answer was lost"));
            };
            Ok(asked.property(name, before).await.unwrap().body)
        }
    };
    tokio::spawn(async move {
        worker.serve(hand_on, std::future::pending()).await;
    })
}

async fn a_write_that_may_be_forgotten_is_not_done_again(transport: Transport) {
    for (window, is_remembered) in [("1h", true), ("0", false)] {
        let mut installation = Installation::without_daemon(transport).await;
        installation.start_daemon(&[("SERVICE", REAL), ("RETRY_WINDOW", window)]);
        let front = losing_the_first(&installation);
        let scope = installation.state().scope(SCOPE);
        let written = scope.set("a", &1).await;
        if is_remembered {
            assert_eq!(written.unwrap().previous, 0);
        } else {
            let ended = written.unwrap_err();
            let lost = WriteError::UnknownOutcome(RequestError::ConnectionLost);
            assert_eq!(ended.to_string(), lost.to_string());
            assert!(matches!(ended, WriteError::UnknownOutcome(_)), "{ended:?}");
        }
        let real = State::builder(&installation.client()).service(REAL).build();
        assert_eq!(real.scope(SCOPE).history("a").all().await.unwrap().len(), 1);
        front.abort();
    }
}

async fn a_daemon_that_was_ended_in_the_middle_writes_nothing_once_another_one_does(
    transport: Transport,
) {
    let mut installation = Installation::start(transport).await;
    let scope = installation.state().scope(SCOPE);
    let mut at = scope.set("key", &0).await.unwrap().version;
    // The table of values does not have it yet, so that the daemon has something to write when it rests.
    installation.kill_daemon().await;
    installation.start_daemon(&[]);
    for _ in 0..3 {
        at += 1;
        assert_eq!(scope.set("key", &at).await.unwrap().version, at);
    }
    let looking = async {
        loop {
            assert_eq!(scope.stats().await.unwrap().sequence, at);
        }
    };
    // It goes on looking until then.
    let _ = tokio::time::timeout(4 * REST, looking).await;
    let state = installation.state();
    let verified = state.verify(None).await.unwrap().done().await.unwrap();
    assert_eq!(verified.keys, 1);
}
