//! What goes to stdout: text for people, or JSON with one value a line.

pub(crate) mod body;
mod table;
pub(crate) mod units;

use std::io::{self, StdoutLock, Write as _};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;

pub(crate) use table::{Column, Table};

/// How results are written: for people, or one value a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

/// The process's stdout.
#[derive(Debug)]
pub(crate) struct Output {
    format: Format,
    stdout: StdoutLock<'static>,
}

impl Output {
    pub(crate) fn stdout(format: Format) -> Self {
        Self {
            format,
            stdout: io::stdout().lock(),
        }
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes a line or, with line ends within, several.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Failure> {
        writeln!(self.stdout, "{text}").map_err(Failure::writing)
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer(&mut self.stdout, value)
            .map_err(io::Error::from)
            .and_then(|()| self.stdout.write_all(b"\n"))
            .map_err(Failure::writing)
    }

    /// Writes bytes as they are, and does not keep them back.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout
            .write_all(bytes)
            .and_then(|()| self.stdout.flush())
            .map_err(Failure::writing)
    }

    /// Waits until everything is out.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(Failure::writing)
    }
}
