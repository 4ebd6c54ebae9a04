//! The history of a worker, written down as it goes: what it has seen outlives it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::history::{Operation, Record, append};

/// The file of a history.
#[derive(Debug)]
pub(super) struct Journal(Mutex<BufWriter<File>>);

impl Journal {
    pub(super) fn create(path: &Path) -> Self {
        let file = File::create(path).expect("the history can be written");
        Self(Mutex::new(BufWriter::new(file)))
    }

    /// Writes down that writes begin, before they do: the next process must not use their versions again, and
    /// they may take effect although this one dies.
    pub(super) fn begin(&self, calls: &[Operation]) {
        let mut file = self.file();
        for call in calls {
            write(&mut file, &Record::Begun(call.clone()));
        }
        file.flush().expect("the history is written");
    }

    /// Writes down what has become of calls.
    pub(super) fn end(&self, calls: impl IntoIterator<Item = Operation>) {
        let mut file = self.file();
        for call in calls {
            write(&mut file, &Record::Operation(call));
        }
    }

    pub(super) fn note(&self, record: &Record) {
        write(&mut self.file(), record);
    }

    pub(super) fn flush(&self) {
        self.file().flush().expect("the history is written");
    }

    fn file(&self) -> MutexGuard<'_, BufWriter<File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(file: &mut BufWriter<File>, record: &Record) {
    append(file, record).expect("the history is written");
}
