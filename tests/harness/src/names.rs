//! Names that people write.

use plantd_mdp::ServiceName;
use plantd_zmtp::Endpoint;

/// An endpoint is refused with words, or reads back as it is written.
pub fn endpoint(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    match text.parse::<Endpoint>() {
        Ok(endpoint) => {
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint.clone()), "{text}");
            let _either = endpoint.is_loopback();
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A name is refused with words, or printable and short.
pub fn service_name(bytes: &[u8]) {
    match ServiceName::parse(bytes) {
        Ok(name) => {
            assert_eq!(name.as_str().as_bytes(), bytes);
            assert!((1..=ServiceName::MAX_BYTES).contains(&bytes.len()));
            assert!(bytes.iter().all(u8::is_ascii_graphic));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
