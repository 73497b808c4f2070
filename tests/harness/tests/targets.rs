//! Every target, by bytes of proptest and by what the fuzzers have found worth keeping.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use plantd_harness::{TARGETS, Target};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Gives a target bytes, many to a case, so that there is something in most of them.
fn property(target: &Target) {
    let config = Config {
        cases: 100,
        failure_persistence: None,
        ..Config::default()
    };
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..64),
        vec(any::<u8>(), 64..1500),
        // Of few values, so that numbers of steps and lengths are small.
        vec(0u8..32, 0..600),
    ];
    let outcome = TestRunner::new(config).run(&bytes, |bytes| {
        (target.run)(&bytes);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{}: {failure}", target.name);
    }
}

/// One test for each target, by the name of the target.
macro_rules! properties {
    ($($name:ident),+ $(,)?) => {
        const TESTED: &[&str] = &[$(stringify!($name)),+];
        $(#[test]
        fn $name() {
            property(target(stringify!($name)));
        })+
    };
}

properties!(
    greeting,
    handshake,
    traffic,
    subscriptions,
    conversation,
    message,
    mdp01,
    mdp02,
    words,
    mdp03,
    replies,
    header,
    properties,
    publication,
    broker,
    management,
    worker,
    client,
    topics,
    bus,
    yaml,
    toml,
    json,
    environment,
    arguments,
    endpoint,
    service_name,
);

fn target(name: &str) -> &'static Target {
    let mut targets = TARGETS.iter();
    targets
        .find(|target| target.name == name)
        .expect("a target of this name")
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("a folder can be listed").path())
        .collect();
    paths.sort();
    paths
}

#[test]
fn every_target_has_a_property_a_fuzzer_and_a_corpus() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(TESTED, names);
    let mut sorted = names.clone();
    sorted.sort_unstable();
    for (folder, extension) in [("fuzz_targets", "rs"), ("corpus", "")] {
        let paths = listed(&fuzz().join(folder));
        let found = paths.iter().map(|path| path.with_extension(""));
        let found: Vec<_> = found
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(found, sorted, "fuzz/{folder}");
        assert!(
            paths
                .iter()
                .all(|path| path.extension().unwrap_or_default() == extension)
        );
    }
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in names {
        let source = fuzz().join("fuzz_targets").join(name).with_extension("rs");
        let source = fs::read_to_string(source).unwrap();
        assert!(
            source.contains(&format!("plantd_harness::{name}(bytes)")),
            "{name}"
        );
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is not built"
        );
        let corpus = listed(&fuzz().join("corpus").join(name));
        assert!(!corpus.is_empty(), "{name} has an empty corpus");
    }
}

#[test]
fn every_input_of_the_corpora_keeps_every_promise() {
    let mut failures = Vec::new();
    for target in TARGETS {
        for path in listed(&fuzz().join("corpus").join(target.name)) {
            let bytes = fs::read(&path).unwrap();
            let run = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(&bytes)));
            if run.is_err() {
                failures.push(path);
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
