//! Who may import whom.

use crate::assert_none;
use crate::tree::{files, packages, read};

/// What each package may be built from, of the others of the workspace.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("plantd-zmtp", &[]),
    ("plantd-mdp", &["plantd-zmtp"]),
    ("plantd-daemon", &[]),
    (
        "plantd-broker",
        &["plantd-daemon", "plantd-mdp", "plantd-zmtp"],
    ),
    ("plantd-client", &["plantd-mdp", "plantd-zmtp"]),
    ("plantd-module-echo", &["plantd-client", "plantd-daemon"]),
    ("plantd-module-metric", &["plantd-client", "plantd-daemon"]),
    ("plantd-logger", &["plantd-client", "plantd-daemon"]),
    ("plantd-state", &["plantd-client", "plantd-daemon"]),
    ("plant", &["plantd-client", "plantd-state"]),
    (
        "plantd",
        &[
            "plantd-broker",
            "plantd-daemon",
            "plantd-module-echo",
            "plantd-module-metric",
            "plantd-state",
        ],
    ),
    (
        "plantd-bench",
        &["plantd-broker", "plantd-daemon", "plantd-state"],
    ),
    ("plantd-test-process", &[]),
    ("plantd-sim", &["plantd-mdp", "plantd-zmtp"]),
    (
        "plantd-harness",
        &[
            "plantd-broker",
            "plantd-client",
            "plantd-daemon",
            "plantd-mdp",
            "plantd-zmtp",
        ],
    ),
    (
        "plantd-faults",
        &[
            "plantd-broker",
            "plantd-client",
            "plantd-daemon",
            "plantd-tests",
        ],
    ),
    (
        "plantd-tests",
        &[
            "plantd-broker",
            "plantd-client",
            "plantd-daemon",
            "plantd-mdp",
            "plantd-module-echo",
            "plantd-test-process",
            "plantd-state",
            "plantd-zmtp",
        ],
    ),
];

#[test]
fn packages_import_only_what_they_may() {
    let packages = packages();
    let of_ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut complaints = Vec::new();
    for package in &packages {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == package.name) else {
            complaints.push(format!("{} is not in the table of imports", package.name));
            continue;
        };
        let imports = package.imports.iter().filter(|import| of_ours(import));
        let wrong = imports.filter(|import| !allowed.contains(&import.as_str()));
        complaints.extend(wrong.map(|import| format!("{} imports {import}", package.name)));
    }
    assert_none(complaints);
}

#[test]
fn only_libraries_are_imported() {
    let packages = packages();
    let is_library = |name: &str| {
        let package = packages.iter().find(|package| package.name == name);
        package.is_none_or(|package| package.targets.iter().any(|target| target.kind == "lib"))
    };
    let mut complaints = Vec::new();
    for package in &packages {
        let programs = package.imports.iter().filter(|import| !is_library(import));
        complaints.extend(programs.map(|program| format!("{} imports {program}", package.name)));
    }
    assert_none(complaints);
}

/// What Majordomo knows of ZMTP: a message, how its frames are walked, and how it is kept.
const OF_ZMTP: [&str; 3] = ["Message", "Frames", "Kept"];

#[test]
fn majordomo_knows_of_zmtp_its_message_only() {
    let sources = files("rs").into_iter();
    let sources = sources.filter(|path| path.starts_with("core/mdp/src"));
    let mut complaints = Vec::new();
    for path in sources {
        let text = read(&path);
        for used in text.split("plantd_zmtp::").skip(1) {
            let names = match used.strip_prefix('{') {
                Some(list) => list.split('}').next().unwrap_or_default(),
                None => used
                    .split(|c: char| !c.is_alphanumeric())
                    .next()
                    .unwrap_or_default(),
            };
            let mut names = names
                .split(',')
                .map(str::trim)
                .filter(|name| !name.is_empty());
            if let Some(name) = names.find(|name| !OF_ZMTP.contains(name)) {
                complaints.push(format!("{} uses {name}", path.display()));
            }
        }
    }
    assert_none(complaints);
}
