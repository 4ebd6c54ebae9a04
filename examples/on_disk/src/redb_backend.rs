//! A backend of your own: bytes on disk, in a [redb](https://docs.rs/redb) database.
use std::{sync::Arc, time::Duration};

use buildscale_cache::backend::{CacheBackend, Cursor, Page, decide};
use buildscale_cache::{
    BackendEntry, BackendWrite, Condition, Error, Expiry, Result, Scope, Version,
};
use bytes::Bytes;
use redb::{Database, Durability, ReadableTable, TableDefinition};

/// A deadline, in milliseconds since 1970 (`u64::MAX` for none), and a value.
type Row = (u64, &'static [u8]);
type Table<'t> = redb::Table<'t, &'static str, Row>;
const TABLE: TableDefinition<'_, &str, Row> = TableDefinition::new("cache");

/// Entries in a file. They outlive the process, so their deadlines are wall-clock times.
#[derive(Debug, Clone)]
pub struct RedbStore(Arc<Database>, fn() -> Duration);

impl RedbStore {
    /// Keeps entries in `database`; `now` tells the time since 1970.
    #[must_use]
    pub const fn new(database: Arc<Database>, now: fn() -> Duration) -> Self {
        Self(database, now)
    }

    /// Runs `work` in a transaction, off the threads that run tasks, and tells it the time.
    async fn run<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&mut Table<'_>, u64) -> Result<T, redb::Error> + Send + 'static,
    {
        let Self(database, now) = self.clone();
        let transaction = move || {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::None)?; // A cache may lose its last writes.
            let done = work(
                &mut transaction.open_table(TABLE)?,
                now().as_millis() as u64,
            )?;
            transaction.commit()?;
            Ok::<_, redb::Error>(done)
        };
        let done = tokio::task::spawn_blocking(transaction);
        done.await.map_err(Error::backend)?.map_err(Error::backend)
    }

    /// Shows an entry to `decide`, which returns an answer and what is to stand there then.
    async fn update<T, D>(&self, key: &str, decide: D) -> Result<T>
    where
        T: Send + 'static,
        D: FnOnce(Option<BackendEntry<Bytes>>) -> (T, Option<BackendEntry<Bytes>>) + Send + 'static,
    {
        let key = key.to_owned();
        self.run(move |table, now| {
            let found = table.get(&*key)?.and_then(|row| live(row.value(), now));
            let (answer, next) = decide(found.clone());
            if let Some(BackendEntry { value, expiry, .. }) =
                next.as_ref().filter(|_| next != found)
            {
                let left = expiry.remaining().map(|left| left.as_millis() as u64);
                let deadline = now.saturating_add(left.unwrap_or(u64::MAX));
                table.insert(&*key, (deadline, &**value))?;
            } else if next.is_none() {
                table.remove(&*key)?;
            }
            Ok(answer)
        })
        .await
    }
}

fn live((deadline, value): (u64, &[u8]), now: u64) -> Option<BackendEntry<Bytes>> {
    let left = deadline.checked_sub(now).filter(|left| *left > 0)?;
    let expiry = match deadline {
        u64::MAX => Expiry::Never,
        _ => Expiry::After(Duration::from_millis(left)),
    };
    let value = Bytes::copy_from_slice(value); // What stands there is its own version.
    Some(BackendEntry::new(value.clone(), expiry).with_version(Version::from_bytes(value)))
}

impl CacheBackend<Bytes> for RedbStore {
    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<Bytes>>> {
        self.update(key, |found| (found.clone(), found)).await
    }

    async fn set(&self, key: &str, value: Bytes, options: BackendWrite) -> Result<bool> {
        self.update(key, move |found| decide::set(found, value, &options))
            .await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        self.update(key, move |found| decide::delete(found, &condition))
            .await
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.update(key, move |found| decide::set_expiry(found, expiry))
            .await
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        let scope = scope.clone();
        self.run(move |table, now| {
            let from = match cursor {
                Cursor::After(key) => key + "\0",
                _ => scope.prefix().into(),
            };
            let (mut keys, mut last) = (Vec::new(), None);
            for row in table.range(&*from..)?.take(limit) {
                let (key, row) = row?;
                let key = last.insert(key.value().to_owned());
                if live(row.value(), now).is_some() && scope.contains(key) {
                    keys.push(key.clone());
                }
            }
            let is_within = |last: &String| last.starts_with(scope.prefix());
            Ok(Page::new(keys, last.filter(is_within).map(Cursor::After)))
        })
        .await
    }
}
