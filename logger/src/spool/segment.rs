//! A file of the spool: records of one run, one after another.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::record::{self, Reading, Record};
use super::{Number, Run, Waiting};

const MAGIC: &[u8; 12] = b"plantd-spl\0\x01";
const HEADER_BYTES: u64 = 32;
const EXTENSION: &str = "spool";
const SET_ASIDE: &str = "damaged";

/// A file of the spool.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) run: Run,
    file: File,
    /// Where the next record to be stored begins.
    read_at: u64,
    /// Where the last readable record ends.
    end: u64,
    /// What is between the two.
    pub(super) waiting: Waiting,
    /// The last record that was read, and where it ends.
    taken: Option<(Number, u64, u32)>,
    is_synced: bool,
    /// Whether something after its end could not be read.
    is_damaged: bool,
}

/// What was wrong with a segment that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The end is missing.
    Torn { bytes: u64 },
    /// What comes after a damaged place was not read.
    Damaged { offset: u64, bytes: u64 },
}

/// The ordinal of a file that is named as a segment.
pub(super) fn ordinal(path: &Path) -> Option<u64> {
    let is_segment = path.extension()? == EXTENSION;
    let number = path.file_stem()?.to_str()?.parse().ok()?;
    is_segment.then_some(number)
}

impl Segment {
    /// Makes the file, empty of records.
    pub(super) fn create(directory: &Path, ordinal: u64, run: Run) -> io::Result<Self> {
        let path = directory.join(format!("{ordinal:010}.{EXTENSION}"));
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        if let Err(error) = file.write_all(&header(run)) {
            // Nothing is in it yet.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self {
            path,
            run,
            file,
            read_at: HEADER_BYTES,
            end: HEADER_BYTES,
            waiting: Waiting::default(),
            taken: None,
            is_synced: true,
            is_damaged: false,
        })
    }

    /// Opens a file that was found and reads all of it. `None` if its header was never complete.
    ///
    /// # Errors
    /// When it cannot be read, or is of a version that is not known.
    pub(super) fn open(path: PathBuf) -> io::Result<(Option<Self>, Option<Flaw>)> {
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let length = file.metadata()?.len();
        let mut header = [0; HEADER_BYTES as usize];
        if length < HEADER_BYTES {
            return Ok((None, (length > 0).then_some(Flaw::Torn { bytes: length })));
        }
        file.read_exact_at(&mut header, 0)?;
        let Some(run) = run_of(&header) else {
            let zeros = header.iter().all(|byte| *byte == 0);
            let kind = io::ErrorKind::InvalidData;
            return match zeros {
                true => Ok((None, Some(Flaw::Torn { bytes: length }))),
                false => Err(io::Error::new(kind, "not a segment of this version")),
            };
        };
        let mut segment = Self {
            path,
            run,
            file,
            read_at: HEADER_BYTES,
            end: HEADER_BYTES,
            waiting: Waiting::default(),
            taken: None,
            is_synced: true,
            is_damaged: false,
        };
        let flaw = segment.scan(length)?;
        Ok((Some(segment), flaw))
    }

    /// Counts what is readable of `length` bytes.
    fn scan(&mut self, length: u64) -> io::Result<Option<Flaw>> {
        loop {
            let bytes = length - self.end;
            match record::read(&self.file, self.end, length)? {
                Reading::Record { record, next } => {
                    self.waiting.add(record.batch.count, next - self.end);
                    self.end = next;
                }
                Reading::End => return Ok(None),
                Reading::Torn => return Ok(Some(Flaw::Torn { bytes })),
                Reading::Damaged => {
                    let offset = self.end;
                    self.is_damaged = true;
                    return Ok(Some(Flaw::Damaged { offset, bytes }));
                }
            }
        }
    }

    pub(super) fn len_bytes(&self) -> u64 {
        self.end
    }

    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        let bytes = record.encode();
        // What an append that failed left behind is written over.
        self.file.write_all_at(&bytes, self.end)?;
        self.end += bytes.len() as u64;
        self.waiting.add(record.batch.count, bytes.len() as u64);
        self.is_synced = false;
        Ok(())
    }

    /// Reads the next record, again until it is [`Segment::stored`]. `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Record>> {
        match record::read(&self.file, self.read_at, self.end)? {
            Reading::Record { record, next } => {
                self.taken = Some((record.number, next, record.batch.count));
                Ok(Some(record))
            }
            Reading::End => Ok(None),
            Reading::Torn | Reading::Damaged => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it was damaged after it was written",
            )),
        }
    }

    /// Moves behind the record that was read last, if it has this number.
    pub(super) fn stored(&mut self, number: Number) {
        if let Some((_, next, count)) = self.taken.take_if(|(taken, ..)| *taken == number) {
            self.waiting.remove(count, next - self.read_at);
            self.read_at = next;
        }
    }

    /// Forgets the rest, which cannot be read; says how much it was.
    pub(super) fn give_up(&mut self) -> Waiting {
        self.read_at = self.end;
        self.taken = None;
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn is_drained(&self) -> bool {
        self.read_at == self.end
    }

    /// Makes it empty of records, once all are stored.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(HEADER_BYTES)?;
        (self.read_at, self.end) = (HEADER_BYTES, HEADER_BYTES);
        Ok(())
    }

    /// Has the disk hold what was appended.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if !self.is_synced {
            self.file.sync_data()?;
            self.is_synced = true;
        }
        Ok(())
    }

    /// Deletes the file, or keeps it under another name if it is damaged.
    pub(super) fn remove(self) -> io::Result<()> {
        if self.is_damaged {
            return Self::set_aside(&self.path).map(drop);
        }
        std::fs::remove_file(self.path)
    }

    /// Keeps the file under another name, for people to look at.
    pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
        let aside = path.with_extension(SET_ASIDE);
        std::fs::rename(path, &aside)?;
        Ok(aside)
    }
}

fn header(run: Run) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..12].copy_from_slice(MAGIC);
    header[12..28].copy_from_slice(&run.0.to_be_bytes());
    let checksum = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&checksum.to_be_bytes());
    header
}

fn run_of(header: &[u8; HEADER_BYTES as usize]) -> Option<Run> {
    let run = u128::from_be_bytes(*header[12..].first_chunk()?);
    (*header == self::header(Run(run))).then_some(Run(run))
}
