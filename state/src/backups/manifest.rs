//! The manifest of a backup.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{BackupError, Made, of};
use crate::store::{Contents, ScopeRow};

/// The size and the CRC-32 of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileSum {
    pub(super) bytes: u64,
    pub(super) crc32: u32,
}

/// What is known of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) backup: String,
    pub(super) timestamp: i64,
    pub(super) plantd: String,
    pub(super) contents: Contents,
    /// The database.
    pub(super) file: FileSum,
    /// The database, compressed.
    pub(super) compressed: FileSum,
}

/// The file: a manifest as a text, and the text's CRC-32.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    manifest: Box<RawValue>,
    crc32: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    backup: String,
    timestamp: i64,
    plantd: String,
    store: String,
    commits: u64,
    file: FileSum,
    compressed: FileSum,
    scopes: BTreeMap<String, WrittenScope>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenScope {
    number: i64,
    sequence: u64,
    floor: u64,
    keys: u64,
    digest: u64,
    created: i64,
    deleted: bool,
    /// Backups of schema 1 have none.
    #[serde(default)]
    past: u64,
}

impl Manifest {
    pub(super) fn read(path: &Path) -> Result<Self, BackupError> {
        let text = fs::read(path).map_err(of(path))?;
        let damaged =
            || BackupError::Damaged(format!("{} is not what was written", path.display()));
        let sealed: Sealed = serde_json::from_slice(&text).map_err(|_| damaged())?;
        if crc32fast::hash(sealed.manifest.get().as_bytes()) != sealed.crc32 {
            return Err(damaged());
        }
        let written: Written =
            serde_json::from_str(sealed.manifest.get()).map_err(|_| damaged())?;
        let scopes = written.scopes.into_iter();
        let scopes = scopes.map(|(scope, row)| {
            let row = ScopeRow {
                number: row.number,
                sequence: row.sequence,
                floor: row.floor,
                // As a backup is read.
                folded: row.sequence,
                keys: row.keys,
                digest: row.digest,
                created: row.created,
                is_deleted: row.deleted,
                past: row.past,
            };
            (scope, row)
        });
        let identity = u128::from_str_radix(&written.store, 16).map_err(|_| damaged())?;
        Ok(Self {
            backup: written.backup,
            timestamp: written.timestamp,
            plantd: written.plantd,
            contents: Contents {
                identity: identity.to_be_bytes(),
                commits: written.commits,
                scopes: scopes.collect(),
            },
            file: written.file,
            compressed: written.compressed,
        })
    }

    pub(super) fn to_text(&self) -> String {
        let scopes = self.contents.scopes.iter();
        let scopes = scopes.map(|(scope, row)| {
            let written = WrittenScope {
                number: row.number,
                sequence: row.sequence,
                floor: row.floor,
                keys: row.keys,
                digest: row.digest,
                created: row.created,
                deleted: row.is_deleted,
                past: row.past,
            };
            (scope.clone(), written)
        });
        let written = Written {
            backup: self.backup.clone(),
            timestamp: self.timestamp,
            plantd: self.plantd.clone(),
            store: format!("{:032x}", u128::from_be_bytes(self.contents.identity)),
            commits: self.contents.commits,
            file: self.file,
            compressed: self.compressed,
            scopes: scopes.collect(),
        };
        // Plain data can be written.
        let text = serde_json::to_string(&written).unwrap_or_default();
        let crc32 = crc32fast::hash(text.as_bytes());
        format!("{{\"manifest\":{text},\"crc32\":{crc32}}}\n")
    }

    pub(super) fn made(&self) -> Made {
        let live = self.contents.scopes.iter();
        let live = live.filter(|(_, row)| !row.is_deleted);
        Made {
            name: self.backup.clone(),
            bytes: self.compressed.bytes,
            commits: self.contents.commits,
            scopes: live.clone().count() as u64,
            keys: live.map(|(_, row)| row.keys).sum(),
            timestamp: self.timestamp,
        }
    }
}
