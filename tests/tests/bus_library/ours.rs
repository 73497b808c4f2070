//! Sources and sinks at our own broker.

use plantd_broker::BusKeys;
use plantd_client::{Client, Transport};
use plantd_tests::Plant;

use crate::{TRANSPORTS, account::Account, meet, next, number, sink, soon, source};

/// A broker with one bus at these endpoints.
fn plant(frontend: &str, backend: &str) -> Plant {
    let (frontend, backend) = (frontend.parse().unwrap(), backend.parse().unwrap());
    Plant::with(|config| config.buses = vec![BusKeys::new("test", frontend, backend)])
}

/// A broker with one bus on free ports, and where it is.
fn anywhere() -> (Plant, String, String) {
    let any = "tcp://127.0.0.1:0";
    let plant = plant(any, any);
    let bus = &plant.buses()[0];
    let (frontend, backend) = (bus.frontend[0].to_string(), bus.backend[0].to_string());
    (plant, frontend, backend)
}

#[test]
fn many_come_in_their_order() {
    const COUNT: u64 = 10_000;
    for transport in TRANSPORTS {
        let (plant, frontend, backend) = anywhere();
        plant.block_on(async {
            let source = source(&frontend, transport);
            let mut sink = sink(&backend, transport, &["t", "meet"]);
            meet(&source, &mut sink, "meet").await;
            let publishing = tokio::spawn(async move {
                for n in 0..COUNT {
                    source.publish("t", n.to_string()).unwrap();
                    if n % 1000 == 0 {
                        source.flush().await.unwrap();
                    }
                }
                source
            });
            for n in 0..COUNT {
                assert_eq!(number(&next(&mut sink).await), n);
            }
            // Not before: the zeromq crate is given little time to write what it has.
            publishing.await.unwrap().close().await.unwrap();
        });
    }
}

#[test]
fn a_sink_misses_exactly_what_the_broker_dropped() {
    const COUNT: u64 = 4000;
    let (plant, frontend, backend) = anywhere();
    plant.block_on(async {
        let source = source(&frontend, Transport::Plantd);
        let mut sink = sink(&backend, Transport::Plantd, &["t"]);
        let mut account = Account::default();
        account.until(&source, &mut sink, "t", "begin").await;
        let large = "x".repeat(64 * 1024);
        for n in 0..COUNT {
            source.publish("t", &large).unwrap();
            if n % 20 == 0 {
                soon(source.flush()).await.unwrap();
            }
        }
        let published = soon(account.until(&source, &mut sink, "t", "end")).await;
        assert!(account.missed > 0, "{account:?}");
        let client = Client::connect(plant.endpoint()).unwrap();
        let dropped = async || {
            let buses = client.mmi("buses", None).await.unwrap().data.unwrap();
            buses["buses"][0]["dropped"].as_u64().unwrap()
        };
        // The report is renewed once in a while. What of "end" was dropped after one came is not told.
        while dropped().await < account.missed {
            tokio::task::yield_now().await;
        }
        let unseen = dropped().await - account.missed;
        assert!(unseen < published, "{unseen} of {published}: {account:?}");
    });
}

#[test]
fn after_a_restart_of_the_broker_both_are_back() {
    for transport in TRANSPORTS {
        let (mut first, frontend, backend) = anywhere();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (source, mut sink) = {
            let _context = runtime.enter();
            (
                source(&frontend, transport),
                sink(&backend, transport, &["t"]),
            )
        };
        let mut account = Account::default();
        runtime.block_on(account.until(&source, &mut sink, "t", "before"));
        first.stop();
        let mut status = source.status();
        runtime.block_on(async {
            soon(status.wait_for(|status| !status.is_up()))
                .await
                .unwrap();
        });
        for _ in 0..100 {
            source.publish("t", "meanwhile").unwrap();
        }
        let _second = plant(&frontend, &backend);
        runtime.block_on(soon(account.until(&source, &mut sink, "t", "after")));
        assert!(account.last >= 102, "{account:?}");
    }
}
