//! Keys as the backend knows them.

use std::borrow::Cow;

use super::Cache;
use crate::{CacheBackend, Result};

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Cache<V, B> {
    #[inline]
    pub(crate) fn raw<'k>(&self, operation: &'static str, key: &'k str) -> Result<Cow<'k, str>> {
        self.keyspace
            .encode(key)
            .map_err(|error| error.during(operation))
    }

    pub(crate) fn raw_many<'k, K: AsRef<str>>(
        &self,
        operation: &'static str,
        keys: &'k [K],
    ) -> Result<Vec<Cow<'k, str>>> {
        keys.iter()
            .map(|key| self.raw(operation, key.as_ref()))
            .collect()
    }
}

pub(crate) fn borrowed<K: AsRef<str>>(keys: &[K]) -> Vec<&str> {
    keys.iter().map(AsRef::as_ref).collect()
}
