//! Every case of the conformance list has a test that carries its number.
//!
//! A test shows the case that its name begins with: `case_07_…`, `cases_38_to_40_…`,
//! `cases_41_and_42_…`.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The cases are numbered from 1 to this.
const LAST: u32 = 72;

/// Where the tests are whose peers are connected by sockets.
const OVER_SOCKETS: &str = "tests/tests/";

/// Cases that need more orders or more time than a socket can give in a test.
const VIRTUAL_ONLY: [u32; 1] = [32];

/// Cases whose times and shares are shown as turns of the router or in virtual time.
const VIRTUAL_TOO: [u32; 11] = [8, 25, 26, 27, 28, 29, 31, 32, 37, 57, 58];

#[test]
fn every_case_has_a_test() {
    let suites = suites();
    let missing: Vec<u32> = (1..=LAST)
        .filter(|case| !suites.contains_key(case))
        .collect();
    assert!(
        missing.is_empty(),
        "cases without a test: {missing:?}\n{}",
        table(&suites)
    );
    let unknown = suites.keys().find(|case| !(1..=LAST).contains(*case));
    assert_eq!(unknown, None, "there is no such case\n{}", table(&suites));
}

#[test]
fn every_case_that_a_peer_can_show_has_a_test_over_sockets() {
    let suites = suites();
    let over_sockets = |case: &u32| {
        let suites = suites.get(case);
        suites.is_some_and(|suites| suites.iter().any(|suite| suite.starts_with(OVER_SOCKETS)))
    };
    let missing: Vec<u32> = (1..=LAST)
        .filter(|case| !VIRTUAL_ONLY.contains(case))
        .filter(|case| !over_sockets(case))
        .collect();
    assert!(
        missing.is_empty(),
        "cases without a test over sockets: {missing:?}\n{}",
        table(&suites)
    );
}

#[test]
fn every_case_about_time_has_a_test_without_a_clock() {
    let suites = suites();
    let in_virtual_time = |case: &u32| {
        let suites = suites.get(case);
        suites.is_some_and(|suites| suites.iter().any(|suite| !suite.starts_with(OVER_SOCKETS)))
    };
    let missing: Vec<u32> = VIRTUAL_TOO
        .into_iter()
        .filter(|case| !in_virtual_time(case))
        .collect();
    assert!(
        missing.is_empty(),
        "cases without a test in virtual time: {missing:?}\n{}",
        table(&suites)
    );
}

#[test]
fn a_name_tells_the_cases_that_it_shows() {
    assert_eq!(cases_of("case_07_a_busy_worker"), [7]);
    assert_eq!(cases_of("cases_41_and_42_nothing"), [41, 42]);
    assert_eq!(cases_of("cases_38_to_40_no_protocol"), [38, 39, 40]);
    assert_eq!(cases_of("case_72"), [72]);
    assert_eq!(cases_of("cases_of"), [0; 0]);
    assert_eq!(cases_of("a_case_of_beer"), [0; 0]);
}

/// The files that have tests of each case.
fn suites() -> BTreeMap<u32, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for folder in ["broker", "client", "core", "tests"] {
        collect(&root.join(folder), &mut files);
    }
    let this = root.join("tests/tests/cases.rs");
    let mut suites: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for file in files.iter().filter(|file| **file != this) {
        let text = fs::read_to_string(file).unwrap();
        let suite = file.strip_prefix(root).unwrap().display().to_string();
        for name in text.lines().filter_map(function_name) {
            for case in cases_of(name) {
                suites.entry(case).or_default().insert(suite.clone());
            }
        }
    }
    suites
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

fn cases_of(name: &str) -> Vec<u32> {
    let mut words = name.split('_');
    let several = match words.next() {
        Some("case") => false,
        Some("cases") => true,
        Some(_) | None => return Vec::new(),
    };
    let Some(first) = words.next().and_then(|word| word.parse().ok()) else {
        return Vec::new();
    };
    let joint = words.next().filter(|_| several);
    let last = words.next().and_then(|word| word.parse().ok());
    match (joint, last) {
        (Some("and" | "to"), Some(last)) => (first..=last).collect(),
        (Some(_) | None, _) => vec![first],
    }
}

fn table(suites: &BTreeMap<u32, BTreeSet<String>>) -> String {
    let row = |(case, suites): (&u32, &BTreeSet<String>)| {
        let suites: Vec<&str> = suites.iter().map(String::as_str).collect();
        format!("{case:>3}  {}", suites.join(", "))
    };
    suites.iter().map(row).collect::<Vec<_>>().join("\n")
}
