//! What holds for every source file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::assert_none;
use crate::tree::{files, packages, read, root};

/// Lines of a program's root file.
const MAIN_LINES: usize = 60;

/// Ends of names that say nothing about a type.
const EMPTY_NAMES: [&str; 10] = [
    "Manager",
    "Helper",
    "Util",
    "Utils",
    "Common",
    "Base",
    "Info",
    "Processor",
    "Handler",
    "Impl",
];

#[test]
fn every_source_file_is_part_of_a_target() {
    let packages = packages();
    let targets = packages.iter().flat_map(|package| &package.targets);
    let mut reached = BTreeSet::new();
    for target in targets {
        let folder = target
            .source
            .parent()
            .expect("a file has a folder")
            .to_owned();
        reach(target.source.clone(), &folder, &mut reached);
    }
    // The fuzzers are a workspace of their own, whose targets plantd-harness compares.
    let is_fuzzer = |path: &PathBuf| path.starts_with("fuzz/fuzz_targets");
    let dead = files("rs")
        .into_iter()
        .filter(|path| !reached.contains(path) && !is_fuzzer(path));
    assert_none(
        dead.map(|path| format!("{} is no module", path.display()))
            .collect(),
    );
}

/// Follows the modules of a file, whose own modules are in `folder`.
fn reach(path: PathBuf, folder: &Path, reached: &mut BTreeSet<PathBuf>) {
    for name in read(&path).lines().filter_map(declared_module) {
        let module = folder.join(format!("{name}.rs"));
        if root().join(&module).is_file() {
            reach(module, &folder.join(name), reached);
        }
    }
    reached.insert(path);
}

/// The name in `mod name;`, whatever its visibility.
fn declared_module(line: &str) -> Option<&str> {
    let words = line.trim().strip_suffix(';')?;
    match words.split_whitespace().collect::<Vec<_>>()[..] {
        ["mod", name] | [_, "mod", name] => Some(name),
        _ => None,
    }
}

#[test]
fn no_file_is_called_mod() {
    let named_mod = |path: &PathBuf| path.file_name().is_some_and(|name| name == "mod.rs");
    let found = files("rs").into_iter().filter(named_mod);
    assert_none(found.map(|path| path.display().to_string()).collect());
}

#[test]
fn mains_are_short() {
    let packages = packages();
    let targets = packages.iter().flat_map(|package| &package.targets);
    let long = targets
        .filter(|target| target.kind == "bin")
        .filter_map(|target| {
            let lines = read(&target.source).lines().count();
            (lines > MAIN_LINES).then(|| format!("{} has {lines} lines", target.source.display()))
        });
    assert_none(long.collect());
}

#[test]
fn every_file_says_its_job_in_its_first_line() {
    let silent = files("rs").into_iter().filter(|path| {
        let holds_unit_tests = path.ends_with("tests.rs");
        !holds_unit_tests && !read(path).starts_with("//! ")
    });
    assert_none(silent.map(|path| path.display().to_string()).collect());
}

#[test]
fn types_have_names_that_say_something() {
    let mut complaints = Vec::new();
    for path in files("rs") {
        for name in read(&path).lines().filter_map(declared_type) {
            if EMPTY_NAMES.iter().any(|end| name.ends_with(end)) {
                complaints.push(format!("{}: {name}", path.display()));
            }
        }
    }
    assert_none(complaints);
}

/// The name that a line declares as a type or a trait.
fn declared_type(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    words.find(|word| matches!(*word, "struct" | "enum" | "trait" | "type"))?;
    let is_of_name = |c: char| c.is_alphanumeric() || c == '_';
    words.next()?.split(|c| !is_of_name(c)).next()
}

#[test]
fn tests_run_always_and_wait_for_events() {
    // Put together here, so that this file has none of them.
    let banned = [
        ("#[", "ignore"),
        ("#[", "should_panic"),
        ("thread::", "sleep("),
        ("#[", "allow("),
        ("#![", "allow("),
    ]
    .map(|(start, end)| format!("{start}{end}"));
    let mut complaints = Vec::new();
    for path in files("rs") {
        let text = read(&path);
        let found = banned.iter().filter(|banned| text.contains(*banned));
        complaints.extend(found.map(|banned| format!("{}: {banned}", path.display())));
    }
    assert_none(complaints);
}
