//! What documents and deployment say of configuration, against the daemons' own keys.

use std::collections::{BTreeMap, BTreeSet};

use plantd_daemon::config::{Settings, Sources, load};
use serde_json::Value;

use crate::assert_none;
use crate::tree::read;

#[test]
fn operations_list_every_key_with_its_default() {
    let mut complaints = listed_wrong::<plantd_broker::Config>();
    complaints.extend(listed_wrong::<plantd_module_echo::Config>());
    complaints.extend(listed_wrong::<plantd_module_metric::Config>());
    complaints.extend(listed_wrong::<plantd_logger::Config>());
    complaints.extend(listed_wrong::<plantd_state::Config>());
    assert_none(complaints);
}

/// Compares the tables of `docs/operations.md` with a daemon's default.
fn listed_wrong<T: Settings>() -> Vec<String> {
    let document = read("docs/operations.md");
    let mut listed = keys_listed(&document, "every daemon");
    listed.extend(keys_listed(&document, T::NAME));
    let mut actual = BTreeMap::new();
    leaves(
        &serde_json::to_value(T::default()).expect("keys are plain data"),
        "",
        &mut actual,
    );
    let keys: BTreeSet<&String> = listed.keys().chain(actual.keys()).collect();
    let wrong = keys
        .into_iter()
        .filter(|key| listed.get(*key) != actual.get(*key));
    wrong
        .map(|key| {
            format!(
                "{} {key}: {:?}, not {:?}",
                T::NAME,
                actual.get(key),
                listed.get(key)
            )
        })
        .collect()
}

/// Keys and defaults of the table after `<!-- keys: … -->`.
fn keys_listed(document: &str, daemon: &str) -> BTreeMap<String, String> {
    let (_, after) = document
        .split_once(&format!("<!-- keys: {daemon} -->\n\n"))
        .expect("a table");
    let rows = after
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2);
    let cells = rows.map(|row| {
        row.split('|')
            .map(|cell| cell.trim().trim_matches('`'))
            .collect::<Vec<_>>()
    });
    cells
        .map(|cells| (cells[1].to_owned(), cells[2].to_owned()))
        .collect()
}

fn leaves(value: &Value, key: &str, found: &mut BTreeMap<String, String>) {
    let default = match value {
        Value::Object(table) => {
            for (name, value) in table {
                let key = if key.is_empty() {
                    name.clone()
                } else {
                    format!("{key}.{name}")
                };
                leaves(value, &key, found);
            }
            return;
        }
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(list) => match list
            .iter()
            .map(|item| item["name"].as_str())
            .collect::<Option<Vec<_>>>()
        {
            // Things with names of their own are listed elsewhere in full.
            Some(names) if !names.is_empty() => names.join(", "),
            Some(_) | None => value.to_string(),
        },
    };
    found.insert(key.to_owned(), default);
}

#[test]
fn environments_that_come_with_plantd_are_accepted() {
    for file in [".env.development", "docker-compose.yml"] {
        let variables = variables(&read(file));
        assert!(!variables.is_empty(), "{file}");
        let mut complaints = refused::<plantd_broker::Config>(&variables);
        complaints.extend(refused::<plantd_module_echo::Config>(&variables));
        complaints.extend(refused::<plantd_module_metric::Config>(&variables));
        complaints.extend(refused::<plantd_logger::Config>(&variables));
        complaints.extend(refused::<plantd_state::Config>(&variables));
        assert_none(complaints);
    }
}

/// `PLANTD_…` with its value, in the notation of environment files and of YAML.
fn variables(text: &str) -> BTreeMap<String, String> {
    let settings = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("PLANTD_"));
    let pairs = settings.filter_map(|line| line.split_once(['=', ':']));
    pairs
        .map(|(name, value)| (name.to_owned(), value.trim().trim_matches('"').to_owned()))
        .collect()
}

fn refused<T: Settings>(variables: &BTreeMap<String, String>) -> Vec<String> {
    let sources = Sources {
        environment: variables.clone(),
        ..Sources::default()
    };
    load::<T>(&sources)
        .err()
        .map(|errors| errors.to_string())
        .into_iter()
        .collect()
}

#[test]
fn the_buses_that_there_are_by_default_are_listed_with_their_ports() {
    let document = read("docs/protocol.md");
    let (_, after) = document.split_once("<!-- buses -->\n\n").expect("a table");
    let rows = after.lines().take_while(|line| line.starts_with('|'));
    let listed: Vec<String> = rows.skip(2).map(str::to_owned).collect();
    let buses = plantd_broker::Config::default().buses;
    let rows = buses.iter().map(|bus| {
        let endpoints = [
            Some(&bus.frontend),
            Some(&bus.backend),
            bus.capture.as_ref(),
        ];
        let endpoints = endpoints.into_iter().flatten().flat_map(|list| list.iter());
        let ports = endpoints.map(|endpoint| {
            let endpoint = endpoint.to_string();
            let port = endpoint.strip_prefix("tcp://127.0.0.1:");
            port.expect("a port of this machine").to_owned()
        });
        let ports: Vec<String> = ports.collect();
        format!("| {} | {} |", bus.name, ports.join(" | "))
    });
    assert_eq!(listed, rows.collect::<Vec<_>>());
}
