//! What stands over publications.

use plantd_mdp::Properties;

use super::PublishError;
use crate::{Topic, property::with_property};

/// A topic, and the properties of what is published on it: checked once, then cheap to clone and to
/// publish under. See [`Source::publish_all`](crate::Source::publish_all).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heading {
    topic: Topic,
    properties: Properties,
}

impl Heading {
    /// A heading without properties.
    ///
    /// # Errors
    /// [`PublishError::InvalidTopic`].
    pub fn new(topic: impl AsRef<[u8]>) -> Result<Self, PublishError> {
        Ok(Self {
            topic: Topic::new(topic)?,
            properties: Properties::default(),
        })
    }

    /// The same properties under another topic.
    ///
    /// # Errors
    /// [`PublishError::InvalidTopic`].
    pub fn with_topic(&self, topic: impl AsRef<[u8]>) -> Result<Self, PublishError> {
        Ok(Self {
            topic: Topic::new(topic)?,
            properties: self.properties.clone(),
        })
    }

    /// Says what the bodies are, such as `application/json`.
    ///
    /// # Errors
    /// [`PublishError::InvalidProperty`].
    pub fn content_type(self, value: impl AsRef<str>) -> Result<Self, PublishError> {
        self.property("content-type", value)
    }

    /// Adds a property; one of the same name is replaced.
    ///
    /// Names are of `[a-z0-9.-]`. At most 24 properties, and 3,584 bytes of them, can be sent.
    ///
    /// # Errors
    /// [`PublishError::InvalidProperty`].
    pub fn property(self, name: &str, value: impl AsRef<str>) -> Result<Self, PublishError> {
        let properties = with_property(&self.properties, name, value.as_ref());
        let properties = properties.map_err(|reason| PublishError::InvalidProperty {
            name: name.to_owned(),
            reason,
        })?;
        Ok(Self { properties, ..self })
    }

    /// The topic.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The properties.
    pub fn properties(&self) -> &Properties {
        &self.properties
    }

    pub(super) fn into_topic(self) -> Topic {
        self.topic
    }
}
