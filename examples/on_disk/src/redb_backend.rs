//! A backend of your own: bytes on disk, in a [redb](https://docs.rs/redb) database.
use std::{sync::Arc, time::Duration};

use buildscale_cache::backend::{CacheBackend, Capabilities, Cursor, Page, ReadNow, each};
use buildscale_cache::{
    BackendStats, Entry, Error, Expiry, LoadLeases, Result, Scope, Tags, Transactions, WriteOptions,
};
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
    Some(Entry::new(Bytes::copy_from_slice(value), expiry))
}

#[rustfmt::skip] // One line for what is one thought.
impl CacheBackend<Bytes> for RedbStore {
    fn read_now(&self, _: &str) -> ReadNow<Bytes> { ReadNow::WouldWait }
    fn default_ttl(&self) -> Option<Duration> { None }
    fn capabilities(&self) -> Capabilities { Capabilities::new() }
    fn stats(&self) -> BackendStats { BackendStats::default() }
    fn leases(&self) -> Option<&dyn LoadLeases<Bytes>> { None }
    fn tags(&self) -> Option<&dyn Tags<Bytes>> { None }
    fn transactions(&self) -> Option<&dyn Transactions<Bytes>> { None }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.update(key, |live| (live.as_ref().map(|entry| entry.value.clone()), live)).await
    }
    async fn get_entry(&self, key: &str) -> Result<Option<Entry<Bytes>>> {
        self.update(key, |live| (live.clone(), live)).await
    }
    async fn set(&self, key: &str, value: Bytes, options: WriteOptions) -> Result<bool> {
        self.update(key, move |live| {
            let holds = options.condition.holds(live.is_some());
            (holds, if holds { Some(Entry::new(value, options.expiry)) } else { live })
        }).await
    }
    async fn swap(&self, key: &str, value: Bytes, expiry: Expiry) -> Result<Option<Bytes>> {
        self.update(key, move |live| (live.map(|old| old.value), Some(Entry::new(value, expiry)))).await
    }
    async fn delete(&self, key: &str) -> Result<bool> {
        self.update(key, |live| (live.is_some(), None)).await
    }
    async fn expiry(&self, key: &str) -> Result<Option<Expiry>> {
        self.update(key, |live| (live.as_ref().map(|entry| entry.expiry), live)).await
    }
    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        self.update(key, move |live| {
            let never = (Expiry::Never, Expiry::Never);
            let changes = live.as_ref().is_some_and(|entry| (entry.expiry, expiry) != never);
            (changes, live.map(|entry| Entry::new(entry.value, expiry)))
        }).await
    }
    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<Bytes>>> { each::get(self, keys).await }
    async fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<Entry<Bytes>>>> { each::get_entry(self, keys).await }
    async fn delete_many(&self, keys: &[&str]) -> Result<u64> { each::delete(self, keys).await }
    async fn clear(&self, scope: &Scope) -> Result<u64> { each::clear(self, scope).await }
    async fn set_many(&self, entries: Vec<(&str, Bytes)>, expiry: Expiry) -> Result<()> {
        each::set(self, entries, expiry).await
    }
    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        let from = if let Cursor::After(key) = cursor { key + "\0" } else { scope.prefix().into() };
        let scope = scope.clone();
        self.run(move |table, now| {
            let (mut keys, mut last) = (Vec::new(), None);
            for row in table.range(&*from..)?.take(limit) {
                let (key, row) = row?;
                let key = last.insert(key.value().to_owned());
                keys.extend(live(row.value(), now).filter(|_| scope.contains(key)).map(|_| key.clone()));
            }
            let next = last.filter(|last| last.starts_with(scope.prefix())).map(Cursor::After);
            Ok(Page::new(keys, next))
        }).await
    }
}
