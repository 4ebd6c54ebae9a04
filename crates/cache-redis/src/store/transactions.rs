//! Transactions: `WATCH`, `MULTI` and `EXEC`, over connections of their own.

use async_trait::async_trait;
use bytes::Bytes;
use cache_core::{Error, ErrorKind, Expiry, Result, TransactionWrite, Transactions, Watch};

use super::RedisStore;
use crate::client::{Dedicated, Write, slot};

#[async_trait]
impl Transactions<Bytes> for RedisStore {
    async fn watch(&self, keys: &[&str]) -> Result<(Vec<Option<Bytes>>, Watch)> {
        let names: Vec<Bytes> = keys
            .iter()
            .map(|key| self.keys.encode(key))
            .collect::<Result<_>>()?;
        self.check_slots(names.iter(), names.first().map(|key| slot(key)))?;
        let bytes = names.iter().map(Bytes::len).sum();
        let watch = async {
            let (found, dedicated) = self.link.watch(&names).await?;
            let values = self.accept_all_live(found).await?;
            Ok((values, Watch::new(dedicated)))
        };
        self.observe("watch", bytes, watch).await
    }

    async fn commit(
        &self,
        watch: Watch,
        writes: Vec<(&str, TransactionWrite<Bytes>)>,
    ) -> Result<()> {
        let dedicated: Dedicated = watch.into_inner()?;
        let write = |(key, write)| self.write_of(key, write);
        let writes: Vec<Write> = writes.into_iter().map(write).collect::<Result<_>>()?;
        self.check_slots(writes.iter().map(|(key, _)| key), Some(dedicated.slot()))?;
        let bytes = writes.iter().map(bytes_of).sum();
        let commit = self.link.commit(dedicated, writes);
        match self.observe("commit", bytes, commit).await? {
            true => Ok(()),
            false => Err(ErrorKind::Conflict.into()),
        }
    }
}

impl RedisStore {
    fn write_of(&self, key: &str, write: TransactionWrite<Bytes>) -> Result<Write> {
        let key = self.keys.encode(key)?;
        match write {
            TransactionWrite::Set(value, expiry) => {
                self.check_value(&value)?;
                Ok((key, Some((value, expiry))))
            }
            TransactionWrite::Delete => Ok((key, None)),
            _ => Err(Error::unsupported("this write in a transaction")),
        }
    }

    /// Refuses keys that no one server of a cluster has together at all times.
    fn check_slots<'k>(
        &self,
        mut keys: impl Iterator<Item = &'k Bytes>,
        one: Option<u16>,
    ) -> Result<()> {
        if self.link.is_cluster && keys.any(|key| Some(slot(key)) != one) {
            let problem = "of a transaction are in several slots of the cluster, allowed is 1; \
                           hash tags bring keys into one";
            return Err(Error::invalid("keys", problem));
        }
        Ok(())
    }
}

fn bytes_of((key, write): &Write) -> usize {
    key.len()
        + write
            .as_ref()
            .map_or(0, |(value, _): &(Bytes, Expiry)| value.len())
}
