//! How a read finds its value, and when the first tier keeps it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cache_core::timer::timeout;
use cache_core::{
    BackendEntry, BackendWrite, CacheBackend, Condition, Error, ErrorKind, Expiry, Layer, Result,
    TagTicket, Tagging,
};
use futures_util::future::try_join_all;
use tokio::time::Instant;

use super::Tiers;
use super::write::Change;
use crate::config::{OnL2Error, WritePolicy};
use crate::fence::{Boarding, Lead};
use crate::promoted::{LOCAL_ONLY, Promoted};
use crate::recovery::Task;

/// How long a read of which the key has changed meanwhile waits for a later one: its value is in
/// hand, so no longer than nobody notices.
const PATIENCE: Duration = Duration::from_millis(50);

/// For how long a read of a key that has to be deleted first begins anew when somebody else who deletes or writes
/// it has failed.
const TURNS: Duration = Duration::from_millis(100);

/// How far the times that two answers of the second tier give to one value may lie apart: as long as
/// the slower of them was on its way.
const TRAVEL: Duration = Duration::from_millis(50);

impl<V, L1, L2> Tiers<V, L1, L2>
where
    V: Clone + Send + Sync + 'static,
    L1: CacheBackend<Promoted<V>>,
    L2: CacheBackend<V>,
{
    pub(super) async fn read(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        if let Some(entry) = self.in_l1(key).await {
            return Ok(Some(entry));
        }
        let found = self.read_through(key).await;
        self.or_in_l1(key, found).await
    }

    /// Returns the entry of the first tier, if it may serve it.
    async fn in_l1(&self, key: &str) -> Option<BackendEntry<V>> {
        if !self.may_serve() {
            self.counters.bypassed.add(1);
        }
        self.servable(key).await
    }

    /// Returns what the first tier holds and may serve: all while the lease holds, then only what the
    /// second tier did not take.
    async fn servable(&self, key: &str) -> Option<BackendEntry<V>> {
        // Asked before the first tier is: what it holds then was right at that moment.
        let may_serve = self.may_serve();
        if !may_serve && self.write_policy != WritePolicy::LocalOnOutage {
            return None;
        }
        let held = self.held(key).await?;
        if may_serve || held.value.epoch() == LOCAL_ONLY {
            self.unwrapped(held)
        } else {
            None
        }
    }

    /// Asks the second tier for the time that a key has left, and forgets what the first tier holds if
    /// it is another value: a read may not go back behind what was seen.
    pub(super) async fn expiry(&self, key: &str) -> Result<Option<Expiry>> {
        self.settle(key).await?;
        let started = self.now();
        let seen = self.l2.expiry(key).await?;
        let is_known = match seen {
            None => false,
            Some(seen) => {
                let held = self.held(key).await;
                held.is_none_or(|held| self.has_left(&held.value, seen, started))
            }
        };
        if !is_known {
            self.forget_key(key).await;
        }
        Ok(seen)
    }

    /// Tells whether a value of the first tier has as much time left as the second tier said after
    /// `asked`.
    fn has_left(&self, held: &Promoted<V>, seen: Expiry, asked: u64) -> bool {
        let now = self.now();
        let apart = TRAVEL.saturating_add(Duration::from_nanos(now.saturating_sub(asked)));
        let left = held.remaining(now).map(Expiry::remaining);
        left.is_some_and(|left| match (left, seen.remaining()) {
            (Some(held), Some(seen)) => held.abs_diff(seen) <= apart,
            (held, seen) => held == seen,
        })
    }

    /// Returns what an entry of the first tier is in the second, unless its time there is over.
    fn unwrapped(&self, held: BackendEntry<Promoted<V>>) -> Option<BackendEntry<V>> {
        let left = held.value.remaining(self.now())?;
        let mut entry = held.map(Promoted::into_value);
        entry.expiry = left;
        // That of the first tier says nothing of the second.
        entry.version = None;
        Some(entry)
    }

    /// Returns what the first tier holds and no flush has made invalid, whether or not it may serve.
    async fn held(&self, key: &str) -> Option<BackendEntry<Promoted<V>>> {
        let held = self.l1.get_entry(key).await.ok().flatten()?;
        let epoch = held.value.epoch();
        (epoch == self.fence.epoch() || epoch == LOCAL_ONLY).then_some(held)
    }

    /// Answers from the first tier what the second could not, if that was asked for.
    async fn or_in_l1(
        &self,
        key: &str,
        found: Result<Option<BackendEntry<V>>>,
    ) -> Result<Option<BackendEntry<V>>> {
        match found {
            Err(error) if is_away(&error) && self.on_l2_error == OnL2Error::ServeL1 => {
                let held = self.held(key).await;
                let entry = held.and_then(|held| self.unwrapped(held));
                let entry = entry.ok_or(error)?;
                self.counters.served_on_error.add(1);
                Ok(Some(entry))
            }
            found => found,
        }
    }

    /// Makes sure that the second tier may be believed about a key, its tags included.
    pub(super) async fn settle(&self, key: &str) -> Result<()> {
        self.settle_alone(key).await?;
        if self.recovery.distrusts_tags() {
            self.l2_entry(key).await?;
        }
        Ok(())
    }

    /// Does what could not be done to a key of the second tier, or to a tag.
    async fn settle_alone(&self, key: &str) -> Result<()> {
        if !self.recovery.distrusts(key) {
            return Ok(());
        }
        // Boxed: rare, and inline it would enlarge the future of every read.
        Box::pin(self.settle_doubted(key)).await
    }

    async fn settle_doubted(&self, key: &str) -> Result<()> {
        let begun = Instant::now();
        while self.recovery.distrusts(key) {
            // Somebody else has failed, who had as much time as this call.
            if begun.elapsed() > TURNS {
                return Err(ErrorKind::Unavailable.into());
            }
            if let Some(_turned) = self.recovery.begin_repeat(key) {
                let mark = self.recovery.mark();
                self.delete_in_l2(&[key]).await?;
                self.recovery.supersede([key], mark);
                // Others may have read since what the failed delete had left there.
                let change = Change::Key(key).to_invalidation();
                if self.publish(&change).await.is_err() {
                    self.recovery.add_keys([key], Task::Announce);
                }
                return Ok(());
            }
            self.recovery.turn_ended(key).await;
        }
        Ok(())
    }

    /// Reads the second tier, past what should have been invalidated there.
    async fn l2_entry(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        loop {
            let believed = self.recovery.believed_tags();
            let found = self.l2.get_entry(key).await?;
            if !self.may_be_invalid(found.as_ref(), believed) {
                return Ok(found.map(|found| found.found_in(Layer::Store)));
            }
            for tag in found.iter().flat_map(|entry| &entry.tags) {
                self.settle_alone(tag).await?;
            }
        }
    }

    /// Tells whether a tag of what was read should have been invalidated before the read, which began when
    /// tags had been `believed` again so often.
    fn may_be_invalid(&self, found: Option<&BackendEntry<V>>, believed: u64) -> bool {
        let Some(found) = found.filter(|entry| !entry.tags.is_empty()) else {
            return false;
        };
        // In this order: a tag that is believed by now was counted before.
        let mut tags = found.tags.iter();
        tags.any(|tag| self.recovery.distrusts(tag)) || self.recovery.believed_tags() != believed
    }

    /// Returns a ticket of the first tier for what is about to be read from the second, if both keep
    /// tags.
    async fn ticket(&self) -> Option<TagTicket> {
        let (l1, _) = self.l1.abilities().tags.zip(self.l2.abilities().tags)?;
        l1.ticket().await.ok()
    }

    fn board<'f>(&'f self, key: &'f str) -> Boarding<'f, V> {
        let now = self.now();
        // What began long ago may be older than the bound when it arrives.
        let oldest = now.saturating_sub(nanos(self.bound / 2));
        self.fence.board(key, now, oldest)
    }

    /// Reads the second tier, together with others that want the same key.
    async fn read_through(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        self.settle_alone(key).await?;
        loop {
            match self.board(key) {
                Boarding::Lead(lead) => {
                    let ticket = self.ticket().await;
                    let found = self.l2_entry(key).await;
                    return self.arrive(lead, found, ticket.as_ref()).await;
                }
                Boarding::Join(join) => {
                    if let Some(outcome) = join.landed().await {
                        self.counters.joined.add(1);
                        return (*outcome).clone();
                    }
                    // It was given up. Another of those who waited may have been there since.
                    if let Some(entry) = self.in_l1(key).await {
                        return Ok(Some(entry));
                    }
                }
            }
        }
    }

    pub(super) async fn read_many(&self, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>> {
        let mut found = Vec::with_capacity(keys.len());
        let (mut leads, mut joins) = (Vec::new(), Vec::new());
        for key in keys {
            found.push(self.in_l1(key).await);
        }
        let missing = || keys.iter().zip(&found).enumerate();
        let missing = || missing().filter(|(_, (_, found))| found.is_none());
        if self.recovery.distrusts_any() {
            // At once: each may take as long as a round trip.
            let settled = missing().map(|(_, (key, _))| self.settle_alone(key));
            Box::pin(try_join_all(settled)).await?;
        }
        for (place, (key, _)) in missing() {
            match self.board(key) {
                Boarding::Lead(lead) => leads.push((place, lead)),
                Boarding::Join(join) => joins.push((place, join)),
            }
        }
        if !leads.is_empty() {
            let wanted: Vec<&str> = leads.iter().map(|(_, lead)| lead.key).collect();
            let ticket = self.ticket().await;
            let believed = self.recovery.believed_tags();
            let mut answers = match self.l2.get_entries(&wanted).await {
                Ok(entries) => entries.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); leads.len()],
            }
            .into_iter();
            for (place, lead) in leads {
                let mut answer = answers.next().unwrap_or(Ok(None));
                let key = lead.key;
                let entry = answer.as_ref().ok().and_then(Option::as_ref);
                if self.may_be_invalid(entry, believed) {
                    answer = self.l2_entry(key).await;
                }
                let arrived = self.arrive(lead, answer, ticket.as_ref()).await;
                found[place] = self.or_in_l1(key, arrived).await?;
            }
        }
        // Ours have landed, so two of these cannot wait for each other.
        for (place, join) in joins {
            let outcome = match join.landed().await {
                Some(outcome) => (*outcome).clone(),
                None => self.read_through(keys[place]).await,
            };
            self.counters.joined.add(1);
            found[place] = self.or_in_l1(keys[place], outcome).await?;
        }
        Ok(found)
    }

    /// Keeps what a flight has brought, if the key has not changed meanwhile, and says what its
    /// passengers are to be told.
    async fn arrive(
        &self,
        lead: Lead<'_, V>,
        found: Result<Option<BackendEntry<V>>>,
        ticket: Option<&TagTicket>,
    ) -> Result<Option<BackendEntry<V>>> {
        let Ok(entry) = &found else {
            lead.land(|| found.clone());
            return found;
        };
        let count = if entry.is_some() {
            &self.counters.l2_hits
        } else {
            &self.counters.l2_misses
        };
        count.add(1);
        let told = if let Some(_permission) = lead.permission().await {
            self.keep(&lead, entry.as_ref(), ticket).await;
            found
        } else {
            self.counters.dropped_fills.add(1);
            let newer = timeout(PATIENCE, pin!(self.newer(lead.key))).await;
            match newer {
                Ok(Some(newer)) => newer,
                _ => {
                    // What a later read brings, or the first tier holds and may not serve now, may be
                    // older than what is told.
                    self.forget_key(lead.key).await;
                    found
                }
            }
        };
        lead.land(|| told.clone());
        told
    }

    /// Returns what was read later than what is in hand: nobody may be told something older
    /// afterwards.
    async fn newer(&self, key: &str) -> Option<Result<Option<BackendEntry<V>>>> {
        while let Some(join) = self.fence.flight(key) {
            match join.landed().await {
                Some(outcome) if outcome.is_ok() => return Some((*outcome).clone()),
                _ => {}
            }
        }
        self.servable(key).await.map(|entry| Ok(Some(entry)))
    }

    /// Puts an entry in the first tier, or takes out what is older than its absence.
    async fn keep(
        &self,
        lead: &Lead<'_, V>,
        entry: Option<&BackendEntry<V>>,
        ticket: Option<&TagTicket>,
    ) {
        let kept = match entry.and_then(|entry| self.promoted(lead, entry)) {
            Some((promoted, expiry)) => {
                let tags = entry.map_or(&[][..], |entry| &entry.tags);
                self.put_in_l1(lead.key, promoted, expiry, (tags, ticket))
                    .await
            }
            None => false,
        };
        if kept {
            self.counters.promotions.add(1);
        } else {
            self.take_out(lead.key).await;
        }
    }

    /// Writes to the first tier and tells whether it could. What has tags is only kept with them, and
    /// with a ticket that is older than the value.
    pub(super) async fn put_in_l1(
        &self,
        key: &str,
        promoted: Promoted<V>,
        expiry: Expiry,
        (tags, ticket): (&[Arc<str>], Option<&TagTicket>),
    ) -> bool {
        let options = BackendWrite::new(expiry, Condition::Always);
        if tags.is_empty() {
            return self.l1.set(key, promoted, options).await.is_ok();
        }
        let (Some(l1), Some(ticket)) = (self.l1.abilities().tags, ticket) else {
            return false;
        };
        let tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
        let tagging = Tagging::new(&tags, Some(ticket));
        l1.set(key, promoted, options, tagging).await.is_ok()
    }

    /// Returns what the first tier is to hold, and for how long, or `None` if that is no time.
    fn promoted(
        &self,
        lead: &Lead<'_, V>,
        entry: &BackendEntry<V>,
    ) -> Option<(Promoted<V>, Expiry)> {
        let left = entry.expiry.remaining();
        let longest = left.map_or(self.longest, |left| left.min(self.longest));
        let deadline = left.map_or(u64::MAX, |left| lead.started.saturating_add(nanos(left)));
        let promoted = Promoted::new(entry.value.clone(), lead.epoch, deadline);
        if longest == Duration::MAX {
            return Some((promoted, Expiry::Never));
        }
        // Counted from the start of the read: the second tier looked at its clock after that.
        let gone = self.now().saturating_sub(lead.started);
        let ttl = longest.checked_sub(Duration::from_nanos(gone))?;
        (ttl >= Duration::from_millis(1)).then_some((promoted, Expiry::After(ttl)))
    }
}

/// Tells whether the second tier cannot be reached, for want of the right password too.
fn is_away(error: &Error) -> bool {
    error.is_transient() || *error.kind() == ErrorKind::Unauthorized
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
