//! What the documents say, against the tree and the code.

use std::path::Path;

use plantd_mdp::{ErrorCode, Rejection};

use crate::assert_none;
use crate::tree::{files, read, root};

/// What comes before a list that a test compares with the code.
const GUARANTEES: &str = "<!-- guarantees -->";
const REASONS: &str = "<!-- reasons: plantd_mdp::Rejection -->";
const CODES: &str = "<!-- codes: plantd_mdp::ErrorCode -->";
const LOGGER_REASONS: &str = "<!-- reasons: plantd_logger::Reason -->";
const STATE_CODES: &str = "<!-- codes: plantd_state::Code -->";

#[test]
fn links_between_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    for document in files("md") {
        let folder = document.parent().unwrap_or(Path::new(""));
        for link in links(&prose(&read(&document))) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                root().join(&document)
            } else {
                root().join(folder).join(file)
            };
            let found = target.exists()
                && (heading.is_empty() || headings(&read(&target)).iter().any(|h| h == heading));
            if !found {
                complaints.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn the_readme_shows_whole_files() {
    let readme = read("README.md");
    let mut complaints = Vec::new();
    let mut parts = readme.split("```");
    let mut before = parts.next().unwrap_or_default();
    while let (Some(block), Some(after)) = (parts.next(), parts.next()) {
        let (language, shown) = block.split_once('\n').unwrap_or_default();
        if matches!(language, "python" | "rust") {
            match file_of(before) {
                None => complaints.push(format!("no file is named before\n{shown}")),
                Some(path) if read(path) != shown => complaints.push(format!("{path} differs")),
                Some(_) => {}
            }
        }
        before = after;
    }
    assert_none(complaints);
}

/// The path in a comment that ends the text: `<!-- docs/examples/request.py -->`.
fn file_of(before: &str) -> Option<&str> {
    let last = before.trim_end().lines().next_back()?;
    last.strip_prefix("<!-- ")?.strip_suffix(" -->")
}

#[test]
fn every_reason_of_a_rejection_is_listed() {
    let listed = first_column("docs/protocol.md", REASONS);
    assert_eq!(listed, Rejection::ALL.map(Rejection::as_str));
}

#[test]
fn every_reason_of_the_logger_is_listed() {
    let listed = first_column("docs/protocol.md", LOGGER_REASONS);
    assert_eq!(
        listed,
        plantd_logger::Reason::ALL.map(plantd_logger::Reason::as_str)
    );
}

#[test]
fn every_code_of_an_error_is_listed() {
    let listed = first_column("docs/protocol.md", CODES);
    assert_eq!(listed, ErrorCode::ALL.map(ErrorCode::as_str));
}

#[test]
fn every_code_of_the_state_service_is_listed() {
    let listed = first_column("docs/protocol.md", STATE_CODES);
    assert_eq!(
        listed,
        plantd_state::Code::ALL.map(plantd_state::Code::as_str)
    );
}

#[test]
fn every_guarantee_is_held_by_tests_that_exist() {
    let text = read("docs/guarantees.md");
    let (_, after) = text.split_once(GUARANTEES).expect("the marker is there");
    let rows = after.lines().skip_while(|line| line.is_empty());
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let sources: Vec<String> = files("rs").iter().map(read).collect();
    let mut complaints = Vec::new();
    for row in rows {
        let held_by = row.split('|').nth(3).unwrap_or_default();
        let names: Vec<&str> = held_by.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            complaints.push(format!("no test holds {row}"));
        }
        for name in names {
            let declared = format!("fn {name}(");
            if !sources.iter().any(|source| source.contains(&declared)) {
                complaints.push(format!("there is no test {name}"));
            }
        }
    }
    assert_none(complaints);
}

/// The first column of the table after a marker, without its head and quotes.
fn first_column(document: &str, marker: &str) -> Vec<String> {
    let text = read(document);
    let (_, after) = text.split_once(marker).expect("the marker is there");
    let table = after
        .lines()
        .skip_while(|line| line.is_empty())
        .take_while(|line| line.starts_with('|'));
    let cells = table.skip(2).filter_map(|row| row.split('|').nth(1));
    cells
        .map(|cell| cell.trim().trim_matches('`').to_owned())
        .collect()
}

/// The text without blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The targets of links that stay in the repository.
fn links(text: &str) -> Vec<String> {
    let targets = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    let inside = targets.filter(|target| !target.contains("://"));
    inside.map(str::to_owned).collect()
}

/// The anchors of a document's headings.
fn headings(text: &str) -> Vec<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    let titles = headings.map(|line| line.trim_start_matches('#').trim_start());
    let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let kept = titles.map(|title| title.chars().filter(is_kept).collect::<String>());
    kept.map(|title| title.to_lowercase().replace(' ', "-"))
        .collect()
}
