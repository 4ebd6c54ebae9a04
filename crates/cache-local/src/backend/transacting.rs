//! The transactions of the in-process backend.

use std::sync::{Arc, Weak};

use async_trait::async_trait;
use cache_core::{Error, Expiry, Result, TransactionWrite, Transactions, Watch};

use super::LocalBackend;
use crate::shard::Watched;
use crate::store::Store;

/// The keys, whose hashes mean nothing in another store.
struct Watching<V>(Weak<Store<V>>, Vec<Watched>);

#[async_trait]
impl<V: Clone + Send + Sync + 'static> Transactions<V> for LocalBackend<V> {
    async fn watch(&self, keys: &[&str]) -> Result<(Vec<Option<V>>, Watch)> {
        let (values, watched) = self.store.watch(keys);
        let watching = Watching(Arc::downgrade(&self.store), watched);
        Ok((values, Watch::new(watching)))
    }

    async fn commit(&self, watch: Watch, writes: Vec<(&str, TransactionWrite<V>)>) -> Result<()> {
        let Watching(store, watched) = watch.into_inner::<Watching<V>>()?;
        if store.as_ptr() != Arc::as_ptr(&self.store) {
            return Err(Error::invalid("watch", "is of another backend"));
        }
        for (_, write) in &writes {
            if let TransactionWrite::Set(_, expiry @ Expiry::After(_)) = write {
                self.before_write(*expiry);
            }
        }
        self.store.commit(watched, writes)
    }
}
