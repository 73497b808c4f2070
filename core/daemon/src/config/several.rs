//! A value that may be given several times.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// At least one value, written as one text or as a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "Written",
    into = "Written",
    bound(
        serialize = "T: Clone + fmt::Display",
        deserialize = "T: FromStr, T::Err: fmt::Display"
    )
)]
pub struct OneOrMore<T>(Vec<T>);

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, or a list of them")]
enum Written {
    One(String),
    More(Vec<String>),
}

impl<T> OneOrMore<T> {
    /// Just one.
    pub fn one(value: T) -> Self {
        Self(vec![value])
    }

    /// Every value, in the order in which they are written.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<T> TryFrom<Written> for OneOrMore<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let texts = match written {
            Written::One(text) => vec![text],
            Written::More(texts) => texts,
        };
        if texts.is_empty() {
            return Err("expected at least one".to_owned());
        }
        let values = texts.iter().map(|text| text.parse());
        let values: Result<_, T::Err> = values.collect();
        values.map(Self).map_err(|error| error.to_string())
    }
}

impl<T: fmt::Display> From<OneOrMore<T>> for Written {
    fn from(values: OneOrMore<T>) -> Self {
        let mut texts: Vec<String> = values.iter().map(T::to_string).collect();
        match texts.len() {
            1 => Self::One(texts.remove(0)),
            _ => Self::More(texts),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<OneOrMore<u8>, String> {
        serde_json::from_value(value).map_err(|error| error.to_string())
    }

    #[test]
    fn one_text_and_a_list_are_read_and_written_back() {
        for written in [json!("1"), json!(["1", "2"])] {
            let read = read(written.clone()).expect("numbers");
            assert_eq!(serde_json::to_value(read).expect("text"), written);
        }
    }

    #[test]
    fn none_and_what_is_no_value_are_refused() {
        assert_eq!(read(json!([])).unwrap_err(), "expected at least one");
        assert_eq!(
            read(json!(["1", "x"])).unwrap_err(),
            "invalid digit found in string"
        );
        assert_eq!(
            read(json!(7)).unwrap_err(),
            "expected a text, or a list of them"
        );
    }
}
