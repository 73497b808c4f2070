//! Metrics that are stored together, as the rows of PostgreSQL's binary COPY.
//!
//! A row is encoded once, when its metric comes. The spool and the database get the same bytes.

use std::collections::BTreeSet;

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::day::Day;
use crate::metric::Metric;

/// The statement whose rows these are.
pub(crate) const COPY: &str = "COPY metrics (timestamp, service_name, metric_name, value, tags) \
                               FROM STDIN (FORMAT binary)";
/// What comes before the rows: signature, flags, length of the extension.
pub(crate) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What comes after the rows.
pub(crate) const TRAILER: &[u8] = &[0xff, 0xff];

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts, in Unix microseconds.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;
/// The version before the text of a JSONB value.
const JSONB_VERSION: u8 = 1;

/// Metrics that are stored together. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) rows: Bytes,
    pub(crate) count: u32,
    /// The days of its rows, in order; of more days where it is a part of another batch.
    pub(crate) days: Vec<Day>,
}

impl Batch {
    /// Its first and its second half; `None` of a single row.
    pub(crate) fn halves(&self) -> Option<[Self; 2]> {
        let first = self.count / 2;
        if first == 0 {
            return None;
        }
        let mut rest = &self.rows[..];
        for _ in 0..first {
            rest = after_row(rest)?;
        }
        let split = self.rows.len() - rest.len();
        let half = |rows: Bytes, count| Self {
            rows,
            count,
            days: self.days.clone(),
        };
        Some([
            half(self.rows.slice(..split), first),
            half(self.rows.slice(split..), self.count - first),
        ])
    }
}

/// What follows the first row.
fn after_row(rows: &[u8]) -> Option<&[u8]> {
    let (fields, mut rest) = rows.split_first_chunk()?;
    for _ in 0..u16::from_be_bytes(*fields) {
        let (length, field) = rest.split_first_chunk()?;
        rest = field.get(u32::from_be_bytes(*length) as usize..)?;
    }
    Some(rest)
}

/// A batch that takes more metrics.
#[derive(Debug, Default)]
pub(crate) struct OpenBatch {
    rows: BytesMut,
    count: u32,
    days: BTreeSet<Day>,
}

impl OpenBatch {
    /// Adds a metric as a row.
    pub(crate) fn push(&mut self, metric: &Metric<'_>) {
        let rows = &mut self.rows;
        rows.put_u16(5);
        rows.put_u32(8);
        rows.put_i64(metric.timestamp.as_microsecond() - POSTGRES_EPOCH_US);
        for text in [&metric.service, &metric.name] {
            rows.put_u32(text.len() as u32);
            rows.put_slice(text.as_bytes());
        }
        rows.put_u32(8);
        rows.put_f64(metric.value);
        rows.put_u32(metric.tags.len() as u32 + 1);
        rows.put_u8(JSONB_VERSION);
        rows.put_slice(&metric.tags);
        self.count += 1;
        self.days.insert(Day::of(metric.timestamp));
    }

    pub(crate) fn count(&self) -> usize {
        self.count as usize
    }

    pub(crate) fn len_bytes(&self) -> usize {
        self.rows.len()
    }

    /// Takes out what it holds; `None` if that is nothing.
    pub(crate) fn close(&mut self) -> Option<Batch> {
        let Self { rows, count, days } = std::mem::take(self);
        (count > 0).then(|| Batch {
            rows: rows.freeze(),
            count,
            days: days.into_iter().collect(),
        })
    }
}

#[cfg(test)]
mod tests;
