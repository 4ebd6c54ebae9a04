//! The backend of the tutorial keeps the contract: the suite, on a database in a file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cache_conformance::{Fixture, conformance_tests};
use on_disk::redb_backend::RedbStore;
use redb::Database;
use tempfile::TempDir;

/// Databases in a directory that goes with the fixture.
struct OnDisk(TempDir);

impl Fixture for OnDisk {
    type Value = Bytes;
    type Backend = RedbStore;

    async fn fresh(&self) -> RedbStore {
        let file = tempfile::NamedTempFile::new_in(&self.0).expect("a file can be made");
        let (_, path) = file
            .keep()
            .expect("the file stays until the directory goes");
        let database = Database::create(path).expect("an empty file becomes a database");
        RedbStore::new(Arc::new(database), wall_clock)
    }

    async fn advance(&self, by: Duration) {
        tokio::time::sleep(by).await;
    }

    fn granularity(&self) -> Duration {
        Duration::from_millis(40)
    }
}

/// A wall clock that nobody sets back while the tests run.
fn wall_clock() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    Duration::from_secs(1_800_000_000) + START.elapsed()
}

conformance_tests!(
    in_a_file,
    OnDisk(TempDir::new().expect("a directory can be made"))
);
