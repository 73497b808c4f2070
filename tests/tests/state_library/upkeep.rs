//! Long work of the service: how far it is, what it came to, and why it did not.

use plantd_client::state::UpkeepItem;
use plantd_client::{Request, Transport, Worker, WorkerError};

use crate::installation::Installation;
use crate::over_both_transports;

over_both_transports!(
    a_backup_tells_how_far_it_is_and_what_it_came_to,
    a_store_is_verified_by_the_daemon,
);

async fn a_backup_tells_how_far_it_is_and_what_it_came_to(transport: Transport) {
    let installation = Installation::without_daemon(transport).await;
    let worker = Worker::builder("org.plantd.State").broker(installation.endpoint());
    let worker = worker.build().unwrap();
    let answer = |mut request: Request| async move {
        let frame = request.body().frames().nth(1).map(<[u8]>::to_vec);
        assert_eq!(frame.unwrap(), br#"{"progress":true}"#);
        for done in [0, 512] {
            let part = format!(r#"{{"success":true,"data":{{"done":{done},"total":1024}}}}"#);
            request.partials().send(part).await?;
        }
        let end = r#"{"success":true,"data":{"backup":"b-1","bytes":1024,"commits":9,"scopes":2,
            "keys":7,"timestamp":1767225600000000000}}"#;
        Ok::<_, WorkerError>(end)
    };
    let serving = tokio::spawn(async move {
        worker.serve(answer, std::future::pending()).await;
    });
    let mut work = installation.state().backup().await.unwrap();
    for done in [0, 512] {
        let item = work.next().await.unwrap().unwrap();
        assert_eq!(item, UpkeepItem::Progress { done, total: 1024 });
    }
    let UpkeepItem::Done(backup) = work.next().await.unwrap().unwrap() else {
        panic!("it is done");
    };
    assert_eq!(
        (backup.name.as_str(), backup.bytes, backup.keys),
        ("b-1", 1024, 7)
    );
    assert!(work.next().await.is_none());
    serving.abort();
}

async fn a_store_is_verified_by_the_daemon(transport: Transport) {
    let installation = Installation::start(transport).await;
    let state = installation.state();
    state.scope("org.example.Plant").set("a", &1).await.unwrap();
    let verified = state.verify(None).await.unwrap().done().await.unwrap();
    assert_eq!(
        (verified.scopes, verified.keys, verified.changes),
        (1, 1, 2)
    );
}
