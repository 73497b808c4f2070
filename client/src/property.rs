//! Properties that programs add, checked.

use plantd_mdp::Properties;

/// The most properties of a request or a publication; the library and the broker add their own.
const MAX_PROPERTIES: usize = 24;
/// The most bytes of such properties, names and values with 5 bytes each.
const MAX_PROPERTY_BYTES: usize = 3584;

/// Adds a property; one of the same name is replaced.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub(crate) fn with_property(
    properties: &Properties,
    name: &str,
    value: &str,
) -> Result<Properties, &'static str> {
    if !is_property_name(name) {
        return Err("its name is not 1 to 255 of [a-z0-9.-]");
    }
    let properties = properties.with(name, value);
    let size = properties
        .iter()
        .fold((0, 0), |(count, bytes), (name, value)| {
            (count + 1, bytes + 5 + name.len() + value.len())
        });
    if size.0 > MAX_PROPERTIES || size.1 > MAX_PROPERTY_BYTES {
        return Err("there may be 24 properties and 3584 bytes of them");
    }
    Ok(properties)
}

fn is_property_name(name: &str) -> bool {
    let word = name.strip_prefix('+').unwrap_or(name);
    let is_allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    !word.is_empty() && name.len() <= 255 && word.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_that_cannot_be_sent_are_refused() {
        let none = Properties::default();
        assert_eq!(
            with_property(&none, "a.b-1", "x").unwrap().get("a.b-1"),
            Some("x")
        );
        assert!(with_property(&none, "+must", "").is_ok());
        for name in ["", "+", "Upper", "a b", "ä", &"a".repeat(256)] {
            assert!(with_property(&none, name, "").is_err(), "{name:?}");
        }
        let value = "x".repeat(MAX_PROPERTY_BYTES);
        assert!(with_property(&none, "a", &value).is_err());
        assert!(with_property(&none, "a", &value[6..]).is_ok());
    }
}
