//! A store with very many keys: how long it takes to open, what memory it takes, and how fast it is.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

use super::case::{Case, Operation};
use super::load::Load;
use super::measurement::Measurement;
use super::peer::{Peer, Service, Setting};
use crate::cli::LargeOptions;
use crate::clock;
use crate::series::{self, progress};
use crate::table::aligned;

/// The share of the measured time that comes before it.
const WARM_UP: f64 = 0.1;
const MIB: f64 = 1024.0 * 1024.0;

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    keys: u64,
    /// Seconds in which every key was given its value, 500 under way.
    filled_seconds: f64,
    set: Measurement,
    get: Measurement,
    /// One read at a time.
    single_get: Measurement,
    /// Of the state service's process, after all of that.
    resident_bytes: u64,
    disk_bytes: u64,
    /// Seconds from the start of the process to its first answer.
    opened_seconds: f64,
    /// Of the new process, after its first answer.
    opened_resident_bytes: u64,
}

/// Measures and prints.
pub(crate) fn run(options: &LargeOptions) -> anyhow::Result<()> {
    series::print(&measure(options)?, options.json, text)
}

fn measure(options: &LargeOptions) -> anyhow::Result<Report> {
    let LargeOptions { keys, folder, .. } = options;
    let measured = Duration::from_secs_f64(options.seconds);
    let mut service = Peer::Plantd.start(Setting {
        folder,
        has_subscriber: true,
    })?;
    progress(&format!("{keys} keys are given their values"));
    let began = clock::now();
    Load::fill(&service, *keys, 1).context("give each key a value")?;
    let filled = clock::now() - began;
    let taken = |case: Case| {
        progress(&case.to_string());
        let load = Load::connect(&service, &case, *keys)?;
        let counted = load.run(measured.mul_f64(WARM_UP), measured, || service.cpu());
        Ok::<_, anyhow::Error>(Measurement::of(&counted?))
    };
    let get = taken(Case::wide(Operation::Get))?;
    let single_get = taken(Case::single(Operation::Get))?;
    let set = taken(Case::wide(Operation::Set))?;
    let resident_bytes = service.store_bytes()?;
    let disk_bytes = size_of(service.folder())?;
    progress("the process is killed and started again");
    let began = clock::now();
    service.reopen()?;
    ask_once(&service, *keys)?;
    Ok(Report {
        keys: *keys,
        filled_seconds: filled.as_secs_f64(),
        set,
        get,
        single_get,
        resident_bytes,
        disk_bytes,
        opened_seconds: (clock::now() - began).as_secs_f64(),
        opened_resident_bytes: service.store_bytes()?,
    })
}

/// Asks for one key, and waits until the service is there and answers.
fn ask_once(service: &Service, keys: u64) -> anyhow::Result<()> {
    let load = Load::connect(service, &Case::single(Operation::Get), keys)?;
    load.run_until(|| true).map(drop)
}

/// The bytes of the files in a folder.
fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for file in fs::read_dir(folder)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes)
}

fn text(report: &Report) -> String {
    let line = |what: &str, value: String| vec![what.to_owned(), value];
    let latency = |value: Option<f64>| format!("{:.0} µs", value.unwrap_or(f64::NAN));
    let rate = |of: &Measurement| format!("{:.0}/s", of.operations_per_second);
    let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / MIB);
    let per_second = report.keys as f64 / report.filled_seconds;
    aligned(&[
        line("keys", report.keys.to_string()),
        line("filled, 500 under way", format!("{per_second:.0}/s")),
        line("set, 500 under way", rate(&report.set)),
        line("get, 500 under way", rate(&report.get)),
        line("get, one at a time, p50", latency(report.single_get.p50_us)),
        line("get, one at a time, p99", latency(report.single_get.p99_us)),
        line("memory of the process", mib(report.resident_bytes)),
        line("on disk", mib(report.disk_bytes)),
        line("opened in", format!("{:.1} s", report.opened_seconds)),
        line("memory when opened", mib(report.opened_resident_bytes)),
    ])
}
