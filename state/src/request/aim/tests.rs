//! The router's look at a request, beside the store's.

use std::time::Duration;

use std::cell::RefCell;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::refusal::Code;
use crate::request::Limits;

const LIMITS: Limits = Limits {
    value_bytes: 1 << 20,
    retry_window: Duration::from_secs(600),
};

/// The scopes that an operation is held to, in order.
fn scopes(operation: &Operation) -> Vec<Scope> {
    let scopes = RefCell::new(Vec::new());
    let noted = operation.check_scopes(|scope| {
        scopes.borrow_mut().push(scope.clone());
        Ok(())
    });
    assert_eq!(noted, Ok(()));
    scopes.into_inner()
}

fn any_fields() -> impl Strategy<Value = Map<String, Value>> {
    let scope = || {
        prop_oneof![
            8 => Just(json!("org.a")),
            8 => Just(json!("org.b")),
            1 => Just(json!("a b")),
            1 => Just(json!(7)),
        ]
    };
    let operation = (
        prop_oneof![Just("set"), Just("delete"), Just("check"), Just("put")],
        prop::option::of(scope()),
        "[a-z]{0,2}",
    )
        .prop_map(|(op, scope, key)| {
            let mut fields = json!({"op": op, "key": key});
            if let Some(scope) = scope {
                fields["scope"] = scope;
            }
            if op == "set" {
                fields["value"] = json!(1);
            }
            if op == "check" {
                fields["if-version"] = json!(1);
            }
            fields
        });
    let operations = prop::collection::vec(operation, 0..4).prop_map(Value::from);
    (
        prop::option::weighted(0.8, scope()),
        prop::option::weighted(0.2, scope()),
        prop::option::weighted(0.7, Just(json!("a"))),
        prop::option::weighted(0.3, Just(json!(1))),
        prop::option::weighted(0.3, operations),
        prop::option::weighted(0.2, prop_oneof![Just(json!(1)), Just(json!(0))]),
        prop::option::weighted(0.1, Just(json!(true))),
    )
        .prop_map(|(scope, service, key, value, operations, limit, stray)| {
            let named = [
                ("scope", scope),
                ("service", service),
                ("key", key),
                ("value", value),
                ("operations", operations),
                ("limit", limit),
                ("stray", stray),
            ];
            let named = named.into_iter();
            named
                .filter_map(|(name, value)| Some((name.to_owned(), value?)))
                .collect()
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// What a store takes a router hands on, to the shard of the scopes that the store holds it to.
    #[test]
    fn a_router_hands_on_whatever_a_store_takes(
        name in prop::sample::select(vec![
            "state-set", "state-get", "delete", "touch", "batch", "delete-prefix", "create-scope",
            "delete-scope", "list-scopes", "list-keys", "history", "watch", "health", "stats",
            "backup", "verify", "shards", "state-put",
        ]),
        fields in any_fields(),
    ) {
        let json = Value::Object(fields).to_string();
        let asked = Operation::parse(name.as_bytes(), json.as_bytes(), &LIMITS);
        let aimed = Aim::parse(name.as_bytes(), json.as_bytes());
        match (asked, aimed) {
            (Ok((known, operation)), aimed) => {
                let (name, aim) = aimed.unwrap();
                prop_assert_eq!(known, name);
                let aimed_at = match aim {
                    Aim::Scope { scope, .. } => vec![scope],
                    Aim::Batch(scopes) => scopes,
                    Aim::ListScopes(_)
                    | Aim::Health
                    | Aim::Stats
                    | Aim::Backup { .. }
                    | Aim::Verify { .. }
                    | Aim::Shards => Vec::new(),
                };
                prop_assert_eq!(scopes(&operation), aimed_at);
            }
            (Err(refusal), Err(other)) => prop_assert_eq!(refusal.code, other.code),
            // What else it says is for the store to judge.
            (Err(refusal), Ok(_)) => prop_assert_eq!(refusal.code, Code::BadRequest),
        }
    }
}
