//! Requests and their ends.

use std::time::Duration;

use plantd_client::{Body, Client, RequestError};
use tokio::task::JoinSet;

use crate::broker::{Broker, CANCEL, FINAL, PARTIAL, REQUEST, over_each_transport, soon};

#[tokio::test]
async fn a_request_is_answered() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        let request = client
            .request("echo", "hi")
            .property("content-type", "text/plain")
            .property("x-long", "x".repeat(300))
            .timeout(Duration::from_secs(10));
        let serve = async {
            let received = broker.next().await;
            assert_eq!(received.frames[..3], [&b"MDPC03"[..], REQUEST, b"echo"]);
            assert_eq!(received.property("content-type").unwrap(), "text/plain");
            assert_eq!(received.property("x-long").unwrap(), "x".repeat(300));
            let deadline_ms: u64 = received.property("deadline-ms").unwrap().parse().unwrap();
            assert!((9000..=10_000).contains(&deadline_ms));
            assert_eq!(received.body(), ["hi"]);
            broker.answer(&received, FINAL, "ho");
            broker.keep_going().await
        };
        let reply = tokio::select! {
            reply = request.into_future() => reply.unwrap(),
            () = serve => unreachable!(),
        };
        assert_eq!(reply.body.text(), Ok("ho"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_requests_from_many_tasks_get_their_own_answers() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        let mut requests = JoinSet::new();
        for number in 0..1000 {
            let client = client.clone();
            requests.spawn(async move {
                let reply = client.request("echo", number.to_string()).await.unwrap();
                assert_eq!(reply.body.text().unwrap(), number.to_string());
            });
        }
        // All are in flight before the first is answered, in the opposite order.
        let mut received = Vec::new();
        while received.len() < 1000 {
            received.push(broker.next().await);
        }
        for request in received.iter().rev() {
            let body = request.body().concat();
            broker.answer(request, FINAL, &body);
        }
        tokio::select! {
            results = requests.join_all() => assert_eq!(results.len(), 1000),
            () = broker.keep_going() => unreachable!(),
        }
    })
    .await;
}

#[tokio::test]
async fn bodies_of_every_shape_arrive_intact() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        let bytes: Vec<u8> = (0..=255).collect();
        let bodies = [
            Body::from(""),
            Body::from(bytes.repeat(4096)),
            Body::from_frames([&b""[..], b"a", b""]),
            Body::from_frames(vec![bytes; 60]),
        ];
        for body in bodies {
            let request = client.request("echo", body.clone());
            let serve = async {
                let received = broker.next().await;
                let mut frames = received.frames.clone();
                frames[1] = FINAL.to_vec();
                broker.send(received.peer, frames);
                broker.keep_going().await
            };
            let reply = tokio::select! {
                reply = request.into_future() => reply.unwrap(),
                () = serve => unreachable!(),
            };
            assert!(reply.body == body);
        }
    })
    .await;
}

#[tokio::test]
async fn a_late_answer_is_never_given_to_a_later_request() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        tokio::select! {
            connected = client.connected() => connected.unwrap(),
            () = broker.keep_going() => unreachable!(),
        }
        let first = client
            .request("echo", "first")
            .timeout(Duration::from_millis(1));
        let late = tokio::select! {
            error = first.into_future() => error.unwrap_err(),
            () = broker.keep_going() => unreachable!(),
        };
        assert_eq!(late, RequestError::Timeout);
        let second = tokio::spawn(client.request("echo", "second").into_future());
        let first = broker.next().await;
        assert_eq!(broker.next().await.command(), CANCEL);
        let received = broker.next().await;
        assert_eq!(received.body(), ["second"]);
        broker.answer(&first, FINAL, "late");
        broker.answer(&received, FINAL, "right");
        let reply = tokio::select! {
            reply = second => reply.unwrap().unwrap(),
            () = broker.keep_going() => unreachable!(),
        };
        assert_eq!(reply.body.text(), Ok("right"));
    })
    .await;
}

#[tokio::test]
async fn a_dropped_request_is_cancelled() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        let request = tokio::spawn(client.request("echo", "hi").into_future());
        let received = broker.next().await;
        request.abort();
        let cancel = broker.next().await;
        assert_eq!(cancel.command(), CANCEL);
        assert_eq!(cancel.id(), received.id());
    })
    .await;
}

#[tokio::test]
async fn parts_are_joined_for_who_waits_for_the_whole() {
    over_each_transport(|transport| async move {
        let mut broker = Broker::bind().await;
        let client = broker.client(transport);
        let request = tokio::spawn(client.request("echo", "hi").into_future());
        let received = broker.next().await;
        broker.answer(&received, PARTIAL, "a");
        broker.answer(&received, PARTIAL, "b");
        broker.answer(&received, FINAL, "c");
        let reply = tokio::select! {
            reply = request => reply.unwrap().unwrap(),
            () = broker.keep_going() => unreachable!(),
        };
        assert_eq!(reply.body, Body::from_frames(["a", "b", "c"]));
    })
    .await;
}

#[tokio::test]
async fn the_brokers_errors_are_typed() {
    let mut broker = Broker::bind().await;
    let client = broker.client(plantd_client::Transport::Plantd);
    let message = || "words".to_owned();
    let cases = [
        ("no-worker", RequestError::NoWorker { message: message() }),
        ("timeout", RequestError::Timeout),
        ("busy", RequestError::Busy { message: message() }),
        ("too-large", RequestError::TooLarge { message: message() }),
        ("denied", RequestError::Denied { message: message() }),
        ("cancelled", RequestError::Cancelled { message: message() }),
        (
            "worker-lost",
            RequestError::WorkerLost { message: message() },
        ),
        (
            "worker-error",
            RequestError::WorkerError {
                code: "mine".to_owned(),
                message: message(),
            },
        ),
        (
            "bad-request",
            RequestError::BadRequest { message: message() },
        ),
        (
            "unsupported",
            RequestError::Unsupported { message: message() },
        ),
        (
            "from-the-future",
            RequestError::Other {
                code: "from-the-future".to_owned(),
                message: message(),
            },
        ),
    ];
    for (code, expected) in cases {
        let request = tokio::spawn(client.request("echo", "hi").into_future());
        let received = broker.next().await;
        let properties = [
            ("code", code),
            ("message", "words"),
            ("worker-code", "mine"),
        ];
        broker.refuse(&received, &properties);
        let error = tokio::select! {
            reply = request => reply.unwrap().unwrap_err(),
            () = broker.keep_going() => unreachable!(),
        };
        assert_eq!(error, expected);
        assert_eq!(error.code(), code);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_it_is() {
    let client = Client::connect("tcp://127.0.0.1:1").unwrap();
    let error = client.request("no name", "hi").await.unwrap_err();
    assert_eq!(error.code(), "bad-request");
    let error = client
        .request("echo", "hi")
        .property("No", "x")
        .await
        .unwrap_err();
    assert!(matches!(error, RequestError::InvalidProperty { .. }));
    let error = client.request("echo", vec![0; 9 << 20]).await.unwrap_err();
    assert!(matches!(error, RequestError::TooLarge { .. }));
    let error = client
        .request("echo", Body::from_frames(vec!["x"; 200]))
        .await
        .unwrap_err();
    assert!(matches!(error, RequestError::TooLarge { .. }));
}

#[tokio::test]
async fn requests_beyond_the_limits_wait_for_others_to_end() {
    let mut broker = Broker::bind().await;
    let builder = broker
        .client_builder(plantd_client::Transport::Plantd)
        .max_unanswered(1);
    let client = builder.connect().unwrap();
    let first = tokio::spawn(client.request("echo", "first").into_future());
    let received = broker.next().await;
    let timeout = Duration::from_millis(10);
    let error = client
        .request("echo", "no room")
        .timeout(timeout)
        .await
        .unwrap_err();
    assert_eq!(error, RequestError::Timeout);
    let second = tokio::spawn(client.request("echo", "second").into_future());
    broker.answer(&received, FINAL, "ho");
    assert_eq!(broker.next().await.body(), ["second"]);
    assert!(soon(first).await.unwrap().is_ok());
    second.abort();
}

#[tokio::test]
async fn mmi_gives_status_and_data() {
    let mut broker = Broker::bind().await;
    let client = broker.client(plantd_client::Transport::Plantd);
    let ask = tokio::spawn({
        let client = client.clone();
        async move { client.mmi("services", None).await }
    });
    let received = broker.next().await;
    assert_eq!(received.frames[2], b"mmi.services");
    assert_eq!(received.body(), [""; 0]);
    let frames = [
        b"MDPC03",
        FINAL,
        b"mmi.services",
        received.id(),
        b"200",
        b"{\"echo\":1}",
    ];
    broker.send(received.peer, frames);
    let reply = tokio::select! {
        reply = ask => reply.unwrap().unwrap(),
        () = broker.keep_going() => unreachable!(),
    };
    assert!(reply.is_ok());
    assert_eq!(reply.data.unwrap()["echo"], 1);

    let ask = tokio::spawn(async move { client.mmi("service", Some("echo")).await });
    let received = broker.next().await;
    assert_eq!(received.body(), ["echo"]);
    broker.send(
        received.peer,
        [b"MDPC03", FINAL, b"mmi.service", received.id(), b"x"],
    );
    let error = tokio::select! {
        reply = ask => reply.unwrap().unwrap_err(),
        () = broker.keep_going() => unreachable!(),
    };
    assert_eq!(error.code(), "invalid-reply");
}
