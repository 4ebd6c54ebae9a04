//! The leases of a bulk load.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;

use futures_util::stream::{self, StreamExt};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::AT_ONCE;
use crate::CacheBackend;
use crate::load::flights::Lead;
use crate::load::leased::{Leased, beside};
use crate::timer::sleep_until;

/// The leases of a bulk load, by the keys of the backend. Those that are left at its end are given up, by one
/// task for all.
pub(super) struct Leases<V: Clone + Send + Sync + 'static, B: CacheBackend<V>>(
    HashMap<String, Leased<V, B>>,
);

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Leases<V, B> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    pub(super) fn add(&mut self, leased: Leased<V, B>) {
        self.0.insert(leased.key().to_owned(), leased);
    }

    pub(super) fn append(&mut self, mut more: Self) {
        self.0.extend(more.0.drain());
    }

    pub(super) fn has(&self, raw: &str) -> bool {
        self.0.contains_key(raw)
    }

    pub(super) fn take(&mut self, raw: &str) -> Option<Leased<V, B>> {
        self.0.remove(raw)
    }

    /// Runs a loader, and keeps the leases for as long as that takes, as [`Leased::during`] does.
    pub(super) async fn during<T: Send>(
        &self,
        leads: &[Lead<V>],
        load: impl Future<Output = T> + Send,
    ) -> T {
        beside(self.extend(leads), load).await
    }

    /// Extends all leases, until none is left.
    async fn extend(&self, leads: &[Lead<V>]) -> Infallible {
        let of = |lead: &Lead<V>| self.0.get(lead.key());
        let mut held: Vec<(&Leased<V, B>, &Lead<V>)> = Vec::with_capacity(self.0.len());
        held.extend(leads.iter().filter_map(|lead| Some((of(lead)?, lead))));
        let mut last = Instant::now();
        while let Some((leased, _)) = held.first() {
            // Not a pause between two rounds: each takes the longer, the more keys there are.
            sleep_until(last + leased.pause()).await;
            last = Instant::now();
            let extended: Vec<_> = held
                .iter()
                .map(|(leased, lead)| leased.extend(lead))
                .collect();
            let extended = stream::iter(extended).buffered(AT_ONCE);
            let mut extended = extended.collect::<Vec<bool>>().await.into_iter();
            held.retain(|_| extended.next() == Some(true));
        }
        pending().await
    }
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Drop for Leases<V, B> {
    fn drop(&mut self) {
        if !self.0.is_empty()
            && let Ok(runtime) = Handle::try_current()
        {
            let left = stream::iter(std::mem::take(&mut self.0).into_values());
            runtime.spawn(left.for_each_concurrent(AT_ONCE, Leased::give_up));
        }
    }
}
