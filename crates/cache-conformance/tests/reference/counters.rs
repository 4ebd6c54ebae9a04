//! The counters of the reference: a map of their own.

use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::time::Duration;

use async_trait::async_trait;
use cache_conformance::TestValue;
use cache_core::{Count, Counters, Expiry, Result};
use tokio::task::yield_now;

use super::Bug;
use super::backend::Reference;

/// The counts, and when their windows end.
pub(super) type Tally = BTreeMap<String, (i64, Option<u64>)>;

impl<V: TestValue> Reference<V> {
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().expect("no call panics")
    }

    fn named(&self, name: &str) -> String {
        match self.bug {
            Some(Bug::CountsIgnoreCase) => name.to_lowercase(),
            _ => name.to_owned(),
        }
    }

    fn counted(&self, tally: &Tally, name: &str) -> Option<Count> {
        let (value, deadline) = *tally.get(name)?;
        let Some(deadline) = deadline else {
            return Some(Count::new(value, Expiry::Never));
        };
        let left = deadline.saturating_sub(self.clock.nanos());
        let is_there = left > 0 || self.has(Bug::CountOutlivesWindow);
        is_there.then(|| Count::new(value, Expiry::After(Duration::from_nanos(left.max(1)))))
    }

    fn put_count(
        &self,
        name: &str,
        by: i64,
        window: Expiry,
        found: Option<Count>,
    ) -> Result<Count> {
        let mut tally = self.tally();
        let value = found.map(|count| count.value);
        let sum = match self.bug {
            Some(Bug::CountHasNoLimit) => value.unwrap_or(0).wrapping_add(by),
            Some(Bug::AddStartsAtOne) if found.is_none() => by + 1,
            Some(Bug::RefusedAddBegins) => {
                tally.entry(name.to_owned()).or_insert((0, None));
                Count::after(value, by)?
            }
            _ => Count::after(value, by)?,
        };
        let begun = tally.get(name).filter(|_| found.is_some());
        let deadline = match begun {
            Some((_, deadline)) if !self.has(Bug::AddMovesWindow) => *deadline,
            _ => self.deadline(window),
        };
        tally.insert(name.to_owned(), (sum, deadline));
        let count = self.counted(&tally, name);
        let expiry = count.map_or(window, |count| count.expiry);
        Ok(match self.bug {
            Some(Bug::AddForgetsTime) => Count::new(sum, Expiry::Never),
            _ => Count::new(sum, expiry),
        })
    }
}

#[async_trait]
impl<V: TestValue> Counters for Reference<V> {
    async fn add(&self, name: &str, by: i64, window: Expiry) -> Result<Count> {
        let name = self.named(name);
        if self.has(Bug::AddNotAtomic) {
            let found = self.counted(&self.tally(), &name);
            yield_now().await;
            return self.put_count(&name, by, window, found);
        }
        let _alone = self.slots();
        let found = self.counted(&self.tally(), &name);
        self.put_count(&name, by, window, found)
    }

    async fn get(&self, name: &str) -> Result<Option<Count>> {
        let name = self.named(name);
        let _alone = self.slots();
        let mut tally = self.tally();
        let found = self.counted(&tally, &name);
        if let (Some((value, _)), Some(Bug::GetCounts)) = (tally.get_mut(&name), self.bug) {
            *value += 1;
        }
        Ok(found)
    }

    async fn reset(&self, name: &str) -> Result<bool> {
        let name = self.named(name);
        if self.has(Bug::ResetNotAtomic) {
            let found = self.counted(&self.tally(), &name).is_some();
            yield_now().await;
            self.tally().remove(&name);
            return Ok(found);
        }
        let _alone = self.slots();
        let mut tally = self.tally();
        let was_there = self.counted(&tally, &name).is_some();
        if let (Some((value, _)), Some(Bug::ResetKeepsWindow)) = (tally.get_mut(&name), self.bug) {
            *value = 0;
            return Ok(was_there);
        }
        tally.remove(&name);
        Ok(was_there || self.has(Bug::ResetAlwaysTrue))
    }
}
