//! What a store has done on the wire.

use std::sync::atomic::{AtomicU64, Ordering};

use cache_core::ErrorKind;

/// What a store has done on the wire, as one snapshot.
///
/// Counts start at zero when the store is connected. Stores that
/// [share](crate::RedisStore::partition) its connections share the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RedisStats {
    /// Operations that were sent; a bulk operation counts once.
    pub operations: u64,
    /// Bytes of the keys, without the namespace of the store, and of the values that were sent.
    pub bytes_sent: u64,
    /// Bytes of the values that were received.
    pub bytes_received: u64,
    /// Operations that ended without an answer in time.
    pub timeouts: u64,
    /// Operations that failed because a server could not be reached.
    pub unavailable: u64,
    /// Operations that a server refused for lack of credentials or permissions.
    pub unauthorized: u64,
    /// Operations that failed for another reason.
    pub other_errors: u64,
    /// Reads that were sent again because the connection broke.
    pub retries: u64,
    /// Connections that were opened anew after the first.
    pub reconnects: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    operations: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    timeouts: AtomicU64,
    unavailable: AtomicU64,
    unauthorized: AtomicU64,
    other_errors: AtomicU64,
    retries: AtomicU64,
    reconnects: AtomicU64,
}

fn add(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn sent(&self, bytes: usize) {
        add(&self.operations, 1);
        add(&self.bytes_sent, bytes as u64);
    }

    pub(crate) fn received(&self, bytes: usize) {
        add(&self.bytes_received, bytes as u64);
    }

    pub(crate) fn failed(&self, kind: &ErrorKind) {
        let counter = match kind {
            ErrorKind::Timeout => &self.timeouts,
            ErrorKind::Unavailable => &self.unavailable,
            ErrorKind::Unauthorized => &self.unauthorized,
            _ => &self.other_errors,
        };
        add(counter, 1);
    }

    pub(crate) fn retried(&self) {
        add(&self.retries, 1);
    }

    pub(crate) fn reconnected(&self, times: u64) {
        add(&self.reconnects, times);
    }

    pub(crate) fn snapshot(&self) -> RedisStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RedisStats {
            operations: read(&self.operations),
            bytes_sent: read(&self.bytes_sent),
            bytes_received: read(&self.bytes_received),
            timeouts: read(&self.timeouts),
            unavailable: read(&self.unavailable),
            unauthorized: read(&self.unauthorized),
            other_errors: read(&self.other_errors),
            retries: read(&self.retries),
            reconnects: read(&self.reconnects),
        }
    }
}
