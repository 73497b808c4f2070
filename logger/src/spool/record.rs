//! A batch as bytes in a segment of the spool.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::Number;
use crate::batch::Batch;
use crate::day::Day;

/// Length and checksum.
const PREFIX: usize = 8;
/// The largest record that is believed: several times the largest batch.
const MOST_BYTES: usize = 256 << 20;

/// A batch with its number in the run that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) number: Number,
    pub(super) batch: Batch,
}

/// What stands at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Record {
        record: Record,
        next: u64,
    },
    /// The segment ends here.
    End,
    /// The last record is not complete, as after a crash.
    Torn,
    /// Something else than a record, with more after it.
    Damaged,
}

impl Record {
    pub(super) fn encode(&self) -> Bytes {
        let Batch { rows, count, days } = &self.batch;
        let mut bytes = BytesMut::with_capacity(PREFIX + 14 + 4 * days.len() + rows.len());
        bytes.put_bytes(0, PREFIX);
        bytes.put_u64(self.number);
        bytes.put_u32(*count);
        // A batch has fewer rows than this can count.
        bytes.put_u32(days.len() as u32);
        for day in days {
            bytes.put_i32(day.0);
        }
        bytes.put_slice(rows);
        let length = (bytes.len() - PREFIX) as u32;
        let checksum = crc32fast::hash(&bytes[PREFIX..]);
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes[4..PREFIX].copy_from_slice(&checksum.to_be_bytes());
        bytes.freeze()
    }

    fn decode(mut body: Bytes) -> Option<Self> {
        let number = body.try_get_u64().ok()?;
        let count = body.try_get_u32().ok()?;
        let days = body.try_get_u32().ok()? as usize;
        if body.len() / 4 < days {
            return None;
        }
        let days = (0..days).map(|_| Day(body.get_i32())).collect();
        Some(Self {
            number,
            batch: Batch {
                rows: body,
                count,
                days,
            },
        })
    }
}

/// Reads the record at `offset` of a file of `end` bytes.
pub(super) fn read(file: &File, offset: u64, end: u64) -> io::Result<Reading> {
    let rest = end.saturating_sub(offset);
    if rest == 0 {
        return Ok(Reading::End);
    }
    if rest < PREFIX as u64 {
        return Ok(Reading::Torn);
    }
    let mut prefix = [0; PREFIX];
    file.read_exact_at(&mut prefix, offset)?;
    let length = (&prefix[..4]).get_u32() as usize;
    let checksum = (&prefix[4..]).get_u32();
    let next = offset + (PREFIX + length) as u64;
    if length == 0 || length > MOST_BYTES || next > end {
        return unreadable(file, offset, end, next >= end && length <= MOST_BYTES);
    }
    let mut body = vec![0; length];
    file.read_exact_at(&mut body, offset + PREFIX as u64)?;
    if crc32fast::hash(&body) != checksum {
        return unreadable(file, offset, end, next == end);
    }
    Ok(match Record::decode(body.into()) {
        Some(record) => Reading::Record { record, next },
        None => Reading::Damaged,
    })
}

/// What is cut off at the end of a file, or was allocated and never written, is torn; the rest is
/// damaged.
fn unreadable(file: &File, offset: u64, end: u64, is_cut_off: bool) -> io::Result<Reading> {
    if is_cut_off {
        return Ok(Reading::Torn);
    }
    let mut chunk = vec![0; 1 << 16];
    let mut at = offset;
    while at < end {
        let length = chunk.len().min((end - at) as usize);
        file.read_exact_at(&mut chunk[..length], at)?;
        if chunk[..length].iter().any(|byte| *byte != 0) {
            return Ok(Reading::Damaged);
        }
        at += length as u64;
    }
    Ok(Reading::Torn)
}
