//! The transactions of a store of bytes, for typed values.

use async_trait::async_trait;
use bytes::Bytes;

use super::{ByteStore, EncodedBackend};
use crate::{Codec, Error, Result, TransactionWrite, Transactions, Watch};

impl<S: ByteStore, C: Sync> EncodedBackend<S, C> {
    fn store_transactions(&self) -> Result<&dyn Transactions<Bytes>> {
        let transactions = self.store.abilities().transactions;
        transactions.ok_or_else(|| Error::unsupported("transactions by this store"))
    }
}

#[async_trait]
impl<V, S, C> Transactions<V> for EncodedBackend<S, C>
where
    V: Clone + Send + Sync + 'static,
    S: ByteStore,
    C: Codec<V>,
{
    async fn watch(&self, keys: &[&str]) -> Result<(Vec<Option<V>>, Watch)> {
        let (found, watch) = self.store_transactions()?.watch(keys).await?;
        let values = found.into_iter().map(|stored| self.decode(&stored?));
        Ok((values.collect(), watch))
    }

    async fn commit(&self, watch: Watch, writes: Vec<(&str, TransactionWrite<V>)>) -> Result<()> {
        let encode = |(key, write)| {
            let write = match write {
                TransactionWrite::Set(value, expiry) => {
                    TransactionWrite::Set(self.encode(&value)?, expiry)
                }
                TransactionWrite::Delete => TransactionWrite::Delete,
            };
            Ok((key, write))
        };
        let writes = writes.into_iter().map(encode).collect::<Result<_>>()?;
        self.store_transactions()?.commit(watch, writes).await
    }
}
