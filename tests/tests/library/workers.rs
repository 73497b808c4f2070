//! Workers that drain, die and come back under load (cases 17 to 19 and 71).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use plantd_client::{Client, Request, RequestError, Served, Transport, WorkerError};
use plantd_tests::Plant;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::serving::{Serving, worker};
use crate::{connected, over_both_transports};

over_both_transports!(
    case_71_a_worker_that_drains_under_load_loses_nothing_and_no_attempt_counts,
    case_18_workers_that_die_under_load_leave_every_request_answered_once_or_reported,
    case_62_a_request_that_is_never_to_be_retried_is_done_at_most_once,
);

/// Which attempts at each request were begun, by its body.
type Attempts = Arc<Mutex<BTreeMap<String, Vec<u64>>>>;

/// Serves under record, each request once it gets a permit.
async fn serve(
    transport: Transport,
    brokers: &[&str],
    attempts: &Attempts,
    pace: &Arc<Semaphore>,
) -> Serving {
    let (attempts, pace) = (attempts.clone(), pace.clone());
    let record = move |request: Request| {
        let (attempts, pace) = (attempts.clone(), pace.clone());
        async move {
            let body = request.body().text().unwrap().to_owned();
            let attempt = request.attempt();
            attempts
                .lock()
                .unwrap()
                .entry(body.clone())
                .or_default()
                .push(attempt);
            pace.acquire().await.unwrap().forget();
            Ok::<_, WorkerError>(body)
        }
    };
    let worker = worker(transport, "work", brokers).concurrency(4);
    Serving::start(worker, record).await
}

/// Asks for each number, all at once; the outcomes by number.
fn ask_all(client: &Client, numbers: u32) -> JoinSet<(u32, Result<(), RequestError>)> {
    let mut asking = JoinSet::new();
    for number in 0..numbers {
        let client = client.clone();
        asking.spawn(async move {
            let body = number.to_string();
            let reply = client
                .request("work", body.clone())
                .timeout(Duration::from_secs(30))
                .await;
            let checked = reply.map(|reply| assert_eq!(reply.body.text().unwrap(), body));
            (number, checked)
        });
    }
    asking
}

fn case_71_a_worker_that_drains_under_load_loses_nothing_and_no_attempt_counts(
    transport: Transport,
) {
    const REQUESTS: u32 = 400;
    let plant = Plant::start();
    let attempts = Attempts::default();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let pace = Arc::new(Semaphore::new(0));
        let leaving = serve(transport, &brokers, &attempts, &pace).await;
        let staying = serve(transport, &brokers, &attempts, &pace).await;
        let client = connected(transport, &brokers).await;
        let mut asking = ask_all(&client, REQUESTS);
        for _ in 0..REQUESTS / 4 {
            pace.add_permits(1);
            asking.join_next().await.unwrap().unwrap().1.unwrap();
        }
        pace.add_permits(REQUESTS as usize);
        assert_eq!(leaving.stop().await, Served::Drained);
        while let Some(asked) = asking.join_next().await {
            asked.unwrap().1.unwrap();
        }
        assert_eq!(staying.stop().await, Served::Drained);
    });
    let attempts = attempts.lock().unwrap();
    assert_eq!(attempts.len(), REQUESTS as usize);
    let done_once = |(body, begun): (&String, &Vec<u64>)| assert_eq!(begun[..], [1], "of {body}");
    attempts.iter().for_each(done_once);
    plant.assert_rejected(&[]);
}

fn case_18_workers_that_die_under_load_leave_every_request_answered_once_or_reported(
    transport: Transport,
) {
    const REQUESTS: u32 = 300;
    const DEATHS: u32 = 20;
    let plant = Plant::start();
    let attempts = Attempts::default();
    let mut random = StdRng::seed_from_u64(18);
    let mut lost = 0;
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let pace = Arc::new(Semaphore::new(0));
        let mut workers = Vec::new();
        for _ in 0..3 {
            workers.push(serve(transport, &brokers, &attempts, &pace).await);
        }
        let client = connected(transport, &brokers).await;
        let mut asking = ask_all(&client, REQUESTS);
        let mut outcomes = BTreeMap::new();
        let mut record = |(number, outcome)| {
            assert!(
                outcomes.insert(number, outcome).is_none(),
                "{number} ends once"
            );
        };
        for _ in 0..DEATHS {
            for _ in 0..random.random_range(1..8) {
                pace.add_permits(1);
                record(asking.join_next().await.unwrap().unwrap());
            }
            let victim = random.random_range(0..workers.len());
            drop(workers.swap_remove(victim));
            workers.push(serve(transport, &brokers, &attempts, &pace).await);
        }
        // Permits of handlers that died are lost with them.
        pace.add_permits(10 * REQUESTS as usize);
        while let Some(asked) = asking.join_next().await {
            record(asked.unwrap());
        }
        assert_eq!(outcomes.len(), REQUESTS as usize);
        for (number, outcome) in outcomes {
            match outcome {
                Ok(()) => {}
                Err(RequestError::WorkerLost { .. }) => lost += 1,
                Err(other) => panic!("{number} ended by {other:?}"),
            }
        }
    });
    let attempts = attempts.lock().unwrap();
    for (body, begun) in attempts.iter() {
        assert!(begun.len() <= 3, "{body} was begun {begun:?}");
    }
    let reading = plant.metrics();
    assert_eq!(reading.value("requests_total"), u64::from(REQUESTS));
    assert_eq!(reading.value("replies_total") + lost, u64::from(REQUESTS));
    assert_eq!(reading.failed("worker-lost"), lost);
    assert_eq!(reading.value("requests_unanswered"), 0);
    plant.assert_rejected(&[]);
}

fn case_62_a_request_that_is_never_to_be_retried_is_done_at_most_once(transport: Transport) {
    let plant = Plant::start();
    let attempts = Attempts::default();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let pace = Arc::new(Semaphore::new(0));
        let dying = serve(transport, &brokers, &attempts, &pace).await;
        let client = connected(transport, &brokers).await;
        let asking = tokio::spawn(client.request("work", "once").retry_never().into_future());
        while attempts.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        let next = serve(transport, &brokers, &attempts, &pace).await;
        drop(dying);
        let ended = asking.await.unwrap();
        assert!(
            matches!(ended, Err(RequestError::WorkerLost { .. })),
            "{ended:?}"
        );
        drop(next);
    });
    assert_eq!(attempts.lock().unwrap()["once"], [1]);
}
