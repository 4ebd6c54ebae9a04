//! Finds values that do not survive being encoded and decoded.

use std::any::{TypeId, type_name};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::{CodecError, Error, ErrorKind, Result};

/// Says which writes are verified, and what comes of those that do not come back.
#[derive(Debug)]
pub(super) struct Verifier {
    /// Whether each value is verified, and refused if it does not come back.
    pub(super) strict: bool,
    /// The mark of the type whose last verified value came back; 0 while there is none.
    proven: AtomicU64,
    lossy_writes: AtomicU64,
    has_warned: AtomicBool,
}

/// Why a value does not come back. It shows the type, and never the value.
#[derive(Debug, thiserror::Error)]
#[error("a value of the type {name} does not come back: {reason}")]
struct Lossy {
    name: &'static str,
    // Part of the text already, so it is not the source as well.
    reason: CodecError,
}

impl Verifier {
    pub(super) const fn new() -> Self {
        Self {
            strict: cfg!(debug_assertions),
            proven: AtomicU64::new(0),
            lossy_writes: AtomicU64::new(0),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Tells whether a value of this type is to be verified before it is written.
    pub(super) fn is_due<V: 'static>(&self) -> bool {
        self.strict || self.proven.load(Ordering::Relaxed) != mark::<V>()
    }

    /// Takes note of what came of a verification. A type whose value did not come back is verified again at its
    /// next write, so that all of them are counted.
    pub(super) fn note<V: 'static>(&self, verified: Result<(), CodecError>) -> Result<()> {
        let Err(reason) = verified else {
            self.proven.store(mark::<V>(), Ordering::Relaxed);
            return Ok(());
        };
        self.doubt();
        self.lossy_writes.fetch_add(1, Ordering::Relaxed);
        let name = type_name::<V>();
        let lossy = Lossy { name, reason };
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason = %lossy, "a cached value does not come back as it was written");
        }
        if self.strict {
            return Err(Error::new(ErrorKind::Encode).with_source(lossy));
        }
        Ok(())
    }

    /// Has the next value verified. One was found that cannot be read: perhaps it was written here, of a variant of
    /// its type that was not verified.
    pub(super) fn doubt(&self) {
        self.proven.store(0, Ordering::Relaxed);
    }

    pub(super) fn lossy_writes(&self) -> u64 {
        self.lossy_writes.load(Ordering::Relaxed)
    }
}

/// Returns a number that stands for a type and is not 0. That two types have the same one is next to impossible,
/// and costs the second one its first verification.
fn mark<V: 'static>() -> u64 {
    let mut hasher = DefaultHasher::new();
    TypeId::of::<V>().hash(&mut hasher);
    hasher.finish() | 1
}
