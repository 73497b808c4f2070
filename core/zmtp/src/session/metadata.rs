//! Properties of a connection (RFC 37, "Connection Metadata").

use bytes::BufMut;

use super::{Identity, SessionConfig, Violation};

const SOCKET_TYPE: &str = "Socket-Type";
const IDENTITY: &str = "Identity";

/// The properties that are looked at; others are skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata<'a> {
    pub(crate) socket_type: Option<&'a [u8]>,
    pub(crate) identity: Identity,
}

/// Appends our properties.
pub(crate) fn encode(out: &mut impl BufMut, config: &SessionConfig) {
    put_property(out, SOCKET_TYPE, config.socket_type.as_str().as_bytes());
    if !config.identity.is_empty() {
        put_property(out, IDENTITY, config.identity.as_bytes());
    }
}

fn put_property(out: &mut impl BufMut, name: &str, value: &[u8]) {
    out.put_u8(name.len() as u8);
    out.put_slice(name.as_bytes());
    out.put_u32(value.len() as u32);
    out.put_slice(value);
}

/// Reads a peer's properties. "Metadata names SHALL be case-insensitive." A property that is given
/// twice leaves open which one is meant, and is refused.
pub(crate) fn parse(mut encoded: &[u8]) -> Result<Metadata<'_>, Violation> {
    let mut socket_type = None;
    let mut identity = None;
    while !encoded.is_empty() {
        let (name, value, rest) = split_property(encoded).ok_or(Violation::Metadata)?;
        encoded = rest;
        let known = if name.eq_ignore_ascii_case(SOCKET_TYPE.as_bytes()) {
            &mut socket_type
        } else if name.eq_ignore_ascii_case(IDENTITY.as_bytes()) {
            &mut identity
        } else {
            continue;
        };
        if known.replace(value).is_some() {
            return Err(Violation::Metadata);
        }
    }
    Ok(Metadata {
        socket_type,
        identity: Identity::new(identity.unwrap_or_default()).map_err(|_| Violation::Metadata)?,
    })
}

/// Name, value and what follows them. "Zero-sized names are not valid."
fn split_property(encoded: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (&name_len, rest) = encoded.split_first()?;
    if name_len == 0 {
        return None;
    }
    let (name, rest) = rest.split_at_checked(name_len.into())?;
    let (value_len, rest) = rest.split_first_chunk()?;
    let value_len = usize::try_from(u32::from_be_bytes(*value_len)).ok()?;
    let (value, rest) = rest.split_at_checked(value_len)?;
    Some((name, value, rest))
}
