//! Answers in parts (case 72).

use plantd_client::{Body, Request, RequestError, Transport, WorkerError};
use plantd_tests::Plant;
use tokio::sync::{mpsc, watch};

use crate::serving::{Dropped, Serving, worker};
use crate::{connected, over_both_transports};

over_both_transports!(
    case_72_a_worker_waits_for_a_slow_reader_and_serves_others_meanwhile,
    case_63_a_worker_lost_in_the_middle_of_an_answer_is_an_error_after_its_parts,
    a_stream_that_is_dropped_is_cancelled,
);

const PARTS: u32 = 200;
const WINDOW: u32 = 10;

fn case_72_a_worker_waits_for_a_slow_reader_and_serves_others_meanwhile(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let (sent, mut has_sent) = watch::channel(0);
        let count = move |mut request: Request| {
            let sent = sent.clone();
            async move {
                if request.body().text() != Ok("count") {
                    return Ok(request.into_body());
                }
                let bulk = vec![b'x'; 16 << 10];
                for number in 0..PARTS {
                    let part = Body::from_frames([number.to_string().into_bytes(), bulk.clone()]);
                    let waited_for = request.partials().send(part).await;
                    waited_for.map_err(|_| WorkerError::new("cancelled", "nobody waits"))?;
                    sent.send_replace(number + 1);
                }
                Ok(Body::from("end"))
            }
        };
        let _worker = Serving::start(worker(transport, "count", &brokers), count).await;
        let client = connected(transport, &brokers).await;
        let mut parts = client
            .request("count", "count")
            .stream(WINDOW)
            .await
            .unwrap();
        has_sent.wait_for(|sent| *sent == WINDOW).await.unwrap();
        // The one handler that may run holds no credit while it waits.
        for _ in 0..3 {
            let other = client.request("count", "meanwhile").await.unwrap();
            assert_eq!(other.body.text().unwrap(), "meanwhile");
        }
        assert_eq!(*has_sent.borrow(), WINDOW);

        for number in 0..PARTS {
            let part = parts.next().await.unwrap().unwrap();
            assert!(!part.is_final);
            assert_eq!(part.body.frame_bytes(0).unwrap(), number.to_string());
            let ahead = *has_sent.borrow() - number;
            assert!(ahead <= WINDOW + 1, "{ahead} parts ahead of the reader");
        }
        let last = parts.next().await.unwrap().unwrap();
        assert_eq!((last.is_final, last.body.text().unwrap()), (true, "end"));
        assert!(parts.next().await.is_none());
    });
    assert_eq!(plant.metrics().value("partials_total"), u64::from(PARTS));
    plant.assert_rejected(&[]);
}

fn case_63_a_worker_lost_in_the_middle_of_an_answer_is_an_error_after_its_parts(
    transport: Transport,
) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let begin = |mut request: Request| async move {
            request.partials().send("part").await.unwrap();
            std::future::pending::<Result<Body, WorkerError>>().await
        };
        let worker = Serving::start(worker(transport, "begin", &brokers), begin).await;
        let client = connected(transport, &brokers).await;
        let mut parts = client.request("begin", "x").stream(WINDOW).await.unwrap();
        let part = parts.next().await.unwrap().unwrap();
        assert_eq!(part.body.text().unwrap(), "part");
        drop(worker);
        let lost = parts.next().await.unwrap();
        assert!(
            matches!(lost, Err(RequestError::WorkerLost { .. })),
            "{lost:?}"
        );
        assert!(parts.next().await.is_none());
    });
    assert_eq!(plant.metrics().value("redispatches_total"), 0);
}

fn a_stream_that_is_dropped_is_cancelled(transport: Transport) {
    let plant = Plant::start();
    plant.block_on(async {
        let brokers = [plant.endpoint()];
        let (dropped, mut is_dropped) = mpsc::unbounded_channel();
        let pour = move |mut request: Request| {
            let guard = Dropped(dropped.clone());
            async move {
                let _guard = guard;
                while request.partials().send("drop").await.is_ok() {}
                Ok("nobody reads this")
            }
        };
        let _worker = Serving::start(worker(transport, "pour", &brokers), pour).await;
        let client = connected(transport, &brokers).await;
        let mut parts = client.request("pour", "x").stream(WINDOW).await.unwrap();
        parts.next().await.unwrap().unwrap();
        drop(parts);
        is_dropped.recv().await.unwrap();
    });
    assert_eq!(plant.metrics().failed("cancelled"), 1);
}
