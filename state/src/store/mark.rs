//! The mark: how many commits were acknowledged, kept beside the database.
//!
//! SQLite ends the recovery of a damaged WAL silently at the first frame that is wrong, and then
//! everything after it is gone as if it had never been. The mark is written after each commit, so
//! it is never ahead of a database that is whole: when the database has fewer commits than the mark
//! says, acknowledged ones are missing. It is synced once a second; after a power failure it may be
//! behind by what was committed since, which makes it see less and never makes it wrong.
//!
//! Layout: two slots at 0 and 512, written in turn; each the store's identity (16 bytes), the number
//! of commits (8 bytes, little endian) and the CRC-32 of both.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Names a store; chosen when it is made.
pub(crate) type Identity = [u8; 16];

const SLOT_BYTES: usize = 28;
const SLOTS: [u64; 2] = [0, 512];

/// The file that holds the mark.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    is_synced: bool,
}

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) identity: Identity,
    pub(super) commits: u64,
}

impl Mark {
    /// The place of the mark of a database.
    pub(super) fn path(database: &Path) -> PathBuf {
        super::beside(database, "-mark")
    }

    /// Opens the file, and reads what it says: `None` when nothing in it can be read.
    pub(super) fn open(database: &Path) -> io::Result<(Self, Option<Marked>)> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(Self::path(database))?;
        let slots = SLOTS.map(|offset| read(&file, offset));
        let newest = slots.into_iter().flatten().max_by_key(|slot| slot.commits);
        let mark = Self {
            file,
            is_synced: true,
        };
        Ok((mark, newest))
    }

    pub(super) fn write(&mut self, marked: Marked) -> io::Result<()> {
        let offset = SLOTS[usize::from(marked.commits % 2 == 1)];
        self.is_synced = false;
        self.file.write_all_at(&encode(marked), offset)
    }

    /// Brings it to the disk, if it is not there.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        if !self.is_synced {
            self.file.sync_data()?;
            self.is_synced = true;
        }
        Ok(())
    }
}

fn encode(marked: Marked) -> [u8; SLOT_BYTES] {
    let mut slot = [0; SLOT_BYTES];
    slot[..16].copy_from_slice(&marked.identity);
    slot[16..24].copy_from_slice(&marked.commits.to_le_bytes());
    let checksum = crc32fast::hash(&slot[..24]);
    slot[24..].copy_from_slice(&checksum.to_le_bytes());
    slot
}

fn read(file: &File, offset: u64) -> Option<Marked> {
    let mut slot = [0; SLOT_BYTES];
    file.read_exact_at(&mut slot, offset).ok()?;
    let (identity, rest) = slot.split_first_chunk::<16>()?;
    let (commits, _) = rest.split_first_chunk::<8>()?;
    let marked = Marked {
        identity: *identity,
        commits: u64::from_le_bytes(*commits),
    };
    (encode(marked) == slot).then_some(marked)
}
