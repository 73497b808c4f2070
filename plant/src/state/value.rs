//! A value to be written, from an argument, stdin or a file.

use std::io;

use plantd_client::state::Value;

use crate::cli::ValueArguments;
use crate::failure::Failure;
use crate::input::{Most, STDIN};

/// The most that any state service can be told to take.
const SERVICE: Most = Most {
    mib: 2,
    nobody: "no state service",
};

/// Reads the value; JSON, unless it is said to be a text or bytes.
pub(super) fn read(arguments: &ValueArguments) -> Result<Value, Failure> {
    let bytes = match (&arguments.value, &arguments.file) {
        (_, Some(path)) => SERVICE.read_file(path)?,
        (Some(text), None) if text == STDIN => SERVICE.read(&mut io::stdin().lock(), "stdin")?,
        (Some(text), None) => text.clone().into_bytes(),
        (None, None) => Vec::new(),
    };
    of(bytes, arguments.text, arguments.content_type.as_deref())
}

fn of(bytes: Vec<u8>, is_text: bool, content_type: Option<&str>) -> Result<Value, Failure> {
    if let Some(content_type) = content_type {
        return Ok(Value::bytes(content_type, bytes));
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        let problem = "the value is not UTF-8; --content-type keeps it as bytes";
        Failure::Usage(problem.to_owned())
    })?;
    let value = if is_text {
        Value::json(&text)
    } else {
        Value::json_text(text.trim())
    };
    value.map_err(|_| {
        let problem = "the value is not JSON; --text keeps it as a text, --content-type as bytes";
        Failure::Usage(problem.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_json_unless_it_is_said_to_be_something_else() {
        let json = of(b" {\"a\": 1}\n".to_vec(), false, None).unwrap();
        assert_eq!(json, Value::json_text("{\"a\": 1}").unwrap());
        let text = of(b"hello\n".to_vec(), true, None).unwrap();
        assert_eq!(text, Value::json("hello\n").unwrap());
        let bytes = of(b"\xff".to_vec(), false, Some("x/y")).unwrap();
        assert_eq!(bytes, Value::bytes("x/y", &b"\xff"[..]));
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_way_out() {
        for bytes in [&b"hello"[..], b"", b"\xff", b"1 2"] {
            let failure = of(bytes.to_vec(), false, None).unwrap_err();
            assert!(failure.to_string().contains("--content-type"), "{failure}");
        }
    }
}
