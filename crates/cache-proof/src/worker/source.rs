//! The database of which some of the keys are a cache.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file with the current version of each key, which all workers share.
#[derive(Debug)]
pub(crate) struct Source(File);

const BYTES: u64 = size_of::<u64>() as u64;

impl Source {
    /// Makes one in which all versions are zero.
    pub(crate) fn create(path: &Path, keys: u32) -> io::Result<()> {
        File::create(path)?.set_len(u64::from(keys) * BYTES)
    }

    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self(file))
    }

    pub(crate) fn get(&self, key: u32) -> u64 {
        let mut bytes = [0; size_of::<u64>()];
        let read = self.0.read_exact_at(&mut bytes, u64::from(key) * BYTES);
        read.expect("the file has a place for each key");
        u64::from_le_bytes(bytes)
    }

    pub(crate) fn put(&self, key: u32, version: u64) {
        let written = self
            .0
            .write_all_at(&version.to_le_bytes(), u64::from(key) * BYTES);
        written.expect("the file has a place for each key");
    }
}
