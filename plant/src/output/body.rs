//! What is in a body, for people and for programs.

use std::collections::BTreeMap;

use plantd_client::{Body, Properties};
use serde::Serialize;

/// A frame in JSON: its text, or its bytes in hexadecimal digits.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Frame {
    Text(String),
    Hex(String),
}

/// The frames of a body in JSON.
pub(crate) fn frames(body: &Body) -> Vec<Frame> {
    body.frames().map(Frame::of).collect()
}

/// The properties of a reply in JSON.
pub(crate) fn properties(properties: &Properties) -> BTreeMap<&str, &str> {
    properties.iter().collect()
}

/// A body for people: a line or more for each frame.
///
/// Text stands as it is, but for control characters: what a stranger sent does not steer the
/// terminal. Other bytes are escaped.
pub(crate) fn readable(body: &Body) -> String {
    let mut shown = String::new();
    for frame in body.frames() {
        let begin = shown.len();
        match str::from_utf8(frame) {
            Ok(text) => escape(
                text,
                |c| c.is_control() && c != '\n' && c != '\t',
                &mut shown,
            ),
            Err(_) => shown.extend(frame.escape_ascii().map(char::from)),
        }
        if !shown[begin..].ends_with('\n') {
            shown.push('\n');
        }
    }
    shown
}

/// A text as one line: control characters, line ends too, are escaped.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::new();
    escape(text, char::is_control, &mut line);
    line
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool, shown: &mut String) {
    for character in text.chars() {
        if is_escaped(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
}

impl Frame {
    fn of(frame: &[u8]) -> Self {
        match str::from_utf8(frame) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Hex(frame.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_begins_a_line() {
        let body = Body::from_frames(["hello", "", "two\nlines\n", "tab\tend"]);
        assert_eq!(readable(&body), "hello\n\ntwo\nlines\ntab\tend\n");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            readable(&Body::from("\u{1b}[31mred\u{9b}\0")),
            "\\u{1b}[31mred\\u{9b}\\u{0}\n"
        );
        assert_eq!(one_line("a\nb\rc\td"), "a\\nb\\rc\\td");
    }

    #[test]
    fn what_is_not_text_is_escaped() {
        assert_eq!(readable(&Body::from(b"\xffab\x00\"")), "\\xffab\\x00\\\"\n");
    }

    #[test]
    fn frames_are_text_or_hexadecimal_in_json() {
        let body = Body::from_frames([&b"hi\x1b"[..], b"\xff\x00"]);
        let json = serde_json::to_string(&frames(&body)).unwrap();
        assert_eq!(json, r#"[{"text":"hi\u001b"},{"hex":"ff00"}]"#);
    }
}
