//! Questions to the broker about itself (RFC 8).

use serde_json::Value;

use super::Client;
use crate::{Body, Reply, RequestError};

/// What a broker says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MmiReply {
    /// 200 (yes, or here it is), 400 (an argument is missing), 404 (no) or 501 (not known).
    pub status: u16,
    /// What was asked for, where the subject has more to say than a status.
    pub data: Option<Value>,
}

impl MmiReply {
    /// Says whether the status is 200.
    pub fn is_ok(&self) -> bool {
        self.status == 200
    }
}

pub(super) async fn ask(
    client: &Client,
    subject: &str,
    argument: Option<&str>,
) -> Result<MmiReply, RequestError> {
    let body = argument.map(Body::from).unwrap_or_default();
    let reply = client.request(format!("mmi.{subject}"), body).await?;
    parse(&reply)
}

fn parse(reply: &Reply) -> Result<MmiReply, RequestError> {
    let invalid = |what: &str| RequestError::InvalidReply(what.to_owned());
    let mut frames = reply.body.frames();
    let status = frames
        .next()
        .and_then(|status| str::from_utf8(status).ok()?.parse().ok())
        .ok_or_else(|| invalid("the first frame is no status"))?;
    let data = frames
        .next()
        .map(serde_json::from_slice)
        .transpose()
        .map_err(|_| invalid("the second frame is no JSON"))?;
    Ok(MmiReply { status, data })
}
