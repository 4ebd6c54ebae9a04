//! Transactions: changes of several keys that happen together, or not at all.

use std::collections::BTreeMap;
use std::fmt;

use super::Cache;
use super::raw_keys::borrowed;
#[expect(unused_imports, reason = "short names for the docs")]
use crate::ErrorKind::{Conflict, InvalidInput, TooLarge, Unsupported};
use crate::backend::derived::Races;
use crate::{
    CacheBackend, DynBackend, Error, ErrorKind, MAX_TRANSACTION_KEYS, Result, TransactionWrite,
    Transactions, Ttl, Watch,
};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    /// Reads `keys`, decides what to write, and writes it if none of the keys has changed meanwhile;
    /// otherwise it begins again.
    ///
    /// `decide` is given the values and says what to write, all of which then happens in one step. It may
    /// be called several times, so it should do nothing else. It is tried 128 times; transactions of one
    /// process of which the first keys are the same, in alphabetical order, then take turns. Where that is
    /// not right, call [`watch`](Self::watch) and [`commit`](Transaction::commit). An error of `decide`
    /// ends it, and nothing is written.
    ///
    /// In a Redis cluster all keys must be in one slot, which hash tags in the keys can bring about
    /// (`RedisConfig::hash_tags`).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let accounts = cache_core::Cache::<i64>::new(cache_local::LocalBackend::default());
    /// use cache_core::{Cache, Error};
    ///
    /// async fn transfer(accounts: &Cache<i64>, amount: i64) -> Result<bool, Error> {
    ///     let keys = ["{bank}:alice", "{bank}:bob"];
    ///     let transfer = accounts.transaction(&keys, |transaction| {
    ///         let [alice, bob] = [transaction.get(keys[0])?, transaction.get(keys[1])?];
    ///         let [alice, bob] = [alice, bob].map(|balance| balance.copied().unwrap_or(0));
    ///         if alice < amount {
    ///             return Ok(false);
    ///         }
    ///         transaction.set(keys[0], alice - amount)?;
    ///         transaction.set(keys[1], bob + amount)?;
    ///         Ok(true)
    ///     });
    ///     transfer.await
    /// }
    ///
    /// accounts.set("{bank}:alice", 20).await?;
    /// assert!(transfer(&accounts, 15).await?);
    /// assert!(!transfer(&accounts, 15).await?);
    /// assert_eq!(accounts.get("{bank}:alice").await?, Some(5));
    /// assert_eq!(accounts.get("{bank}:bob").await?, Some(15));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`watch`](Self::watch) and [`commit`](Transaction::commit): [`Conflict`] if others were
    /// faster each time. What `decide` returns.
    ///
    /// # Cancel safety
    /// Dropped, all of the writes have happened or none.
    pub async fn transaction<K, T, E>(
        &self,
        keys: &[K],
        mut decide: impl FnMut(&mut Transaction<'_, V, B>) -> Result<T, E> + Send,
    ) -> Result<T, E>
    where
        K: AsRef<str> + Sync,
        T: Send,
        E: From<Error>,
    {
        let (mut races, mut turn) = (Races::default(), None);
        loop {
            let mut transaction = self.watched("transaction", keys).await?;
            let answer = decide(&mut transaction)?;
            match transaction.commit_as("transaction").await {
                Err(error) if *error.kind() == ErrorKind::Conflict => {}
                committed => return Ok(committed.map(|()| answer)?),
            }
            let first = keys.iter().map(AsRef::as_ref).min();
            if let Some(first) = first.filter(|_| turn.is_none()) {
                let raw = self.raw("transaction", first)?;
                turn = Some(self.shared.turns.wait(&raw).await);
            }
            let lost = races.lose().await;
            lost.map_err(|error| error.during("transaction"))?;
        }
    }

    /// Reads `keys` and watches them: a transaction of which each step is yours.
    ///
    /// On Redis, also behind a first tier, it keeps a connection for itself until it is committed or
    /// dropped, so do not wait for anything slow in between. [`transaction`](Self::transaction) does it all and tries again.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> cache_core::Result<()> {
    /// # let cache = cache_core::Cache::<i64>::new(cache_local::LocalBackend::default());
    /// use cache_core::{Cache, Error, ErrorKind};
    ///
    /// /// Returns false if somebody was faster.
    /// async fn claim(seats: &Cache<i64>, guest: i64) -> Result<bool, Error> {
    ///     let mut transaction = seats.watch(&["seat:7"]).await?;
    ///     if transaction.get("seat:7")?.is_some() {
    ///         return Ok(false);
    ///     }
    ///     transaction.set("seat:7", guest)?;
    ///     match transaction.commit().await {
    ///         Err(error) if *error.kind() == ErrorKind::Conflict => Ok(false),
    ///         committed => committed.map(|()| true),
    ///     }
    /// }
    ///
    /// assert!(claim(&cache, 5).await?);
    /// assert!(!claim(&cache, 6).await?);
    /// assert_eq!(cache.get("seat:7").await?, Some(5));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key, for no keys, for more than [`MAX_TRANSACTION_KEYS`] and, in a
    /// cluster, for keys of several slots; [`Unsupported`] if the backend has no transactions; otherwise
    /// what it reports.
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped watch changes nothing.
    pub async fn watch<K: AsRef<str> + Sync>(&self, keys: &[K]) -> Result<Transaction<'_, V, B>> {
        self.watched("watch", keys).await
    }

    async fn watched<K: AsRef<str> + Sync>(
        &self,
        operation: &'static str,
        keys: &[K],
    ) -> Result<Transaction<'_, V, B>> {
        let watch = async {
            let transactions = self.backend_transactions()?;
            let raw = self.raw_many(operation, keys)?;
            if raw.is_empty() {
                return Err(Error::invalid("keys", "are none, the least is 1"));
            }
            check_count(raw.len())?;
            let (values, watch) = transactions.watch(&borrowed(&raw)).await?;
            let hits = values.iter().flatten().count() as u64;
            let misses = values.len() as u64 - hits;
            self.shared.counters.reads(hits, misses);
            let names = keys.iter().map(|key| key.as_ref().to_owned());
            Ok(Transaction {
                cache: self,
                watch,
                found: names.zip(values).collect(),
                writes: BTreeMap::new(),
            })
        };
        watch.await.map_err(|error| error.during(operation))
    }

    fn backend_transactions(&self) -> Result<&dyn Transactions<V>> {
        let transactions = self.shared.backend.abilities().transactions;
        transactions.ok_or_else(|| Error::unsupported("transactions by this backend"))
    }
}

fn check_count(keys: usize) -> Result<()> {
    if keys <= MAX_TRANSACTION_KEYS {
        return Ok(());
    }
    let problem = format!("are {keys}, the most is {MAX_TRANSACTION_KEYS}");
    Err(Error::invalid("keys", problem))
}

/// Some keys that are watched, and what is to be written if none of them changes.
///
/// Made by [`Cache::watch`], and lent by [`Cache::transaction`]. Dropped, it writes nothing.
#[must_use = "nothing is written before it is committed"]
pub struct Transaction<'c, V, B = DynBackend<V>> {
    cache: &'c Cache<V, B>,
    watch: Watch,
    found: BTreeMap<String, Option<V>>,
    writes: BTreeMap<String, TransactionWrite<V>>,
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Transaction<'_, V, B> {
    /// Returns the value of `key` as it will be when this is committed: what is to be written, or else
    /// what was there.
    ///
    /// It does not wait: the value was read when the key began to be watched.
    ///
    /// ```
    /// # use cache_core::{Cache, Error};
    /// # async fn example(cache: &Cache<u64>) -> Result<(), Error> {
    /// let mut transaction = cache.watch(&["count"]).await?;
    /// let count = transaction.get("count")?.copied().unwrap_or(0);
    /// transaction.set("count", count + 1)?;
    /// assert_eq!(transaction.get("count")?, Some(&(count + 1)));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a key that is not watched: nothing would tell that it has changed.
    pub fn get(&self, key: impl AsRef<str>) -> Result<Option<&V>> {
        let key = key.as_ref();
        match (self.writes.get(key), self.found.get(key)) {
            (Some(write), _) => Ok(write.value()),
            (None, Some(found)) => Ok(found.as_ref()),
            (None, None) => Err(Error::invalid("key", "is not watched").for_key(key)),
        }
    }

    /// Has `value` stored with the default time to live. The key need not be watched.
    ///
    /// ```
    /// # use cache_core::{Cache, Error};
    /// # async fn example(cache: &Cache<String>) -> Result<(), Error> {
    /// let mut transaction = cache.watch(&["user:123"]).await?;
    /// transaction.set("user:123", "Alice")?;
    /// transaction.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key or default time to live, and for more keys than
    /// [`MAX_TRANSACTION_KEYS`].
    pub fn set(&mut self, key: impl AsRef<str>, value: impl Into<V>) -> Result<()> {
        self.set_for(key, value, Ttl::DEFAULT)
    }

    /// Has `value` stored for `ttl`: seconds, a `Duration`, or [`Ttl::NEVER`].
    ///
    /// ```
    /// # use cache_core::{Cache, Error};
    /// # async fn example(cache: &Cache<String>) -> Result<(), Error> {
    /// let mut transaction = cache.watch(&["session:abc"]).await?;
    /// transaction.set_for("session:abc", "active", 300)?;
    /// transaction.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As of [`set`](Self::set), also for a bad `ttl`.
    pub fn set_for(
        &mut self,
        key: impl AsRef<str>,
        value: impl Into<V>,
        ttl: impl Into<Ttl>,
    ) -> Result<()> {
        let expiry = self.cache.resolve("set", key.as_ref(), ttl.into())?;
        self.write(key.as_ref(), TransactionWrite::Set(value.into(), expiry))
    }

    /// Has `key` removed. It need not be watched.
    ///
    /// ```
    /// # use cache_core::{Cache, Error};
    /// # async fn example(cache: &Cache<String>) -> Result<(), Error> {
    /// let mut transaction = cache.watch(&["old", "new"]).await?;
    /// if let Some(value) = transaction.get("old")?.cloned() {
    ///     transaction.set("new", value)?;
    ///     transaction.delete("old")?;
    /// }
    /// transaction.commit().await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`] for a bad key, and for more keys than [`MAX_TRANSACTION_KEYS`].
    pub fn delete(&mut self, key: impl AsRef<str>) -> Result<()> {
        self.write(key.as_ref(), TransactionWrite::Delete)
    }

    fn write(&mut self, key: &str, write: TransactionWrite<V>) -> Result<()> {
        self.cache.keyspace.encode(key)?;
        if !self.writes.contains_key(key) && !self.found.contains_key(key) {
            let others = self.writes.keys();
            let others = others.filter(|key| !self.found.contains_key(*key)).count();
            check_count(self.found.len() + others + 1)?;
        }
        self.writes.insert(key.to_owned(), write);
        Ok(())
    }

    /// Writes all in one step, unless a watched key has changed.
    ///
    /// Without anything to write it tells whether the values still hold, all at the same time.
    ///
    /// Values are stored without tags. An invalidation of a tag is a change of the watched keys that have it
    /// in memory, and is none on Redis.
    ///
    /// # Errors
    /// [`Conflict`] if a watched key was written, deleted or evicted or has expired, or has moved to another
    /// server; seldom for no such reason. Nothing is written, begin again. [`TooLarge`] for a value that can
    /// never fit, and for values that can never be there together in a bounded memory;
    /// [`InvalidInput`] for keys of several slots of a cluster: nothing is written either. Otherwise what
    /// the backend reports; after [`Timeout`](ErrorKind::Timeout) or
    /// [`Unavailable`](ErrorKind::Unavailable) all of the writes have happened or none.
    ///
    /// # Cancel safety
    /// Dropped, all of the writes have happened or none.
    pub async fn commit(self) -> Result<()> {
        self.commit_as("commit").await
    }

    async fn commit_as(self, operation: &'static str) -> Result<()> {
        let Self {
            cache,
            watch,
            found,
            writes,
        } = self;
        let is_there = |key: &String| found.get(key).is_some_and(Option::is_some);
        let (mut sets, mut deletes) = (0, 0);
        for (key, write) in &writes {
            match write {
                TransactionWrite::Set(..) => sets += 1,
                TransactionWrite::Delete => deletes += u64::from(is_there(key)),
            }
        }
        let (keys, writes): (Vec<String>, Vec<TransactionWrite<V>>) = writes.into_iter().unzip();
        let committed = async {
            let transactions = cache.backend_transactions()?;
            let raw = cache.raw_many(operation, &keys)?;
            let writes = borrowed(&raw).into_iter().zip(writes).collect();
            let commit = transactions.commit(watch, writes);
            cache.superseding(&keys, &raw, commit, |()| true).await
        };
        committed.await.map_err(|error| error.during(operation))?;
        cache.shared.counters.sets(sets);
        cache.shared.counters.deletes(deletes);
        Ok(())
    }
}

// Written by hand: the derived form would print keys and values.
impl<V, B> fmt::Debug for Transaction<'_, V, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction")
            .field("watched", &self.found.len())
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}
