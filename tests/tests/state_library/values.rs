//! Reading and writing: types, conditions, lists, history, batches.

use std::time::Duration;

use plantd_client::Transport;
use plantd_client::state::{Event, Operation, ReadError, Value, WriteError};

use crate::installation::Installation;
use crate::over_both_transports;

over_both_transports!(
    a_value_is_read_as_it_was_written,
    conditions_are_kept_and_a_refusal_tells_the_version_that_is_there,
    a_value_with_a_time_to_live_goes_away_unless_it_is_touched,
    lists_go_on_page_by_page,
    a_history_tells_every_change_the_newest_first,
    a_batch_is_done_whole_or_not_at_all,
    scopes_are_made_listed_and_deleted,
    of_two_clients_that_count_up_by_comparing_none_loses_a_count,
);

const SCOPE: &str = "org.example.Plant";

async fn a_value_is_read_as_it_was_written(transport: Transport) {
    let installation = Installation::start(transport).await;
    let scope = installation.state().scope(SCOPE);
    assert_eq!(scope.get::<bool>("pump/1").await.unwrap(), None);
    let written = scope.set("pump/1", &true).await.unwrap();
    let entry = scope.get::<bool>("pump/1").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.version), (true, written.version));
    assert_eq!(scope.get::<bool>("pump/2").await.unwrap(), None);

    let text = Value::json_text(r#"{"b": 1.50,  "a":2}"#).unwrap();
    scope.set_value("text", text.clone()).await.unwrap();
    let picture = Value::bytes("image/png", &b"\x89PNG\xff\x00"[..]);
    scope.set_value("picture", picture.clone()).await.unwrap();
    let value = async |key| scope.get_value(key).await.unwrap().unwrap().value;
    assert_eq!(value("text").await, text);
    assert_eq!(value("picture").await, picture);
    let wrong = scope.get::<bool>("picture").await.unwrap_err();
    assert!(matches!(wrong, ReadError::Value { .. }), "{wrong:?}");

    let null: Option<u8> = None;
    scope.set("null", &null).await.unwrap();
    let null = scope.get::<Option<u8>>("null").await.unwrap().unwrap();
    assert_eq!(null.value, None);

    let second = scope.set("pump/1", &false).await.unwrap();
    assert_eq!(second.previous, written.version);
    let first = scope.get_version("pump/1", written.version).await.unwrap();
    assert!(first.unwrap().value.decode::<bool>().unwrap());
}

async fn conditions_are_kept_and_a_refusal_tells_the_version_that_is_there(transport: Transport) {
    let installation = Installation::start(transport).await;
    let scope = installation.state().scope(SCOPE);
    let missing = scope.set("a", &1).in_existing_scope().await.unwrap_err();
    assert!(matches!(missing, WriteError::NoScope), "{missing:?}");
    let version = scope.set("a", &1).create_only().await.unwrap().version;
    let exists = scope.set("a", &2).create_only().await.unwrap_err();
    assert!(matches!(exists, WriteError::Exists { present } if present == version));
    let stale = scope
        .set("a", &2)
        .if_version(version + 5)
        .await
        .unwrap_err();
    assert!(matches!(stale, WriteError::VersionMismatch { present } if present == version));
    let next = scope.set("a", &2).if_version(version).await.unwrap();
    assert_eq!(next.previous, version);
    let stale = scope.delete("a").if_version(version).await.unwrap_err();
    assert_eq!(stale.code(), "version-mismatch");
    scope.delete("a").if_version(next.version).await.unwrap();
    assert_eq!(scope.delete("a").await.unwrap().previous, 0);

    let large = "x".repeat(2 << 20);
    let refused = scope.set("a", &large).await.unwrap_err();
    assert!(
        matches!(refused, WriteError::TooLarge { .. }),
        "{refused:?}"
    );
    let no_name = installation.state().scope("two words");
    assert_eq!(
        no_name.set("a", &1).await.unwrap_err().code(),
        "bad-request"
    );
}

async fn a_value_with_a_time_to_live_goes_away_unless_it_is_touched(transport: Transport) {
    let installation = Installation::start(transport).await;
    let scope = installation.state().scope(SCOPE);
    let moment = Duration::from_millis(200);
    let hour = Duration::from_secs(3600);
    scope.set("stays", &1).ttl(moment).await.unwrap();
    let touched = scope.touch("stays", Some(hour)).await.unwrap();
    let entry = scope.get::<u8>("stays").await.unwrap().unwrap();
    assert_eq!(entry.version, touched.version);
    assert!(entry.ttl.unwrap() > Duration::from_secs(3000));
    let mut watch = scope.watch().key("goes").start().await.unwrap();
    scope.set("goes", &1).ttl(moment).await.unwrap();
    let mut told = Vec::new();
    while told.len() < 2 {
        if let plantd_client::state::WatchItem::Change(change) =
            watch.next().await.unwrap().unwrap()
        {
            told.push(change.event);
        }
    }
    assert_eq!(told, [Event::Set, Event::Expire]);
    assert_eq!(scope.get::<u8>("goes").await.unwrap(), None);
    let missing = scope.touch("goes", None).await.unwrap_err();
    assert!(matches!(missing, WriteError::NotFound), "{missing:?}");
}

async fn lists_go_on_page_by_page(transport: Transport) {
    let installation = Installation::start(transport).await;
    let state = installation.state();
    let scope = state.scope(SCOPE);
    let key = |number: u32| format!("key/{number:03}");
    let set = |number| Operation::set(SCOPE, &key(number), Value::json(&number).unwrap());
    state.batch((0..25).map(set)).await.unwrap();
    scope.set("other", &1).await.unwrap();
    let keys = scope.list().prefix("key/").page(10).keys().all().await;
    assert_eq!(keys.unwrap(), (0..25).map(key).collect::<Vec<_>>());
    let mut entries = scope.list().prefix("key/").after(key(20)).page(2).entries();
    for number in 21..25 {
        let entry = entries
            .next()
            .await
            .unwrap()
            .unwrap()
            .decode::<u32>()
            .unwrap();
        assert_eq!((entry.key, entry.value), (key(number), number));
    }
    assert!(entries.next().await.is_none());
    assert_eq!(scope.delete_prefix("key/").await.unwrap(), 25);
    assert_eq!(scope.list().keys().all().await.unwrap(), ["other"]);
    let missing = state.scope("org.example.None").list().keys().all().await;
    assert!(matches!(missing, Err(ReadError::NoScope)));
    let stats = scope.stats().await.unwrap();
    assert_eq!((stats.keys, stats.sequence), (1, 52));
    assert!(state.stats().await.unwrap().commits >= 3);
}

async fn a_history_tells_every_change_the_newest_first(transport: Transport) {
    let installation = Installation::start(transport).await;
    let scope = installation.state().scope(SCOPE);
    for number in 1..=110 {
        scope.set("a", &number).await.unwrap();
    }
    scope.delete("a").await.unwrap();
    let history = scope.history("a").all().await.unwrap();
    assert_eq!(history.len(), 111);
    assert_eq!(
        (history[0].event, &history[0].value),
        (Event::Delete, &None)
    );
    let values = history[1..].iter().map(|change| {
        let value = change.value.as_ref().unwrap();
        value.decode::<u32>().unwrap()
    });
    assert!(values.eq((1..=110).rev()));
}

async fn a_batch_is_done_whole_or_not_at_all(transport: Transport) {
    let installation = Installation::start(transport).await;
    let state = installation.state();
    let one = || Value::json(&1).unwrap();
    let done = state
        .batch([
            Operation::set("org.example.A", "a", one()),
            Operation::set("org.example.B", "b", one()).create_only(),
        ])
        .await
        .unwrap();
    assert_eq!(done.iter().map(|it| it.version).collect::<Vec<_>>(), [2, 2]);
    let refused = state
        .batch([
            Operation::delete("org.example.A", "a"),
            Operation::check("org.example.B", "b", 7),
        ])
        .await
        .unwrap_err();
    let WriteError::InBatch { index: 1, source } = refused else {
        panic!("the second is refused: {refused:?}");
    };
    assert!(matches!(
        *source,
        WriteError::VersionMismatch { present: 2 }
    ));
    let kept = state.scope("org.example.A").get::<u8>("a").await.unwrap();
    assert_eq!(kept.unwrap().value, 1);
}

async fn scopes_are_made_listed_and_deleted(transport: Transport) {
    let installation = Installation::start(transport).await;
    let state = installation.state();
    for name in ["org.b", "org.a", "com.c"] {
        state.create_scope(name).await.unwrap();
    }
    let exists = state.create_scope("org.a").await.unwrap_err();
    assert!(matches!(exists, WriteError::ScopeExists), "{exists:?}");
    assert_eq!(
        state.scopes("org.").all().await.unwrap(),
        ["org.a", "org.b"]
    );
    state.scope("org.a").set("k", &1).await.unwrap();
    assert_eq!(state.delete_scope("org.a").await.unwrap(), 1);
    let missing = state.delete_scope("org.a").await.unwrap_err();
    assert!(matches!(missing, WriteError::NoScope), "{missing:?}");
}

async fn of_two_clients_that_count_up_by_comparing_none_loses_a_count(transport: Transport) {
    const COUNTS: u32 = 30;
    let installation = Installation::start(transport).await;
    let count_up = || {
        let scope = installation.state().scope(SCOPE);
        tokio::spawn(async move {
            for _ in 0..COUNTS {
                loop {
                    let entry = scope.get::<u32>("count").await.unwrap();
                    let (count, version) = entry.map_or((0, 0), |it| (it.value, it.version));
                    match scope.set("count", &(count + 1)).if_version(version).await {
                        Ok(_) => break,
                        Err(WriteError::VersionMismatch { present }) => assert!(present > version),
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
        })
    };
    let (one, other) = (count_up(), count_up());
    one.await.unwrap();
    other.await.unwrap();
    let scope = installation.state().scope(SCOPE);
    let count = scope.get::<u32>("count").await.unwrap().unwrap();
    assert_eq!(count.value, 2 * COUNTS);
}
