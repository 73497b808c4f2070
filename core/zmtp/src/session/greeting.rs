//! The 64 bytes that each side begins with (RFC 37, "Version Negotiation").

use super::{Mechanism, Violation};

/// The length of a greeting.
pub(crate) const GREETING_BYTES: usize = 64;

const SIGNATURE_END: usize = 9;
const MAJOR: usize = 10;
const MINOR: usize = 11;
const MECHANISM: std::ops::Range<usize> = 12..32;

/// The version of ZMTP that a peer greets with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// At least 3.
    pub major: u8,
    /// Within the major version.
    pub minor: u8,
}

impl Version {
    /// What we greet with.
    pub const OURS: Self = Self { major: 3, minor: 1 };

    /// Whether the peer knows the commands that 3.1 added: PING, PONG, SUBSCRIBE, CANCEL.
    pub fn knows_commands(self) -> bool {
        self >= Self::OURS
    }
}

/// Our greeting. NULL has no client and server, so that as-server is zero.
pub(crate) fn encode(mechanism: Mechanism) -> [u8; GREETING_BYTES] {
    let mut greeting = [0; GREETING_BYTES];
    greeting[0] = 0xFF;
    greeting[SIGNATURE_END] = 0x7F;
    greeting[MAJOR] = Version::OURS.major;
    greeting[MINOR] = Version::OURS.minor;
    greeting[MECHANISM].copy_from_slice(&mechanism.padded_name());
    greeting
}

/// Reads the greeting at the start of `received`, judging each part as soon as it is there; `None`
/// if what there is of it is good so far.
///
/// "A peer SHALL NOT assign any significance to the padding field and MUST NOT validate this".
pub(crate) fn parse(received: &[u8], mechanism: Mechanism) -> Result<Option<Version>, Violation> {
    if received.first().is_some_and(|first| *first != 0xFF) {
        return Err(Violation::Greeting);
    }
    if let Some(&end) = received.get(SIGNATURE_END) {
        // Before ZMTP 2 these bytes were the long length of an identity frame and its flags.
        if end & 1 == 0 {
            return Err(Violation::Version { major: 1 });
        }
        if end != 0x7F {
            return Err(Violation::Greeting);
        }
    }
    if let Some(&major) = received.get(MAJOR)
        && major < Version::OURS.major
    {
        return Err(Violation::Version { major });
    }
    let Some(greeting) = received.first_chunk::<GREETING_BYTES>() else {
        return Ok(None);
    };
    let offered = &greeting[MECHANISM];
    if *offered != mechanism.padded_name() {
        let name_end = offered.iter().rposition(|octet| *octet != 0);
        let name = &offered[..name_end.map_or(0, |last| last + 1)];
        return Err(Violation::Mechanism {
            offered: name.escape_ascii().to_string(),
        });
    }
    Ok(Some(Version {
        major: greeting[MAJOR],
        minor: greeting[MINOR],
    }))
}
