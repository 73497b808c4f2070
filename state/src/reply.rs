//! How replies are written: JSON, by hand, since values go out as the text that they came in as.

use std::io::Write as _;

use crate::refusal::Refusal;

/// Writes one JSON object, member by member.
#[derive(Debug)]
pub(crate) struct Object {
    out: Vec<u8>,
    closings: Closings,
    is_first: bool,
}

/// What closes each open object and list, the innermost last: a bit for each below a leading one, set
/// for lists. There are never more than a few.
#[derive(Debug, Clone, Copy)]
struct Closings(u32);

impl Closings {
    const OBJECT: Self = Self(0b10);
    const OBJECT_IN_OBJECT: Self = Self(0b100);

    fn push(&mut self, is_list: bool) {
        self.0 = self.0 << 1 | u32::from(is_list);
    }

    fn pop(&mut self) -> Option<u8> {
        if self.0 <= 1 {
            return None;
        }
        let is_list = self.0 & 1 == 1;
        self.0 >>= 1;
        Some(if is_list { b']' } else { b'}' })
    }
}

impl Object {
    /// Begins `{"success":true,"data":{`.
    pub(crate) fn data() -> Self {
        let mut out = Vec::with_capacity(320);
        out.extend_from_slice(b"{\"success\":true,\"data\":{");
        Self {
            out,
            closings: Closings::OBJECT_IN_OBJECT,
            is_first: true,
        }
    }

    /// Begins `{`.
    pub(crate) fn plain() -> Self {
        Self::plain_in(Vec::with_capacity(320))
    }

    /// Begins `{` at the end of what is there.
    pub(crate) fn plain_in(mut out: Vec<u8>) -> Self {
        out.push(b'{');
        Self {
            out,
            closings: Closings::OBJECT,
            is_first: true,
        }
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.name(name);
        write_text(&mut self.out, value);
        self
    }

    pub(crate) fn number(&mut self, name: &str, value: u64) -> &mut Self {
        self.name(name);
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(value).as_bytes());
        self
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) -> &mut Self {
        self.name(name);
        let value: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(value);
        self
    }

    /// A time span in seconds.
    pub(crate) fn seconds(&mut self, name: &str, value: std::time::Duration) -> &mut Self {
        self.name(name);
        // Writing to a vector cannot fail.
        let _ = write!(self.out, "{}", value.as_secs_f64());
        self
    }

    pub(crate) fn value(&mut self, value: &crate::value::Value) -> &mut Self {
        self.comma();
        value.write_members(&mut self.out);
        self
    }

    /// Begins a list under a name; ended by [`Object::end`].
    pub(crate) fn list(&mut self, name: &str) -> &mut Self {
        self.name(name);
        self.open(b'[', true)
    }

    /// Begins an object in a list; ended by [`Object::end`].
    pub(crate) fn item(&mut self) -> &mut Self {
        self.comma();
        self.open(b'{', false)
    }

    /// Adds a text to a list.
    pub(crate) fn text_item(&mut self, value: &str) -> &mut Self {
        self.comma();
        write_text(&mut self.out, value);
        self
    }

    /// Ends what was begun last.
    pub(crate) fn end(&mut self) -> &mut Self {
        self.out.extend(self.closings.pop());
        self.is_first = false;
        self
    }

    /// Ends everything.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        while let Some(closing) = self.closings.pop() {
            self.out.push(closing);
        }
        self.out
    }

    fn open(&mut self, opening: u8, is_list: bool) -> &mut Self {
        self.out.push(opening);
        self.closings.push(is_list);
        self.is_first = true;
        self
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
    }

    fn name(&mut self, name: &str) {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

/// The reply to what was refused.
pub(crate) fn refused(refusal: &Refusal) -> Vec<u8> {
    let mut out = Object::plain();
    out.flag("success", false)
        .text("error", &refusal.error)
        .text("code", refusal.code.as_str());
    if !refusal.data.is_empty() {
        out.name("data");
        // A map of texts and numbers can be written, to a vector too.
        let _ = serde_json::to_writer(&mut out.out, &refusal.data);
    }
    out.finish()
}

/// Writes a JSON string.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    // All of them are looked at, many at a time: there are seldom any to be escaped.
    let is_escaped = |byte: u8| (byte < b' ') | (byte == b'"') | (byte == b'\\');
    if !text.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A text can be written, to a vector too.
        let _ = serde_json::to_writer(out, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for value in [0, 9, 10, 99, 100, 1_234_567_890, u64::MAX] {
            let mut object = Object::plain_in(Vec::new());
            object.number("n", value);
            let expected = format!("{{\"n\":{value}}}");
            assert_eq!(object.finish(), expected.as_bytes());
        }
    }
}
