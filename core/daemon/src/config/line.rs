//! The line of a file on which a key is written.
//!
//! A reading of lines and indents, not of the grammar: right for block YAML, TOML and indented JSON.
//! Where a table stands on one line, it is that line.

/// The line, from 1, on which the last name of `path` is written, or the table that it is in.
pub(super) fn line_of(text: &str, path: &[String]) -> Option<usize> {
    let lines: Vec<&str> = text.lines().collect();
    let mut block = 0..lines.len();
    let mut found = None;
    for name in path {
        // A name may appear deeper inside a sibling too.
        let line = block
            .clone()
            .filter(|line| names(lines[*line], name))
            .min_by_key(|line| indent(lines[*line]));
        let Some(line) = line else { break };
        found = Some(line + 1);
        block = line + 1..end_of_block(&lines, line);
    }
    found
}

fn end_of_block(lines: &[&str], head: usize) -> usize {
    let is_toml_table = lines[head].trim_start().starts_with('[');
    let ends = |line: &str| match is_toml_table {
        true => line.trim_start().starts_with('['),
        false => !line.trim().is_empty() && indent(line) <= indent(lines[head]),
    };
    let rest = lines.iter().skip(head + 1);
    head + 1 + rest.take_while(|line| !ends(line)).count()
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

fn names(line: &str, name: &str) -> bool {
    line.trim_start_matches([' ', '\t', '"', '\'', '[', '{', ','])
        .strip_prefix(name)
        .is_some_and(|rest| rest.starts_with([':', '=', ' ', '"', '\'', ']', '.']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, path: &str) -> Option<usize> {
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        line_of(text, &path)
    }

    #[test]
    fn block_yaml() {
        let text = "buses:\n  - name: a\n    port: 1\nlog_level: x\n\nlimits:\n  # more\n  log: 1\n  peer:\n    port: 2\nname: b\n";
        assert_eq!(line(text, "name"), Some(11));
        assert_eq!(line(text, "limits.log"), Some(8));
        assert_eq!(line(text, "limits.peer.port"), Some(10));
        assert_eq!(line(text, "log_level"), Some(4));
        assert_eq!(line(text, "absent"), None);
    }

    #[test]
    fn a_table_on_one_line() {
        assert_eq!(
            line("a: 1\nlimits: {log: 1}\nother:\n  log: 2\n", "limits.log"),
            Some(2)
        );
        assert_eq!(line(r#"{"a": 1, "b": 2}"#, "b"), None);
    }

    #[test]
    fn toml_tables() {
        let text = "name = 1\n[limits]\nlog = 1\n[other]\nname = 2\n";
        assert_eq!(line(text, "name"), Some(1));
        assert_eq!(line(text, "limits.log"), Some(3));
        assert_eq!(line(text, "other.name"), Some(5));
    }

    #[test]
    fn indented_json() {
        let text = "{\n  \"limits\": {\n    \"name\": 1\n  },\n  \"name\": 2\n}\n";
        assert_eq!(line(text, "name"), Some(5));
        assert_eq!(line(text, "limits.name"), Some(3));
    }
}
