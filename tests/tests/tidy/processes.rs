//! What starts the processes, against the programs that there are.

use crate::assert_none;
use crate::tree::{packages, read};

/// Packages whose programs are for those who work on plantd.
const OF_DEVELOPERS: [&str; 4] = [
    "plantd-bench",
    "plantd-faults",
    "plantd-sim",
    "plantd-tests",
];

/// Every program that users run.
fn programs() -> Vec<String> {
    let packages = packages().into_iter();
    let packages = packages.filter(|package| !OF_DEVELOPERS.contains(&package.name.as_str()));
    let targets = packages.flat_map(|package| package.targets);
    let programs = targets.filter(|target| target.kind == "bin");
    programs.map(|target| target.name).collect()
}

#[test]
fn the_procfile_starts_programs_of_the_workspace() {
    let programs = programs();
    let mut complaints = Vec::new();
    for line in read("Procfile").lines() {
        let program = line.split_once(": build/").map(|(_, command)| command);
        let program = program.and_then(|command| command.split_whitespace().next());
        if !program.is_some_and(|program| programs.iter().any(|known| known == program)) {
            complaints.push(line.to_owned());
        }
    }
    assert_none(complaints);
}

#[test]
fn make_and_the_image_build_every_program() {
    let mut complaints = Vec::new();
    for document in ["Makefile", "deploy/Dockerfile"] {
        let text = read(document);
        let names: Vec<&str> = text
            .split(|c: char| !(c.is_alphanumeric() || c == '-'))
            .collect();
        let missing = programs()
            .into_iter()
            .filter(|program| !names.contains(&program.as_str()));
        complaints.extend(missing.map(|program| format!("{document} has no {program}")));
    }
    assert_none(complaints);
}
