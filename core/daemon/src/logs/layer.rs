//! The `tracing` layer: an event and the spans around it become a record.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Number, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as Recorded};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::PART;
use super::record::{Fields, Record, TOP_LEVEL};
use super::writer::Queue;

/// Puts each event into the queue.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) queue: Arc<Queue>,
    /// The service of lines outside of any part.
    pub(super) service: String,
    pub(super) now: fn() -> Timestamp,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Records {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut fields = Fields::default();
            attributes.record(&mut Reader(&mut fields));
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Recorded<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(&mut Reader(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut service = None;
        let mut fields = Fields::default();
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(|scope| scope.from_root())
        {
            let extensions = span.extensions();
            let Some(of_span) = extensions.get::<Fields>() else {
                continue;
            };
            let mut of_span = of_span.clone();
            if span.metadata().target() == PART {
                service = of_span.take("service").and_then(text);
            }
            fields.extend(of_span);
        }
        event.record(&mut Reader(&mut fields));

        let mut top = Fields::default();
        for name in TOP_LEVEL {
            if let Some(value) = fields.take(name) {
                top.put(name, value);
            }
        }
        let metadata = event.metadata();
        self.queue.push(Record {
            timestamp: to_microseconds((self.now)()),
            level: *metadata.level(),
            service: service.unwrap_or_else(|| self.service.clone()),
            context: fields
                .take("context")
                .and_then(text)
                .unwrap_or_else(|| area(metadata.target())),
            message: fields.take("message").and_then(text).unwrap_or_default(),
            top,
            fields,
        });
    }
}

/// `plantd_broker::router::dispatch` is `router.dispatch`; another crate's target keeps its crate.
fn area(target: &str) -> String {
    let path = match target.strip_prefix("plantd_") {
        Some(ours) => ours.split_once("::").map_or(ours, |(_, path)| path),
        None => target,
    };
    path.replace("::", ".")
}

fn to_microseconds(timestamp: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(timestamp.as_microsecond()).unwrap_or(timestamp)
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Some(value.to_string())
        }
    }
}

struct Reader<'a>(&'a mut Fields);

impl Visit for Reader<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        let value = Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number);
        self.0.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.put(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.put(field.name(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.put(field.name(), value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.0.put(field.name(), text.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.put(field.name(), format!("{value:?}").into());
    }
}
