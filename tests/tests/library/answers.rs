//! Requests and what they end with (cases 5, 6, 61, 68 and 69).

use std::sync::Arc;
use std::time::Duration;

use plantd_client::{
    Answering, Body, Pledge, Reply, Request, RequestError, Served, Transport, WorkerError,
};
use plantd_tests::Plant;
use tokio::sync::{Notify, mpsc};

use crate::serving::{Dropped, Serving, echo, worker};
use crate::{connected, over_both_transports};

over_both_transports!(
    case_05_bodies_of_many_sizes_and_frames_come_back_as_they_were,
    case_06_many_requests_in_flight_get_their_own_answers,
    case_61_a_late_answer_is_never_given_to_a_later_request,
    case_61_a_dropped_request_is_cancelled_and_leaves_nothing_behind,
    case_68_a_body_over_the_limit_is_too_large,
    case_69_large_bodies_many_at_once,
    a_deadline_is_told_to_the_worker_and_kept_by_the_broker,
    what_a_worker_says_went_wrong_reaches_the_client,
    handlers_that_run_in_place_answer_at_once_or_later_and_survive_a_panic,
    answers_that_are_owed_come_from_whoever_has_the_pledges,
    an_answer_on_its_way_to_a_request_that_was_cancelled_is_dropped,
    a_pledge_that_outlives_its_worker_is_kept_for_nobody,
    a_service_that_nobody_serves_is_no_worker,
    the_echo_module_answers,
);

fn case_05_bodies_of_many_sizes_and_frames_come_back_as_they_were(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let _worker = Serving::start(worker(transport, "echo", &brokers), echo).await;
        let client = connected(transport, &brokers).await;
        for size in [0, 1, 255, 256, 16 << 10, 1 << 20] {
            let bytes: Vec<u8> = (0..=255).cycle().take(size).collect();
            let reply = client.request("echo", bytes.clone()).await.unwrap();
            assert_eq!(reply.body, Body::from(bytes), "{size} bytes");
        }
        let frames = || Body::from_frames(["", "a", ""]);
        let reply = client.request("echo", frames()).await.unwrap();
        assert_eq!(reply.body, frames());
    });
    plant.assert_rejected(&[]);
}

fn case_06_many_requests_in_flight_get_their_own_answers(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let serving = worker(transport, "echo", &brokers).concurrency(16);
        let worker = Serving::start(serving, echo).await;
        let client = connected(transport, &brokers).await;
        let asking = (0..500).map(|number: u32| {
            let client = client.clone();
            tokio::spawn(async move {
                let body = number.to_string();
                let reply = client.request("echo", body.clone()).await.unwrap();
                assert_eq!(reply.body.text().unwrap(), body);
            })
        });
        for asked in asking.collect::<Vec<_>>() {
            asked.await.unwrap();
        }
        assert_eq!(worker.stop().await, Served::Drained);
    });
    assert_eq!(plant.metrics().value("dispatches_total"), 500);
    plant.assert_rejected(&[]);
}

fn case_61_a_late_answer_is_never_given_to_a_later_request(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let late = Arc::new(Notify::new());
        let held = late.clone();
        let answer = move |request: Request| {
            let held = held.clone();
            async move {
                let body = request.into_body();
                if body.text() == Ok("late") {
                    // Its own task, which no cancellation reaches.
                    tokio::spawn(async move { held.notified().await })
                        .await
                        .unwrap();
                }
                Ok(body)
            }
        };
        let _worker =
            Serving::start(worker(transport, "echo", &brokers).concurrency(2), answer).await;
        let client = connected(transport, &brokers).await;
        let given_up = client
            .request("echo", "late")
            .timeout(Duration::from_millis(100));
        assert!(matches!(given_up.await, Err(RequestError::Timeout)));
        late.notify_one();
        for number in 0..20 {
            let body = number.to_string();
            let reply = client.request("echo", body.clone()).await.unwrap();
            assert_eq!(reply.body.text().unwrap(), body);
        }
    });
    assert_eq!(plant.metrics().failed("timeout"), 1);
}

fn case_61_a_dropped_request_is_cancelled_and_leaves_nothing_behind(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let (begun, mut has_begun) = mpsc::unbounded_channel();
        let (dropped, mut is_dropped) = mpsc::unbounded_channel();
        let hang = move |_: Request| {
            begun.send(()).unwrap();
            let guard = Dropped(dropped.clone());
            async move {
                let _guard = guard;
                std::future::pending::<Result<Body, WorkerError>>().await
            }
        };
        let hanging = Serving::start(worker(transport, "hang", &brokers), hang).await;
        let client = connected(transport, &brokers).await;
        for _ in 0..3 {
            let request = client.request("hang", "x").into_future();
            tokio::select! {
                _ = request => unreachable!("nobody answers"),
                _ = has_begun.recv() => {}
            }
            is_dropped.recv().await.unwrap();
        }
        assert_eq!(hanging.stop().await, Served::Drained);
    });
    let reading = plant.metrics();
    assert_eq!(
        (reading.failed("cancelled"), reading.rejected("orphaned")),
        (3, 3)
    );
    assert_eq!(reading.value("requests_unanswered"), 0);
    assert_eq!(reading.value("requests_held_bytes"), 0);
}

fn case_68_a_body_over_the_limit_is_too_large(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let grow = |request: Request| async move {
            let frames = 1 + request.body().len_bytes() / (4 << 20);
            Ok(Body::from_frames(vec![vec![b'x'; 4 << 20]; frames]))
        };
        let _worker = Serving::start(worker(transport, "grow", &brokers), grow).await;
        let client = connected(transport, &brokers).await;
        let body = |bytes: usize| vec![b'x'; bytes];
        let refused = client.request("grow", body((4 << 20) + 1)).await;
        assert!(
            matches!(refused, Err(RequestError::TooLarge { .. })),
            "{refused:?}"
        );
        let full = client.request("grow", body(4 << 20)).await.unwrap();
        assert_eq!(full.body.len_bytes(), 8 << 20);
        let twice = Body::from_frames([body(4 << 20), body(4 << 20)]);
        let over = client.request("grow", twice).await;
        assert!(
            matches!(over, Err(RequestError::TooLarge { .. })),
            "{over:?}"
        );
        client.request("grow", "and it serves on").await.unwrap();
    });
}

fn case_69_large_bodies_many_at_once(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let serving = worker(transport, "echo", &brokers).concurrency(500);
        let _worker = Serving::start(serving, echo).await;
        let client = connected(transport, &brokers).await;
        let asking = (0..64_u8).map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let body = vec![number; 1 << 20];
                let reply = client.request("echo", body.clone()).await.unwrap();
                assert!(
                    reply.body == Body::from(body),
                    "the answer to {number} is its own"
                );
            })
        });
        for asked in asking.collect::<Vec<_>>() {
            asked.await.unwrap();
        }
        let reading = plant.metrics();
        assert_eq!(
            (
                reading.value("workers"),
                reading.value("redispatches_total")
            ),
            (1, 0)
        );
    });
    assert_eq!(plant.metrics().value("dispatches_total"), 64);
    plant.assert_rejected(&[]);
}

fn a_deadline_is_told_to_the_worker_and_kept_by_the_broker(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let (told, mut time_left) = mpsc::unbounded_channel();
        let hang = move |request: Request| {
            told.send(request.time_left()).unwrap();
            std::future::pending::<Result<Body, WorkerError>>()
        };
        let _worker = Serving::start(worker(transport, "hang", &brokers), hang).await;
        let client = connected(transport, &brokers).await;
        let timeout = Duration::from_millis(200);
        let ended = client.request("hang", "x").timeout(timeout).await;
        assert!(matches!(ended, Err(RequestError::Timeout)), "{ended:?}");
        let left = time_left.recv().await.unwrap().unwrap();
        assert!(left <= timeout, "{left:?}");
    });
    assert_eq!(plant.metrics().failed("timeout"), 1);
}

fn what_a_worker_says_went_wrong_reaches_the_client(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let fail = |request: Request| async move {
            assert_ne!(request.body().text(), Ok("panic"), "as it was asked to");
            Err::<Body, _>(WorkerError::new("bad-weather", "it rains"))
        };
        let _worker = Serving::start(worker(transport, "fail", &brokers), fail).await;
        let client = connected(transport, &brokers).await;
        for (body, expected) in [
            ("x", "bad-weather"),
            ("panic", "panic"),
            ("y", "bad-weather"),
        ] {
            let failed = client.request("fail", body).await;
            assert_eq!(workers_code(&failed), expected);
        }
    });
}

fn handlers_that_run_in_place_answer_at_once_or_later_and_survive_a_panic(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let go = Arc::new(Notify::new());
        let mixed = {
            let go = go.clone();
            move |request: Request| match request.body().text() {
                Ok("later") => {
                    let (go, request) = (go.clone(), request.into_held());
                    Answering::later(async move {
                        go.notified().await;
                        Ok(request.into_body())
                    })
                }
                Ok("panic") => panic!("as it was asked to"),
                Ok(_) | Err(_) => Answering::now(Ok(request.into_body())),
            }
        };
        let worker = worker(transport, "mixed", &brokers).concurrency(2);
        let _worker = Serving::start_in_place(worker, mixed).await;
        let client = connected(transport, &brokers).await;
        let later = tokio::spawn(client.request("mixed", "later").into_future());
        for number in 0..100 {
            let body = number.to_string();
            let reply = client.request("mixed", body.clone()).await.unwrap();
            assert_eq!(reply.body.text(), Ok(body.as_str()));
        }
        let failed = client.request("mixed", "panic").await;
        assert_eq!(workers_code(&failed), "panic");
        assert!(!later.is_finished());
        go.notify_one();
        let reply = later.await.unwrap().unwrap();
        assert_eq!(reply.body.text(), Ok("later"));
    });
}

/// What a worker calls what went wrong.
fn workers_code(failed: &Result<Reply, RequestError>) -> &str {
    match failed {
        Err(RequestError::WorkerError { code, .. }) => code,
        other => panic!("a worker's error is expected, not {other:?}"),
    }
}

/// A handler that hands each request with its pledge to whoever has the other end.
fn handing_on() -> (
    impl Fn(Request) -> Answering + Send + Sync + 'static,
    mpsc::UnboundedReceiver<(Request, Pledge)>,
) {
    let (sender, owed) = mpsc::unbounded_channel();
    let handler = move |request: Request| {
        let (pledge, answering) = request.pledge();
        // A pledge that comes back is given up.
        let _ = sender.send((request.into_held(), pledge));
        answering
    };
    (handler, owed)
}

fn answers_that_are_owed_come_from_whoever_has_the_pledges(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let (handler, mut owed) = handing_on();
        let worker = worker(transport, "owed", &brokers).concurrency(200);
        let worker = Serving::start_in_place(worker, handler).await;
        let client = connected(transport, &brokers).await;
        let ask =
            |number: usize| tokio::spawn(client.request("owed", number.to_string()).into_future());
        let asked: Vec<_> = (0..200).map(ask).collect();
        let mut group = Vec::new();
        while group.len() < 200 {
            group.push(owed.recv().await.unwrap());
        }
        let answering = std::thread::spawn(move || {
            for (request, pledge) in group {
                pledge.answer(Ok(request.into_body()));
            }
        });
        for (number, asked) in asked.into_iter().enumerate() {
            let reply = asked.await.unwrap().unwrap();
            assert_eq!(reply.body.text(), Ok(number.to_string().as_str()));
        }
        answering.join().unwrap();

        let given_up = tokio::spawn(client.request("owed", "given up").into_future());
        drop(owed.recv().await.unwrap());
        assert_eq!(workers_code(&given_up.await.unwrap()), "unanswered");

        // What is owed is waited for.
        let last = tokio::spawn(client.request("owed", "last").into_future());
        let (request, pledge) = owed.recv().await.unwrap();
        let stopping = tokio::spawn(worker.stop());
        pledge.answer(Ok(request.into_body()));
        assert_eq!(last.await.unwrap().unwrap().body.text(), Ok("last"));
        assert_eq!(stopping.await.unwrap(), Served::Drained);
    });
}

fn an_answer_on_its_way_to_a_request_that_was_cancelled_is_dropped(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let (handler, mut owed) = handing_on();
        let worker = worker(transport, "owed", &brokers).concurrency(1);
        let worker = Serving::start_in_place(worker, handler).await;
        let client = connected(transport, &brokers).await;
        let short = client
            .request("owed", "first")
            .timeout(Duration::from_millis(50));
        assert!(short.await.is_err());
        // Its slot goes to another request, whether it is answered or not.
        let second = tokio::spawn(client.request("owed", "second").into_future());
        let (_, first) = owed.recv().await.unwrap();
        let (request, pledge) = owed.recv().await.unwrap();
        first.answer(Ok("too late"));
        pledge.answer(Ok(request.into_body()));
        assert_eq!(second.await.unwrap().unwrap().body.text(), Ok("second"));
        assert_eq!(worker.stop().await, Served::Drained);
    });
}

fn a_pledge_that_outlives_its_worker_is_kept_for_nobody(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let (handler, mut owed) = handing_on();
        let first = Serving::start_in_place(worker(transport, "owed", &brokers), handler).await;
        let client = connected(transport, &brokers).await;
        let asked = tokio::spawn(client.request("owed", "x").into_future());
        let (_, pledge) = owed.recv().await.unwrap();
        drop(first);
        let (handler, mut owed) = handing_on();
        let _second = Serving::start_in_place(worker(transport, "owed", &brokers), handler).await;
        let (request, kept) = owed.recv().await.unwrap();
        pledge.answer(Ok("of the first"));
        kept.answer(Ok(request.into_body()));
        assert_eq!(asked.await.unwrap().unwrap().body.text(), Ok("x"));
    });
}

fn a_service_that_nobody_serves_is_no_worker(transport: Transport) {
    let plant = Plant::with(|config| config.queue_timeout = Duration::from_millis(50).into());
    plant.block_on(async {
        let client = connected(transport, &[plant.endpoint()]).await;
        let failed = client.request("nobody", "x").await;
        assert!(
            matches!(failed, Err(RequestError::NoWorker { .. })),
            "{failed:?}"
        );
        let status = client.mmi("service", Some("nobody")).await.unwrap().status;
        assert_eq!(status, 404);
    });
}

fn the_echo_module_answers(transport: Transport) {
    use plantd_daemon::config::OneOrMore;
    use plantd_module_echo::{Config, Transport as Carrier};

    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let stop = plantd_daemon::shutdown::Shutdown::new();
        let daemon = plantd_daemon::Daemon::new(stop.clone());
        let config = Config {
            broker_endpoint: OneOrMore::one(plant.endpoint().parse().unwrap()),
            transport: if transport == Transport::Plantd {
                Carrier::Plantd
            } else {
                Carrier::Zeromq
            },
            ..Config::default()
        };
        let module = tokio::spawn(plantd_module_echo::run(config, daemon));
        let client = connected(transport, &brokers).await;
        let reply = client
            .request("org.plantd.module.Echo", "hello")
            .await
            .unwrap();
        assert_eq!(reply.body.text().unwrap(), "hello");
        stop.request();
        module.await.unwrap().unwrap();
    });
    plant.until("it has left", |reading| reading.value("workers") == 0);
}
