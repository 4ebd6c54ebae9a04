//! The transactions of two tiers: those of the second.

use async_trait::async_trait;
use cache_core::{CacheBackend, Error, Result, TransactionWrite, Transactions, Watch};

use super::write::Change;
use super::{TieredBackend, Tiers};
use crate::promoted::Promoted;

impl<V, L1, L2> Tiers<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L2: CacheBackend<V>,
{
    fn transactions(&self) -> Result<&dyn Transactions<V>> {
        let transactions = self.l2.abilities().transactions;
        transactions.ok_or_else(|| Error::unsupported("transactions by the second tier"))
    }
}

#[async_trait]
impl<V, L1, L2> Transactions<V> for TieredBackend<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    async fn watch(&self, keys: &[&str]) -> Result<(Vec<Option<V>>, Watch)> {
        for key in keys {
            // What a failed delete has left there is not to be found.
            self.tiers.settle(key).await?;
        }
        let watched = self.tiers.transactions()?.watch(keys).await?;
        for key in keys {
            // Whatever it says is newer than what the first tier may hold.
            self.tiers.forget_key(key).await;
        }
        Ok(watched)
    }

    /// One write of all its keys. It is not tried again later: what it was decided by may be over.
    async fn commit(&self, watch: Watch, writes: Vec<(&str, TransactionWrite<V>)>) -> Result<()> {
        let keys: Vec<&str> = writes.iter().map(|(key, _)| *key).collect();
        let has_written = !keys.is_empty();
        let commit = self.tiers.transactions()?.commit(watch, writes);
        self.tiers
            .write(Change::Keys(&keys), |()| has_written, commit)
            .await
    }
}
