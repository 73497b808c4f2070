//! The answer to a request.

use plantd_mdp::Properties;

use crate::Body;

/// The answer to a request, as a client gets it and a handler gives it.
///
/// Whatever makes a [`Body`] makes a reply without properties.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// What is answered. For a client, the frames of all parts joined.
    pub body: Body,
    /// What is said of it, such as `content-type`.
    pub properties: Properties,
}

impl<B: Into<Body>> From<B> for Reply {
    fn from(body: B) -> Self {
        Self {
            body: body.into(),
            properties: Properties::default(),
        }
    }
}
