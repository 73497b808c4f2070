//! The name of a service.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Names a service: 1 to 128 printable ASCII bytes without spaces, such as `org.plantd.State`.
///
/// Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName(Arc<str>);

/// Says why bytes are not a [`ServiceName`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServiceName {
    /// The name has no bytes.
    #[error("a service name is empty; give 1 to 128 printable ASCII characters")]
    Empty,
    /// The name has more than 128 bytes.
    #[error("a service name has {0} bytes; at most 128 are allowed")]
    TooLong(usize),
    /// A byte is a space, a control character or not ASCII.
    #[error("a service name has the byte {0:#04x}; printable ASCII without spaces is allowed")]
    Unprintable(u8),
    /// The broker answers for the name itself, so that no worker may register it.
    #[error("the broker answers for org.plantd.Broker and mmi.* itself; give a name of your own")]
    Reserved,
}

impl ServiceName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// The broker's own service, answered by the broker itself.
    pub const BROKER: &str = "org.plantd.Broker";

    /// The prefix of the broker's management services (RFC 8).
    pub const MMI_PREFIX: &str = "mmi.";

    /// Reads a name from a frame.
    ///
    /// # Errors
    /// What keeps the bytes from being a name.
    pub fn parse(bytes: &[u8]) -> Result<Self, InvalidServiceName> {
        Self::check(bytes).map(|name| Self(name.into()))
    }

    /// Reads the name of a service that a worker may register.
    ///
    /// # Errors
    /// What keeps the text from being one.
    pub fn for_worker(name: &str) -> Result<Self, InvalidServiceName> {
        let name: Self = name.parse()?;
        if name.is_reserved() {
            return Err(InvalidServiceName::Reserved);
        }
        Ok(name)
    }

    /// Checks the bytes of a name without keeping them.
    pub(crate) fn check(bytes: &[u8]) -> Result<&str, InvalidServiceName> {
        if bytes.is_empty() {
            return Err(InvalidServiceName::Empty);
        }
        if bytes.len() > Self::MAX_BYTES {
            return Err(InvalidServiceName::TooLong(bytes.len()));
        }
        if let Some(byte) = bytes.iter().find(|byte| !byte.is_ascii_graphic()) {
            return Err(InvalidServiceName::Unprintable(*byte));
        }
        Ok(str::from_utf8(bytes).expect("printable ASCII is UTF-8"))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether the broker answers for this name itself, so that no worker may register it.
    pub fn is_reserved(&self) -> bool {
        self.is_mmi() || self.as_str() == Self::BROKER
    }

    pub(crate) fn is_mmi(&self) -> bool {
        self.as_str().starts_with(Self::MMI_PREFIX)
    }
}

impl FromStr for ServiceName {
    type Err = InvalidServiceName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::parse(name.as_bytes())
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_1_to_128_printable_bytes() {
        assert_eq!(ServiceName::parse(b""), Err(InvalidServiceName::Empty));
        assert!(ServiceName::parse(&[b'a'; 128]).is_ok());
        assert_eq!(
            ServiceName::parse(&[b'a'; 129]),
            Err(InvalidServiceName::TooLong(129))
        );
        assert_eq!(
            ServiceName::parse(b"a b"),
            Err(InvalidServiceName::Unprintable(b' '))
        );
        assert_eq!(
            ServiceName::parse(b"\xff"),
            Err(InvalidServiceName::Unprintable(0xff))
        );
    }

    #[test]
    fn the_brokers_own_names_are_reserved() {
        let reserved = |name: &str| name.parse::<ServiceName>().unwrap().is_reserved();
        assert!(reserved("mmi.service"));
        assert!(reserved("org.plantd.Broker"));
        assert!(!reserved("org.plantd.Broker2"));
        assert!(!reserved("mmi"));
    }

    #[test]
    fn a_worker_has_a_name_of_its_own() {
        let name = ServiceName::for_worker;
        assert_eq!(
            name("org.plantd.State").unwrap().as_str(),
            "org.plantd.State"
        );
        assert_eq!(name("mmi.service"), Err(InvalidServiceName::Reserved));
        assert_eq!(name("org.plantd.Broker"), Err(InvalidServiceName::Reserved));
        assert_eq!(name(""), Err(InvalidServiceName::Empty));
    }
}
