//! Workers: registration, handlers, streams, and leaving.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use plantd_client::{Request, Served, Transport, Worker, WorkerError};
use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use crate::broker::{Broker, over_each_transport, soon};

const PARTIAL: u8 = 0x03;
const FINAL: u8 = 0x04;
const ERROR: u8 = 0x07;
const CANCEL: u8 = 0x09;
const MORE: u8 = 0x0a;

async fn echo(request: Request) -> Result<plantd_client::Body, WorkerError> {
    Ok(request.into_body())
}

/// Serves in a task until told to stop.
fn serve<F, R>(
    worker: Worker,
    handler: impl Fn(Request) -> F + Send + Sync + 'static,
) -> (JoinHandle<Served>, oneshot::Sender<()>)
where
    F: Future<Output = Result<R, WorkerError>> + Send + 'static,
    R: Into<plantd_client::Reply> + 'static,
{
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    (tokio::spawn(worker.serve(handler, shutdown)), stop)
}

#[tokio::test]
async fn a_worker_registers_and_answers() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let builder = broker.worker_builder(transport);
        let worker = builder
            .concurrency(3)
            .name("w1")
            .version("2")
            .build()
            .unwrap();
        let mut status = worker.status();
        let (_serving, _stop) = serve(worker, echo);
        let ready = broker.next().await;
        assert_eq!(ready.frames[..3], [&b"MDPW03"[..], &[0x01], b"echo"]);
        let offer = [
            ("credit", "3"),
            ("streams", "1024"),
            ("heartbeat-ms", "1000"),
            ("liveness", "3"),
            ("name", "w1"),
            ("version", "2"),
        ];
        for (name, value) in offer {
            assert_eq!(ready.property(name).as_deref(), Some(value), "{name}");
        }
        broker.send(ready.peer, [b"MDPW03", &[0x08][..], b"echo", &[0; 8]]);
        broker.dispatch(ready.peer, 1, "hi");
        assert_eq!(broker.next().await.of_worker(), (FINAL, 1, "hi"));
        assert!(
            soon(status.wait_for(plantd_client::Status::is_up))
                .await
                .is_ok()
        );
    })
    .await;
}

#[tokio::test]
async fn a_request_shows_what_the_broker_says_of_it() {
    let mut broker = Broker::bind().await;
    let worker = broker.worker_builder(Transport::Plantd).build().unwrap();
    let (_serving, _stop) = serve(worker, |request: Request| async move {
        Ok(format!(
            "{} {} {:?} {:?}",
            request.id(),
            request.attempt(),
            request.time_left(),
            request.property("content-type"),
        ))
    });
    let peer = broker.welcome().await;
    let properties = [
        ("attempt", "2"),
        ("deadline-ms", "1500"),
        ("content-type", "x"),
    ];
    broker.dispatch_with(peer, 7, &properties, "hi");
    assert_eq!(
        broker.next().await.of_worker(),
        (FINAL, 7, "7 2 Some(1.5s) Some(\"x\")")
    );
}

#[tokio::test]
async fn errors_and_panics_are_told_and_the_worker_goes_on() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let worker = broker.worker_builder(transport).build().unwrap();
        let (_serving, _stop) = serve(worker, |request: Request| async move {
            match request.body().text()? {
                "fail" => Err(WorkerError::new("not-found", "no such thing").retryable()),
                "panic" => panic!("at the disco"),
                text => Ok(text.to_owned()),
            }
        });
        let peer = broker.welcome().await;
        broker.dispatch(peer, 1, "fail");
        let error = broker.next().await;
        assert_eq!(error.of_worker(), (ERROR, 1, ""));
        assert_eq!(error.property("code").unwrap(), "not-found");
        assert_eq!(error.property("message").unwrap(), "no such thing");
        assert_eq!(error.property("retryable").unwrap(), "true");
        broker.dispatch(peer, 2, "panic");
        let error = broker.next().await;
        assert_eq!(error.property("code").unwrap(), "panic");
        assert_eq!(error.property("message").unwrap(), "at the disco");
        assert_eq!(error.property("retryable").unwrap(), "false");
        broker.dispatch(peer, 3, "fine");
        assert_eq!(broker.next().await.of_worker(), (FINAL, 3, "fine"));
    })
    .await;
}

#[tokio::test]
async fn no_more_handlers_run_than_the_concurrency_says_over_all_brokers() {
    let mut first = Broker::bind().await;
    let mut second = Broker::bind().await;
    let builder = first
        .worker_builder(Transport::Plantd)
        .broker(second.endpoint.to_string());
    let worker = builder.concurrency(2).build().unwrap();
    let running = Arc::new(AtomicUsize::new(0));
    let go_on = Arc::new(Notify::new());
    let (_serving, _stop) = serve(worker, {
        let (running, go_on) = (running.clone(), go_on.clone());
        move |request: Request| {
            let (running, go_on) = (running.clone(), go_on.clone());
            async move {
                let others = running.fetch_add(1, Ordering::SeqCst);
                go_on.notified().await;
                running.fetch_sub(1, Ordering::SeqCst);
                assert!(others < 2);
                Ok(request.into_body())
            }
        }
    });
    let (one, two) = (first.welcome().await, second.welcome().await);
    for number in [1, 2] {
        first.dispatch(one, number, "hi");
        second.dispatch(two, number, "hi");
    }
    for _ in 0..4 {
        go_on.notify_one();
        let (command, ..) = tokio::select! {
            reply = first.next() => (reply.of_worker().0, ()),
            reply = second.next() => (reply.of_worker().0, ()),
        };
        assert_eq!(command, FINAL);
    }
}

#[tokio::test]
async fn a_cancelled_request_drops_its_handler() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let worker = broker.worker_builder(transport).build().unwrap();
        let (dropped, is_dropped) = oneshot::channel::<()>();
        let dropped = std::sync::Mutex::new(Some(dropped));
        let (_serving, _stop) = serve(worker, move |request: Request| {
            let dropped = dropped.lock().unwrap().take();
            async move {
                match dropped {
                    Some(_held) => pending().await,
                    None => Ok(request.into_body()),
                }
            }
        });
        let peer = broker.welcome().await;
        broker.dispatch(peer, 1, "hi");
        // Waits for a slot, and is cancelled there.
        broker.dispatch(peer, 2, "hi");
        broker.tell(peer, CANCEL, 2, &[]);
        let error = broker.next().await;
        assert_eq!(error.of_worker(), (ERROR, 2, ""));
        assert_eq!(error.property("code").unwrap(), "cancelled");
        broker.tell(peer, CANCEL, 1, &[]);
        let error = broker.next().await;
        assert_eq!(error.of_worker(), (ERROR, 1, ""));
        assert_eq!(error.property("code").unwrap(), "cancelled");
        assert!(soon(is_dropped).await.is_err());
        broker.dispatch(peer, 3, "hi");
        assert_eq!(broker.next().await.of_worker(), (FINAL, 3, "hi"));
    })
    .await;
}

#[tokio::test]
async fn a_stream_waits_at_window_zero_while_other_requests_go_on() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let worker = broker.worker_builder(transport).build().unwrap();
        let (_serving, _stop) = serve(worker, |mut request: Request| async move {
            if request.body().text()? == "stream" {
                for text in ["a", "b", "c"] {
                    request.partials().send(text).await?;
                }
            }
            Ok("end")
        });
        let peer = broker.welcome().await;
        broker.dispatch_with(peer, 1, &[("window", "1")], "stream");
        assert_eq!(broker.next().await.of_worker(), (PARTIAL, 1, "a"));
        // The only slot is free again.
        broker.dispatch(peer, 2, "other");
        assert_eq!(broker.next().await.of_worker(), (FINAL, 2, "end"));
        broker.tell(peer, MORE, 1, &[("more", "2")]);
        assert_eq!(broker.next().await.of_worker(), (PARTIAL, 1, "b"));
        assert_eq!(broker.next().await.of_worker(), (PARTIAL, 1, "c"));
        assert_eq!(broker.next().await.of_worker(), (FINAL, 1, "end"));
    })
    .await;
}

#[tokio::test]
async fn a_large_stream_without_a_window_arrives_whole() {
    let mut broker = Broker::bind().await;
    let worker = broker.worker_builder(Transport::Plantd).build().unwrap();
    let (_serving, _stop) = serve(worker, |mut request: Request| async move {
        for number in 0..64 {
            request.partials().send(vec![number; 256 * 1024]).await?;
        }
        Ok("end")
    });
    let peer = broker.welcome().await;
    broker.dispatch(peer, 1, "hi");
    for number in 0..64 {
        let part = broker.next().await;
        assert_eq!(part.frames[1], [PARTIAL]);
        assert_eq!(part.frames[4][..], vec![number; 256 * 1024]);
    }
    assert_eq!(broker.next().await.of_worker(), (FINAL, 1, "end"));
}

#[tokio::test]
async fn draining_finishes_what_is_held_and_returns_what_crosses() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let worker = broker
            .worker_builder(transport)
            .concurrency(4)
            .build()
            .unwrap();
        let go_on = Arc::new(Notify::new());
        let (serving, stop) = serve(worker, {
            let go_on = go_on.clone();
            move |request: Request| {
                let go_on = go_on.clone();
                async move {
                    go_on.notified().await;
                    Ok(request.into_body())
                }
            }
        });
        let peer = broker.welcome().await;
        broker.dispatch(peer, 1, "one");
        broker.dispatch(peer, 2, "two");
        go_on.notify_one();
        assert_eq!(broker.next().await.of_worker(), (FINAL, 1, "one"));
        stop.send(()).unwrap();
        let no_credit = broker.next().await;
        assert_eq!(no_credit.command(), [0x05]);
        assert_eq!(no_credit.property_of(2, "credit").unwrap(), "0");
        broker.dispatch(peer, 3, "crosses");
        let returned = broker.next().await;
        assert_eq!(returned.of_worker(), (ERROR, 3, ""));
        assert_eq!(returned.property("code").unwrap(), "draining");
        broker.send(peer, [b"MDPW03", &[0x05][..]]);
        go_on.notify_one();
        assert_eq!(broker.next().await.of_worker(), (FINAL, 2, "two"));
        assert_eq!(broker.next().await.command(), [0x06]);
        broker.until_closed(peer).await;
        assert_eq!(soon(serving).await.unwrap(), Served::Drained);
    })
    .await;
}

#[tokio::test]
async fn a_drain_ends_at_its_timeout_and_gives_back_what_is_unfinished() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let builder = broker.worker_builder(transport);
        let worker = builder
            .drain_timeout(Duration::from_millis(50))
            .build()
            .unwrap();
        let begun = Arc::new(Notify::new());
        let (serving, stop) = serve(worker, {
            let begun = begun.clone();
            move |_| {
                begun.notify_one();
                pending::<Result<&str, WorkerError>>()
            }
        });
        let peer = broker.welcome().await;
        broker.dispatch(peer, 1, "never");
        soon(begun.notified()).await;
        stop.send(()).unwrap();
        assert_eq!(broker.next().await.command(), [0x05]);
        let error = broker.next().await;
        assert_eq!(error.of_worker(), (ERROR, 1, ""));
        assert_eq!(error.property("code").unwrap(), "stopped");
        assert_eq!(error.property("retryable").unwrap(), "true");
        assert_eq!(broker.next().await.command(), [0x06]);
        broker.until_closed(peer).await;
        assert_eq!(
            soon(serving).await.unwrap(),
            Served::TimedOut { unfinished: 1 }
        );
    })
    .await;
}

#[tokio::test]
async fn a_worker_without_a_broker_stops_at_once() {
    over_each_transport(|transport| async move {
        let broker = Broker::bind().await;
        let worker = broker.worker_builder(transport).build().unwrap();
        broker.stop();
        assert_eq!(worker.serve(echo, async {}).await, Served::Drained);
    })
    .await;
}

#[tokio::test]
async fn a_worker_comes_back_after_a_restart_and_after_disconnect() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let worker = broker.worker_builder(transport).build().unwrap();
        let mut status = worker.status();
        let (_serving, _stop) = serve(worker, echo);
        broker.welcome().await;
        let mut broker = broker.restart().await;
        let peer = broker.welcome().await;
        let mut header = vec![0; 8];
        header.extend_from_slice(b"\x07message\0\0\0\x03why");
        broker.send(peer, [b"MDPW03", &[0x06][..], &header]);
        broker.until_closed(peer).await;
        let again = broker.welcome().await;
        broker.dispatch(again, 1, "hi");
        assert_eq!(broker.next().await.of_worker(), (FINAL, 1, "hi"));
        let is_up = soon(status.wait_for(plantd_client::Status::is_up))
            .await
            .unwrap();
        assert_eq!(is_up.brokers[0].last_error, None);
    })
    .await;
}

#[tokio::test]
async fn a_worker_serves_at_every_broker() {
    over_each_transport(|transport| async move {
        let mut first = Broker::bind().await;
        let mut second = Broker::bind().await;
        let builder = first
            .worker_builder(transport)
            .broker(second.endpoint.to_string());
        let (_serving, _stop) = serve(builder.build().unwrap(), echo);
        for broker in [&mut first, &mut second] {
            let peer = broker.welcome().await;
            broker.dispatch(peer, 1, "hi");
            assert_eq!(broker.next().await.of_worker(), (FINAL, 1, "hi"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_drops_its_handlers() {
    let mut broker = Broker::bind().await;
    let worker = broker.worker_builder(Transport::Plantd).build().unwrap();
    let (alive, is_alive) = oneshot::channel::<()>();
    let alive = std::sync::Mutex::new(Some(alive));
    let begun = Arc::new(Notify::new());
    let (_serving, _stop) = serve(worker, {
        let begun = begun.clone();
        move |_| {
            let alive = alive.lock().unwrap().take();
            begun.notify_one();
            async move {
                let _alive = alive;
                pending::<Result<&str, WorkerError>>().await
            }
        }
    });
    let peer = broker.welcome().await;
    broker.dispatch(peer, 1, "hi");
    soon(begun.notified()).await;
    broker.stop();
    assert!(soon(is_alive).await.is_err());
}

#[tokio::test]
async fn an_idle_worker_sends_heartbeats() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let builder = broker.worker_builder(transport);
        let worker = builder
            .heartbeat(Duration::from_millis(100), 20)
            .build()
            .unwrap();
        let (_serving, _stop) = serve(worker, echo);
        broker.welcome().await;
        let heartbeat = broker.next_of_any_kind().await;
        assert_eq!(heartbeat.frames, [&b"MDPW03"[..], &[0x05]]);
    })
    .await;
}
