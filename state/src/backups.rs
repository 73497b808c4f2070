//! Backups: a folder of compressed copies of the store, each with a manifest.
//!
//! A backup `<name>` is `<name>.db.gz`, the database, and `<name>.json`, its manifest: what the copy
//! has, and the sizes and checksums of both forms of the file. The manifest is written last, so that a
//! copy without one is unfinished. It holds itself as a text with a checksum, so that no byte of
//! either file can change unseen.
//!
//! A restore works on files alone: it is done by a daemon before it opens its store, and by `plant`.

mod manifest;

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;

use crate::store::{self, CheckError, Checked, Fault, Lock, Reader, Store};
use manifest::{FileSum, Manifest};

/// How names of backups begin.
const NAME: &str = "plantd-state-";

/// Why a backup could not be made, verified or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is none of that name.
    #[error("there is no backup {0}")]
    Unknown(String),
    /// What is on disk is not what was written.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// A file cannot be read or written.
    #[error("{path}")]
    File {
        /// Which one.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] Fault),
    /// It was told to stop.
    #[error("it was stopped")]
    Stopped,
    /// There is a database where one was to be restored, or what one has left.
    #[error("{0} exists: a backup is restored where no database is")]
    Exists(String),
    /// A daemon, or another restore, has the place.
    #[error("process {0} has the database")]
    Held(String),
}

impl From<CheckError> for BackupError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Rows { .. } | CheckError::Structure(_) => Self::Damaged(error.to_string()),
            CheckError::Stopped => Self::Stopped,
            CheckError::Fault(fault) => Self::Store(fault),
        }
    }
}

/// What a backup is, for whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its name in its folder.
    pub name: String,
    /// Of the compressed file.
    pub bytes: u64,
    /// How many commits the store had had.
    pub commits: u64,
    /// How many scopes are in it.
    pub scopes: u64,
    /// How many keys.
    pub keys: u64,
    /// When it was made, in Unix nanoseconds.
    pub timestamp: i64,
}

/// What a restore is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It unpacks the copy, counted in bytes.
    Unpack,
    /// It reads every row against its checksum, counted in rows.
    Check,
}

/// A folder of backups.
#[derive(Debug, Clone)]
pub(crate) struct Backups {
    folder: PathBuf,
}

impl Backups {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Makes a backup of the store.
    pub(crate) fn make(
        &self,
        store: &Store,
        now: Timestamp,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Made, BackupError> {
        let name = format!("{NAME}{}", now.strftime("%Y%m%dT%H%M%S%.3fZ"));
        fs::create_dir_all(&self.folder).map_err(of(&self.folder))?;
        let plain = self.folder.join(format!("{name}.part"));
        let compressed = self.folder.join(format!("{name}.db.gz"));
        let made = self.make_files(store, &name, &plain, &compressed, now, progress);
        // Whatever came of it; there may be nothing to remove.
        let _ = fs::remove_file(&plain);
        if made.is_err() {
            let _ = fs::remove_file(&compressed);
        }
        made
    }

    fn make_files(
        &self,
        store: &Store,
        name: &str,
        plain: &Path,
        compressed: &Path,
        now: Timestamp,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Made, BackupError> {
        let contents = store.read(|reader| Ok(reader.copy(plain, progress)))??;
        let source = File::open(plain).map_err(of(plain))?;
        let total = source.metadata().map_err(of(plain))?.len();
        let mut source = Summed::new(BufReader::new(source));
        let target = File::create_new(compressed).map_err(of(compressed))?;
        let target = Summed::new(BufWriter::new(target));
        let mut encoder = GzEncoder::new(target, Compression::fast());
        pump(&mut source, &mut encoder, total, progress).map_err(of(compressed))??;
        let mut target = encoder.finish().map_err(of(compressed))?;
        target.flush().map_err(of(compressed))?;
        target.inner.get_ref().sync_all().map_err(of(compressed))?;
        let manifest = Manifest {
            backup: name.to_owned(),
            timestamp: i64::try_from(now.as_nanosecond()).unwrap_or(i64::MAX),
            plantd: plantd_daemon::VERSION.to_owned(),
            contents,
            file: source.sum(),
            compressed: target.sum(),
        };
        let path = self.manifest_path(name);
        write_whole(&path, manifest.to_text().as_bytes()).map_err(of(&path))?;
        Ok(manifest.made())
    }

    /// Reads the whole of a backup against its manifest and its checksums.
    pub(crate) fn verify(
        &self,
        name: &str,
        progress: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Checked, BackupError> {
        if !is_name(name) || !self.manifest_path(name).exists() {
            return Err(BackupError::Unknown(name.to_owned()));
        }
        let unpacked = self.folder.join(format!("{name}.check"));
        let report = &mut |_, done, total| progress(done, total);
        let checked = unpack(&self.manifest_path(name), &unpacked, report);
        let _ = fs::remove_file(&unpacked);
        checked.map(|(_, checked)| checked)
    }

    /// The newest backup that is finished.
    pub(crate) fn newest(&self) -> Option<Made> {
        let newest = self.names().pop()?;
        Some(Manifest::read(&self.manifest_path(&newest)).ok()?.made())
    }

    /// Removes the oldest beyond a number; returns how many.
    pub(crate) fn keep(&self, most: usize) -> Result<usize, BackupError> {
        let names = self.names();
        let surplus = names.len().saturating_sub(most);
        for name in &names[..surplus] {
            // The manifest first, so that no manifest is without its copy.
            for path in [
                self.manifest_path(name),
                self.folder.join(format!("{name}.db.gz")),
            ] {
                fs::remove_file(&path).map_err(of(&path))?;
            }
        }
        Ok(surplus)
    }

    /// The names of all that are finished, the oldest first.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let name = name.strip_suffix(".json")?;
            is_name(name).then(|| name.to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn manifest_path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

/// Restores a backup where no database is. Verified as a whole before anything is in its place; what
/// fails leaves nothing.
///
/// `backup` is the path of a manifest, with or without its `.json`, or a folder, of which the newest is
/// taken. `progress` is told how much is done of how much, and says whether to go on.
///
/// # Errors
/// [`BackupError`], and nothing has changed.
pub fn restore(
    backup: &Path,
    database: &Path,
    progress: &mut dyn FnMut(Step, u64, u64) -> bool,
) -> Result<Made, BackupError> {
    let manifest = find(backup)?;
    // The reason that a user can do most about comes first.
    Manifest::read(&manifest)?;
    let folder = crate::config::folder_of(database);
    let was_there = folder.exists();
    fs::create_dir_all(folder).map_err(of(folder))?;
    let lock = Lock::try_take(database).map_err(of(database))?;
    let lock = lock.map_err(BackupError::Held)?;
    let restored = restore_locked(&manifest, database, progress);
    lock.remove();
    if restored.is_err() && !was_there {
        // Nothing is in it.
        let _ = fs::remove_dir(folder);
    }
    restored
}

/// As [`restore`], for a daemon that has the lock: what it restored before from the same backup stays.
pub(crate) fn restore_once(
    manifest: &Path,
    database: &Path,
    progress: &mut dyn FnMut(Step, u64, u64) -> bool,
) -> Result<Option<Made>, BackupError> {
    if database.exists() {
        let of_backup = Manifest::read(manifest)?.backup;
        return match store::origin(database)? {
            Some(origin) if origin == of_backup => Ok(None),
            Some(_) | None => Err(BackupError::Exists(database.display().to_string())),
        };
    }
    restore_locked(manifest, database, progress).map(Some)
}

fn restore_locked(
    manifest: &Path,
    database: &Path,
    progress: &mut dyn FnMut(Step, u64, u64) -> bool,
) -> Result<Made, BackupError> {
    // SQLite would take a log that is left over for one of the restored file.
    for left in store::files_of(database) {
        if left.exists() {
            return Err(BackupError::Exists(left.display().to_string()));
        }
    }
    let mut unpacked = database.as_os_str().to_owned();
    unpacked.push("-restore");
    let unpacked = PathBuf::from(unpacked);
    let restored = unpack(manifest, &unpacked, progress).and_then(|(manifest, _)| {
        store::begin_anew(&unpacked, &manifest.backup)?;
        store::install(&unpacked, database).map_err(of(database))?;
        Ok(manifest.made())
    });
    if restored.is_err() {
        let _ = fs::remove_file(&unpacked);
    }
    restored
}

/// The manifest of what a user names.
fn find(backup: &Path) -> Result<PathBuf, BackupError> {
    if backup.is_dir() {
        let backups = Backups::new(backup.to_owned());
        let newest = backups.names().pop();
        let unknown = || BackupError::Unknown(format!("in {}", backup.display()));
        return Ok(backups.manifest_path(&newest.ok_or_else(unknown)?));
    }
    if backup.extension().is_some_and(|end| end == "json") {
        return match backup.exists() {
            true => Ok(backup.to_owned()),
            false => Err(BackupError::Unknown(backup.display().to_string())),
        };
    }
    // A name has dots of its own.
    let text = backup.display().to_string();
    let stem = text.strip_suffix(".db.gz").unwrap_or(&text);
    let manifest = PathBuf::from(format!("{stem}.json"));
    match manifest.exists() {
        true => Ok(manifest),
        false => Err(BackupError::Unknown(text)),
    }
}

/// Unpacks a backup into a file, and checks all of it.
fn unpack(
    manifest_path: &Path,
    to: &Path,
    progress: &mut dyn FnMut(Step, u64, u64) -> bool,
) -> Result<(Manifest, Checked), BackupError> {
    let manifest = Manifest::read(manifest_path)?;
    let compressed = manifest_path.with_file_name(format!("{}.db.gz", manifest.backup));
    let source = File::open(&compressed).map_err(of(&compressed))?;
    let mut source = Summed::new(BufReader::new(source));
    let mut decoder = GzDecoder::new(&mut source);
    let target = File::create(to).map_err(of(to))?;
    let mut target = Summed::new(BufWriter::new(target));
    let total = manifest.file.bytes;
    let report = &mut |done, total| progress(Step::Unpack, done, total);
    let unpacked = pump(&mut decoder, &mut target, total, report);
    // A target that is full is told apart from a source that cannot be unpacked.
    match unpacked {
        Ok(outcome) => outcome?,
        Err(error) if error.raw_os_error().is_some() => return Err(of(to)(error)),
        Err(error) => return Err(BackupError::Damaged(error.to_string())),
    }
    target.flush().map_err(of(to))?;
    io::copy(&mut source, &mut io::sink()).map_err(of(&compressed))?;
    if source.sum() != manifest.compressed || target.sum() != manifest.file {
        let error = format!(
            "{} has not the size and checksum that it should",
            compressed.display()
        );
        return Err(BackupError::Damaged(error));
    }
    let reader = Reader::open_copy(to)?;
    let report = &mut |done, total| progress(Step::Check, done, total);
    let checked = reader.check_copy(&manifest.contents, report)?;
    Ok((manifest, checked))
}

/// Copies everything, with reports.
fn pump(
    source: &mut impl Read,
    target: &mut impl Write,
    total: u64,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> io::Result<Result<(), BackupError>> {
    let mut buffer = vec![0; 256 << 10];
    let mut done = 0;
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Ok(Ok(()));
        }
        target.write_all(&buffer[..count])?;
        done += count as u64;
        if !progress(done, total.max(done)) {
            return Ok(Err(BackupError::Stopped));
        }
    }
}

/// Writes a file that is there whole or not at all.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let part = path.with_extension("json.part");
    let mut file = File::create(&part)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    store::sync_folder(path)
}

fn is_name(name: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    name.starts_with(NAME) && name.chars().all(is_of_name)
}

fn of(path: &Path) -> impl Fn(io::Error) -> BackupError {
    let path = path.display().to_string();
    move |source| BackupError::File {
        path: path.clone(),
        source,
    }
}

/// What passes, counted and summed.
struct Summed<T> {
    inner: T,
    bytes: u64,
    hasher: crc32fast::Hasher,
}

impl<T> Summed<T> {
    fn new(inner: T) -> Self {
        Self {
            inner,
            bytes: 0,
            hasher: crc32fast::Hasher::new(),
        }
    }

    fn sum(&self) -> FileSum {
        FileSum {
            bytes: self.bytes,
            crc32: self.hasher.clone().finalize(),
        }
    }
}

impl<T: Read> Read for Summed<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes += count as u64;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}

impl<T: Write> Write for Summed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.bytes += count as u64;
        self.hasher.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
