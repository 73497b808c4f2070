//! An answer in parts, each printed when it comes.

use std::collections::BTreeMap;
use std::time::Duration;

use plantd_client::{Part, ReplyStream, RequestError};
use serde::Serialize;
use tokio::time::timeout;

use super::{Request, Style, print};
use crate::failure::Failure;
use crate::output::Output;
use crate::output::body::{self, Frame};

/// One part in JSON.
#[derive(Debug, Serialize)]
struct PartJson<'a> {
    part: u64,
    #[serde(rename = "final")]
    is_final: bool,
    frames: Vec<Frame>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    properties: BTreeMap<&'a str, &'a str>,
}

/// Sends a request and prints the parts of its answer.
///
/// `limit` is for the whole answer. Without one only the first part has to come in time: a stream
/// may go on for days.
pub(super) async fn run(
    request: &Request,
    window: u32,
    limit: Option<Duration>,
    style: Style,
    output: &mut Output,
) -> Result<(), Failure> {
    let mut builder = request.builder();
    if let Some(limit) = limit {
        builder = builder.timeout(limit);
    }
    let first = async {
        let mut parts = builder.stream(window).await?;
        let first = parts.next().await;
        Ok((parts, first))
    };
    let begun = match limit {
        Some(_) => first.await,
        None => timeout(request.timeout, first)
            .await
            .unwrap_or(Err(RequestError::Timeout)),
    };
    let ended = match begun {
        Ok((parts, first)) => print_all(parts, first, style, output).await?,
        Err(error) => Err(error),
    };
    match ended {
        Ok(()) => Ok(()),
        Err(error) => Err(request.explain(error).await),
    }
}

/// Prints until the stream ends; the inner result is how it ended.
async fn print_all(
    mut parts: ReplyStream,
    mut next: Option<Result<Part, RequestError>>,
    style: Style,
    output: &mut Output,
) -> Result<Result<(), RequestError>, Failure> {
    let mut count = 0;
    while let Some(part) = next {
        let part = match part {
            Ok(part) => part,
            Err(error) => return Ok(Err(error)),
        };
        count += 1;
        show(count, &part, style, output)?;
        next = parts.next().await;
    }
    Ok(Ok(()))
}

fn show(count: u64, part: &Part, style: Style, output: &mut Output) -> Result<(), Failure> {
    match style {
        Style::Json => output.json(&PartJson {
            part: count,
            is_final: part.is_final,
            frames: body::frames(&part.body),
            properties: body::properties(&part.properties),
        }),
        // Many workers end a stream by an empty part, which has nothing to say.
        Style::Readable if part.is_final && part.body.len_bytes() == 0 => Ok(()),
        Style::Readable | Style::Raw => print(&part.body, style, output),
    }
}
