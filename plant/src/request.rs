//! `request`: asks a service, once or often, and prints what it answers.

mod repeat;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use plantd_client::{Body, Client, Reply, RequestBuilder, RequestError, ServiceName};

use crate::cli::{Options, RequestArguments, Retry};
use crate::connect::{connect, nobody_serves};
use crate::failure::Failure;
use crate::input::read_body;
use crate::output::body::readable;
use crate::output::{Format, Output};

/// A request that can be sent any number of times.
#[derive(Debug)]
struct Request {
    client: Client,
    service: ServiceName,
    body: Body,
    retry: Retry,
    timeout: Duration,
}

/// How a body is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Readable,
    Raw,
    Json,
}

pub(crate) async fn run(
    options: &Options,
    arguments: RequestArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let style = match output.format() {
        Format::Text if arguments.raw => Style::Raw,
        Format::Text => Style::Readable,
        Format::Json if arguments.raw => {
            return Err(Failure::Usage(
                "give --raw or --output json, not both".to_owned(),
            ));
        }
        Format::Json => Style::Json,
    };
    let body = read_body(&arguments.body, &arguments.file)?;
    let request = Arc::new(Request {
        client: connect(options).await?,
        service: arguments.service,
        body,
        retry: arguments.retry,
        timeout: options.request_timeout(),
    });
    if arguments.stream {
        stream::run(&request, arguments.window, options.timeout, style, output).await
    } else {
        repeat::run(
            &request,
            arguments.count,
            arguments.parallel as usize,
            style,
            output,
        )
        .await
    }
}

impl Request {
    fn builder(&self) -> RequestBuilder {
        let builder = self
            .client
            .request(self.service.as_str(), self.body.clone());
        match self.retry {
            Retry::Never => builder.retry_never(),
            Retry::AtMost(most) => builder.attempts(most),
        }
    }

    async fn reply(&self) -> Result<Reply, Failure> {
        match self.builder().timeout(self.timeout).await {
            Ok(reply) => Ok(reply),
            Err(error) => Err(self.explain(error).await),
        }
    }

    /// What an error means to the user: a service that nobody serves times out too.
    async fn explain(&self, error: RequestError) -> Failure {
        if error == RequestError::Timeout && nobody_serves(&self.client, &self.service).await {
            return Failure::NoWorker {
                service: self.service.to_string(),
            };
        }
        Failure::of(self.service.as_str(), self.timeout, error)
    }
}

/// Prints a body in one of the styles that are not JSON.
fn print(body: &Body, style: Style, output: &mut Output) -> Result<(), Failure> {
    match style {
        Style::Raw => body.frames().try_for_each(|frame| output.bytes(frame)),
        Style::Readable | Style::Json => output.bytes(readable(body).as_bytes()),
    }
}
