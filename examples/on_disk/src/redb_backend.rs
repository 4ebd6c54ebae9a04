//! A backend of your own: bytes on disk, in a [redb](https://docs.rs/redb) database.
use std::{sync::Arc, time::Duration};

use buildscale_cache::backend::{CacheBackend, Cursor, Page};
use buildscale_cache::{Condition, Entry, Error, Expiry, Result, Scope, Version, WriteOptions};
use bytes::Bytes;
use redb::{Database, Durability, ReadableTable, TableDefinition};

/// A deadline, in milliseconds since 1970 (`u64::MAX` for none), and a value.
type Row = (u64, &'static [u8]);
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
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut redb::Table<'_, &str, Row>, u64) -> Result<T, redb::Error>
        + Send
        + 'static,
    ) -> Result<T> {
        let Self(database, now) = self.clone();
        let transaction = move || {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::None)?; // A cache may lose its last writes.
            let now = now().as_millis() as u64;
            let done = work(&mut transaction.open_table(TABLE)?, now)?;
            transaction.commit()?;
            Ok::<_, redb::Error>(done)
        };
        let done = tokio::task::spawn_blocking(transaction);
        done.await.map_err(Error::backend)?.map_err(Error::backend)
    }

    /// Shows an entry to `decide`, which returns an answer and what is to stand there then.
    async fn update<T: Send + 'static>(
        &self,
        key: &str,
        decide: impl FnOnce(Option<Entry<Bytes>>) -> (T, Option<Entry<Bytes>>) + Send + 'static,
    ) -> Result<T> {
        let key = key.to_owned();
        self.run(move |table, now| {
            let live = table.get(&*key)?.and_then(|row| live(row.value(), now));
            let (answer, next) = decide(live.clone());
            match next {
                next if next == live => {}
                None => drop(table.remove(&*key)?),
                Some(Entry { value, expiry, .. }) => {
                    let left = expiry.remaining();
                    let ttl = left.map_or(u64::MAX, |left| left.as_millis() as u64);
                    table.insert(&*key, (now.saturating_add(ttl), &*value))?;
                }
            }
            Ok(answer)
        })
        .await
    }
}

fn live((deadline, value): (u64, &[u8]), now: u64) -> Option<Entry<Bytes>> {
    let left = deadline.checked_sub(now).filter(|left| *left > 0)?;
    let expiry = match deadline {
        u64::MAX => Expiry::Never,
        _ => Expiry::After(Duration::from_millis(left)),
    };
    // What stands there is its own version.
    let value = Bytes::copy_from_slice(value);
    Some(Entry::new(value.clone(), expiry).with_version(Version::from_bytes(value)))
}

impl CacheBackend<Bytes> for RedbStore {
    async fn get_entry(&self, key: &str) -> Result<Option<Entry<Bytes>>> {
        self.update(key, |live| (live.clone(), live)).await
    }

    async fn set(&self, key: &str, value: Bytes, options: WriteOptions) -> Result<bool> {
        self.update(key, move |live| {
            let found = live.as_ref().and_then(|entry| entry.version.as_ref());
            if !options.condition.holds(found) {
                return (false, live);
            }
            let expiry = options.expiry_over(live.map(|entry| entry.expiry));
            (true, Some(Entry::new(value, expiry)))
        })
        .await
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        self.update(key, move |live| {
            let found = live.as_ref().and_then(|entry| entry.version.as_ref());
            let is_due = found.is_some() && condition.holds(found);
            (is_due, live.filter(|_| !is_due))
        })
        .await
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.update(key, move |live| {
            let never = (Expiry::Never, Expiry::Never);
            let changes = live
                .as_ref()
                .is_some_and(|entry| (entry.expiry, expiry) != never);
            (changes, live.map(|entry| Entry::new(entry.value, expiry)))
        })
        .await
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        let from = if let Cursor::After(key) = cursor {
            key + "\0"
        } else {
            scope.prefix().into()
        };
        let scope = scope.clone();
        self.run(move |table, now| {
            let (mut keys, mut last) = (Vec::new(), None);
            for row in table.range(&*from..)?.take(limit) {
                let (key, row) = row?;
                let key = last.insert(key.value().to_owned());
                keys.extend(
                    live(row.value(), now)
                        .filter(|_| scope.contains(key))
                        .map(|_| key.clone()),
                );
            }
            let next = last
                .filter(|last| last.starts_with(scope.prefix()))
                .map(Cursor::After);
            Ok(Page::new(keys, next))
        })
        .await
    }
}
