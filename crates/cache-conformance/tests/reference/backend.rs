//! The simplest backend that keeps the contract, or breaks one clause of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use cache_conformance::TestValue;
use cache_core::backend::{derived, each};
use cache_core::{
    Abilities, BackendEntry, BackendStats, BackendWrite, CacheBackend, Capabilities, Clock,
    Condition, Cursor, Error, ErrorKind, Expiry, Layer, MAX_TTL, Page, ReadNow, Result, Scope,
    SetNow, Version,
};
use tokio::task::yield_now;

use super::Bug;
use super::counters::Tally;
use super::leases::Leases;
use super::locks::Granted;
use super::tags::{Invalidations, Mark};

/// Returns the options of a write without a condition.
pub(super) const fn always(expiry: Expiry) -> BackendWrite {
    BackendWrite::new(expiry, Condition::Always)
}

/// More entries than any test writes.
const UNBOUNDED: usize = usize::MAX / 2;

/// A map behind one lock.
pub(crate) struct Reference<V> {
    slots: Mutex<Slots<V>>,
    pub(super) leases: Mutex<Leases>,
    pub(super) locks: Mutex<Granted>,
    /// Held by a call that looks whether a lock is free.
    pub(super) acquiring: Mutex<()>,
    pub(super) tally: Mutex<Tally>,
    pub(super) invalidations: Mutex<Invalidations>,
    writes: AtomicU64,
    /// The last write of each key, whatever became of it.
    pub(super) written: Mutex<BTreeMap<String, u64>>,
    pub(super) clock: Clock,
    pub(super) bound: usize,
    pub(super) largest: usize,
    pub(super) scans: bool,
    pub(super) keeps_tags: bool,
    pub(super) counts: bool,
    pub(super) bug: Option<Bug>,
}

pub(super) type Slots<V> = BTreeMap<String, Slot<V>>;

#[derive(Clone)]
pub(super) struct Slot<V> {
    pub(super) value: V,
    deadline: Option<u64>,
    pub(super) tags: Vec<Mark>,
    /// Which write of all this one was.
    pub(super) number: u64,
}

impl<V: TestValue> Reference<V> {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            slots: Mutex::default(),
            leases: Mutex::default(),
            locks: Mutex::default(),
            acquiring: Mutex::default(),
            tally: Mutex::default(),
            invalidations: Mutex::default(),
            writes: AtomicU64::new(0),
            written: Mutex::default(),
            clock,
            bound: UNBOUNDED,
            largest: UNBOUNDED,
            scans: true,
            keeps_tags: true,
            counts: true,
            bug: None,
        }
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, Slots<V>> {
        self.slots.lock().expect("no call panics")
    }

    pub(super) fn is_live(&self, slot: &Slot<V>) -> bool {
        !self.has_ended(slot) && !self.is_invalidated(&slot.tags)
    }

    pub(super) fn has_ended(&self, slot: &Slot<V>) -> bool {
        let now = self.clock.nanos();
        let over = |at| at < now || (at == now && !self.has(Bug::PresentAtDeadline));
        slot.deadline.is_some_and(over)
    }

    pub(super) fn live<'s>(&self, slots: &'s Slots<V>, key: &str) -> Option<&'s Slot<V>> {
        let slot = slots.get(&self.folded(key));
        slot.filter(|slot| self.is_live(slot))
    }

    fn value(&self, key: &str) -> Option<V> {
        let slots = self.slots();
        self.live(&slots, key).map(|slot| slot.value.clone())
    }

    fn folded(&self, key: &str) -> String {
        if self.has(Bug::IgnoresCase) {
            key.to_lowercase()
        } else {
            key.to_owned()
        }
    }

    pub(super) fn deadline(&self, expiry: Expiry) -> Option<u64> {
        let ttl = match (expiry.remaining()?, self.bug) {
            (ttl, Some(Bug::MillisecondsAsSeconds)) => ttl.saturating_mul(1_000),
            (ttl, Some(Bug::WholeSeconds)) => Duration::from_secs(ttl.as_secs().max(1)),
            (MAX_TTL, Some(Bug::CenturyIsNever)) => return None,
            (ttl, _) => ttl,
        };
        Some(self.clock.deadline_nanos(ttl))
    }

    fn expiry_of(&self, slot: &Slot<V>) -> Expiry {
        let Some(at) = slot.deadline else {
            return Expiry::Never;
        };
        let left = Duration::from_nanos(at.saturating_sub(self.clock.nanos()));
        Expiry::After(match self.bug {
            Some(Bug::ReportsZeroAtTheEnd) => Duration::from_millis(left.as_millis() as u64),
            _ => left,
        })
    }

    pub(super) fn check_size(&self, key: &str, value: &V) -> Result<()> {
        let weight = value.to_text().len();
        if weight <= self.largest {
            return Ok(());
        }
        if self.has(Bug::TooLargeLosesOldEntry) {
            self.slots().remove(key);
        }
        Err(Error::new(ErrorKind::TooLarge {
            weight: weight as u64,
            limit: self.largest as u64,
        }))
    }

    /// Decides whether a write takes place.
    fn holds(&self, slots: &Slots<V>, key: &str, condition: &Condition) -> bool {
        let stored = slots.contains_key(key);
        let live = self.live(slots, key).is_some();
        let in_time = slots.get(key).is_some_and(|slot| !self.has_ended(slot));
        match (condition, self.bug) {
            (Condition::IfAbsent, Some(Bug::ExpiredBlocksIfAbsent)) => !stored,
            (Condition::IfAbsent, Some(Bug::IfAbsentSeesInvalidated)) => !in_time,
            (Condition::IfAbsent, _) => !live,
            (Condition::IfPresent, Some(Bug::IfPresentRevivesExpired)) => stored,
            (Condition::IfPresent, Some(Bug::IfPresentAlwaysWrites)) => true,
            (Condition::IfPresent, _) => live,
            (Condition::IfVersion(_), Some(Bug::IfVersionIsIfPresent)) => live,
            (Condition::IfVersion(version), _) => {
                let found = self.live(slots, key).map(|slot| self.version_of(slot));
                found.as_ref() == Some(version)
            }
            _ => true,
        }
    }

    pub(super) fn version_of(&self, slot: &Slot<V>) -> Version {
        Version::from_number(match self.bug {
            Some(Bug::VersionStays) => 0,
            Some(Bug::VersionOfExpiry) => slot.number ^ slot.deadline.unwrap_or_default() << 20,
            _ => slot.number,
        })
    }

    pub(super) fn slot(&self, value: V, expiry: Expiry) -> Slot<V> {
        Slot {
            value,
            deadline: self.deadline(expiry),
            tags: Vec::new(),
            number: self.writes.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Puts an entry in, and another one out if there is no room.
    pub(super) fn put(&self, slots: &mut Slots<V>, key: &str, mut new: Slot<V>) {
        let key = self.folded(key);
        let room = self.bound + usize::from(self.has(Bug::OneOverTheBound));
        if !slots.contains_key(&key) && slots.len() >= room {
            slots.pop_first();
        }
        match (self.live(slots, &key), self.bug) {
            (Some(old), Some(Bug::SetKeepsFirstValue)) => new.value = old.value.clone(),
            (Some(old), Some(Bug::SetKeepsOldExpiry)) => new.deadline = old.deadline,
            (Some(old), Some(Bug::TagsAddUp)) if !new.tags.is_empty() => {
                new.tags.extend_from_slice(&old.tags);
            }
            _ => {}
        }
        self.revoke(&key);
        let mut written = self.written.lock().expect("no call panics");
        written.insert(key.clone(), new.number);
        slots.insert(key, new);
    }

    /// Writes if the condition holds, and tells whether it did.
    pub(super) async fn write(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
        tags: Vec<Mark>,
    ) -> Result<bool> {
        self.check_size(key, &value)?;
        let held = self.holds(&self.slots(), key, &options.condition);
        let lets_others_in = match options.condition {
            Condition::IfAbsent => self.has(Bug::IfAbsentNotAtomic),
            Condition::IfPresent => self.has(Bug::IfPresentNotAtomic),
            Condition::IfVersion(_) => self.has(Bug::IfVersionNotAtomic),
            _ => false,
        };
        if lets_others_in {
            yield_now().await;
        }
        if self.has(Bug::DropsOldEntryFirst) && held {
            self.slots().remove(key);
            yield_now().await;
        }
        let mut slots = self.slots();
        let held = if lets_others_in || self.has(Bug::DropsOldEntryFirst) {
            held
        } else {
            self.holds(&slots, key, &options.condition)
        };
        if held {
            let mut new = self.slot(value, options.expiry);
            let old = self.live(&slots, key).filter(|_| options.keeps_expiry);
            if let Some(old) = old.filter(|_| !self.has(Bug::KeptExpiryIsReplaced)) {
                new.deadline = old.deadline;
            }
            self.put(&mut slots, key, Slot { tags, ..new });
        } else if let (Some(slot), Some(Bug::IfAbsentTouchesExpiry)) =
            (slots.get_mut(key), self.bug)
        {
            slot.deadline = self.deadline(options.expiry);
        }
        Ok(held)
    }

    /// Ends the load lease of a key, and tells whether there was one.
    fn revoke(&self, key: &str) -> bool {
        if self.has(Bug::WritesKeepLeases) {
            return false;
        }
        let mut leases = self.leases.lock().expect("no call panics");
        leases.revoke(|leased| leased == key) > 0
    }

    pub(super) fn remove(&self, slots: &mut Slots<V>, key: &str) -> bool {
        if self.revoke(key) && self.has(Bug::DeleteCountsLeases) {
            return true;
        }
        let found = slots.remove(&self.folded(key));
        let counts = |slot: &Slot<V>| match self.bug {
            Some(Bug::DeleteFindsExpired) => true,
            Some(Bug::DeleteFindsInvalidated) => !self.has_ended(slot),
            _ => self.is_live(slot),
        };
        found.as_ref().is_some_and(counts) || self.has(Bug::DeleteAlwaysTrue)
    }
}

/// Every call is one critical section, but where a bug lets other tasks in.
impl<V: TestValue> CacheBackend<V> for Reference<V> {
    fn read_now(&self, key: &str) -> ReadNow<V> {
        let slots = self.slots();
        let found = slots.get(key).filter(|slot| match self.bug {
            Some(Bug::ReadNowIgnoresExpiry) => true,
            Some(Bug::ReadNowIgnoresTags) => !self.has_ended(slot),
            _ => self.is_live(slot),
        });
        ReadNow::Answer(Ok(found.map(|slot| slot.value.clone())))
    }

    fn read_now_lasting(&self, key: &str, least: Duration) -> ReadNow<V> {
        let left = self.slots().get(key).map(|slot| self.expiry_of(slot));
        match left {
            Some(Expiry::After(left))
                if left < least && self.bug != Some(Bug::ReadNowLastingIgnoresExpiry) =>
            {
                ReadNow::WouldWait
            }
            _ => self.read_now(key),
        }
    }

    fn set_now(&self, key: &str, value: V, expiry: Expiry) -> SetNow<V> {
        if let Err(refused) = self.check_size(key, &value) {
            return SetNow::Done(Err(refused));
        }
        let mut slots = self.slots();
        let old = slots.get(key).and_then(|slot| slot.deadline);
        let mut new = self.slot(value.clone(), expiry);
        if self.has(Bug::SetNowKeepsOldExpiry) {
            new.deadline = old.or(new.deadline);
        }
        self.put(&mut slots, key, new);
        if self.has(Bug::SetNowWritesTooLate) {
            return SetNow::WouldWait(value);
        }
        SetNow::Done(Ok(()))
    }

    async fn get(&self, key: &str) -> Result<Option<V>> {
        Ok(self.value(key))
    }

    async fn get_entry(&self, key: &str) -> Result<Option<BackendEntry<V>>> {
        let slots = self.slots();
        let entry = self.live(&slots, key).map(|slot| match self.bug {
            Some(Bug::GetEntryForgetsExpiry) => {
                BackendEntry::new(slot.value.clone(), Expiry::Never)
                    .with_version(self.version_of(slot))
            }
            _ => {
                let entry = BackendEntry::new(slot.value.clone(), self.expiry_of(slot));
                let entry = entry.with_version(self.version_of(slot));
                entry.with_tags(slot.tags.iter().map(Mark::tag).collect())
            }
        });
        Ok(entry.map(|entry| entry.found_in(Layer::Memory)))
    }

    async fn set(&self, key: &str, value: V, options: BackendWrite) -> Result<bool> {
        self.write(key, value, options, Vec::new()).await
    }

    async fn swap(&self, key: &str, value: V, expiry: Expiry) -> Result<Option<V>> {
        self.check_size(key, &value)?;
        if self.has(Bug::SwapNotAtomic) {
            let old = self.value(key);
            yield_now().await;
            let new = self.slot(value, expiry);
            self.put(&mut self.slots(), key, new);
            return Ok(old);
        }
        let mut slots = self.slots();
        let stored = slots.get(key).cloned();
        let live = self.live(&slots, key).cloned();
        self.put(&mut slots, key, self.slot(value, expiry));
        match (&live, self.bug, slots.get_mut(key)) {
            (Some(old), Some(Bug::SwapKeepsOldExpiry), Some(new)) => new.deadline = old.deadline,
            (Some(old), Some(Bug::SwapKeepsTags), Some(new)) => new.tags.clone_from(&old.tags),
            (_, Some(Bug::SwapReturnsExpired), _) => return Ok(stored.map(|slot| slot.value)),
            _ => {}
        }
        Ok(live.map(|slot| slot.value))
    }

    async fn delete(&self, key: &str, condition: Condition) -> Result<bool> {
        if condition != Condition::Always {
            let mut slots = self.slots();
            let is_due = self.has(Bug::DeleteIgnoresVersion) || self.holds(&slots, key, &condition);
            return Ok(is_due && self.remove(&mut slots, key));
        }
        if self.has(Bug::DeleteNotAtomic) {
            let found = self.value(key).is_some();
            yield_now().await;
            self.slots().remove(key);
            return Ok(found);
        }
        Ok(self.remove(&mut self.slots(), key))
    }

    async fn take(&self, key: &str) -> Result<Option<V>> {
        match self.bug {
            Some(Bug::TakeNotAtomic) => {
                let found = self.value(key);
                yield_now().await;
                self.slots().remove(key);
                Ok(found)
            }
            Some(Bug::TakeLeavesTheEntry) => Ok(self.value(key)),
            _ => derived::take(self, key).await,
        }
    }

    async fn get_ex(&self, key: &str, expiry: Expiry) -> Result<Option<V>> {
        if self.has(Bug::GetExForgetsExpiry) {
            return Ok(self.value(key));
        }
        derived::get_ex(self, key, expiry).await
    }

    async fn expiry(&self, key: &str) -> Result<Option<Expiry>> {
        let slots = self.slots();
        Ok(self.live(&slots, key).map(|slot| self.expiry_of(slot)))
    }

    async fn set_expiry(&self, key: &str, expiry: Expiry) -> Result<bool> {
        let deadline = self.deadline(expiry);
        let mut slots = self.slots();
        let live = self.live(&slots, key).is_some() || self.has(Bug::ExpireRevivesExpired);
        let Some(slot) = slots.get_mut(key).filter(|_| live) else {
            return Ok(false);
        };
        let had_one = slot.deadline.is_some() || self.has(Bug::PersistAlwaysTrue);
        slot.deadline = deadline;
        if self.has(Bug::SetExpiryDropsTags) {
            slot.tags.clear();
        }
        Ok(had_one || deadline.is_some())
    }

    async fn get_many(&self, keys: &[&str]) -> Result<Vec<Option<V>>> {
        let mut keys = keys.to_vec();
        match self.bug {
            Some(Bug::GetManyDropsRepeats) => {
                let mut seen = BTreeSet::new();
                keys.retain(|key| seen.insert(*key));
            }
            Some(Bug::GetManySorts) => keys.sort_unstable(),
            _ => {}
        }
        Ok(keys.into_iter().map(|key| self.value(key)).collect())
    }

    async fn get_entries(&self, keys: &[&str]) -> Result<Vec<Option<BackendEntry<V>>>> {
        let mut entries = each::get_entry(self, keys).await?;
        for entry in entries.iter_mut().flatten() {
            match self.bug {
                Some(Bug::GetEntriesForgetsExpiry) => entry.expiry = Expiry::Never,
                Some(Bug::GetEntriesForgetsTags) => entry.tags.clear(),
                _ => {}
            }
        }
        Ok(entries)
    }

    async fn set_many(&self, entries: Vec<(&str, V)>, expiry: Expiry) -> Result<()> {
        if self.has(Bug::EmptyBulkFails) && entries.is_empty() {
            return Err(ErrorKind::Backend.into());
        }
        let mut seen = Vec::new();
        for (key, value) in entries {
            self.check_size(key, &value)?;
            if !(self.has(Bug::SetManyKeepsFirst) && seen.contains(&key)) {
                let new = self.slot(value, expiry);
                self.put(&mut self.slots(), key, new);
            }
            seen.push(key);
        }
        Ok(())
    }

    async fn delete_many(&self, keys: &[&str]) -> Result<u64> {
        let mut slots = self.slots();
        if self.has(Bug::DeleteManyCountsRepeats) {
            let found = keys.iter().filter(|key| slots.contains_key(**key)).count();
            keys.iter().for_each(|key| drop(slots.remove(*key)));
            return Ok(found as u64);
        }
        let removed = keys.iter().filter(|key| self.remove(&mut slots, key));
        Ok(removed.count() as u64)
    }

    async fn scan(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Result<Page> {
        self.check_scan()?;
        Ok(self.page(scope, cursor, limit))
    }

    async fn clear(&self, scope: &Scope) -> Result<u64> {
        self.check_scan()?;
        let mut slots = self.slots();
        let mut leases = self.leases.lock().expect("no call panics");
        leases.revoke(|key| self.is_in(scope, key));
        if self.has(Bug::ClearEndsLocks) {
            *self.locks.lock().expect("no call panics") = Granted::default();
        }
        if self.has(Bug::ClearEndsCounters) {
            self.tally().clear();
        }
        let mut cleared = match self.bug {
            Some(Bug::ClearCountsTags) => self.tag_keys(scope).len() as u64,
            _ => 0,
        };
        slots.retain(|key, slot| {
            let goes = match self.bug {
                Some(Bug::ScanTooWide) => scope.contains(key),
                _ => self.is_in(scope, key),
            };
            let counts = self.is_live(slot) || self.has(Bug::ClearCountsExpired);
            cleared += u64::from(goes && counts);
            !goes
        });
        Ok(cleared)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
            .with_scan(self.scans)
            .with_bounded(self.bound < UNBOUNDED)
    }

    fn stats(&self) -> BackendStats {
        let mut stats = BackendStats::default();
        stats.entries = Some(self.slots().len() as u64);
        stats
    }

    fn abilities(&self) -> Abilities<'_, V> {
        let mut abilities = Abilities::none()
            .with_leases(self)
            .with_transactions(self)
            .with_locks(self);
        abilities.tags = self.keeps_tags.then_some(self as _);
        abilities.counters = self.counts.then_some(self as _);
        abilities
    }
}

impl<V> fmt::Debug for Reference<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.slots.lock().expect("no call panics");
        let mut shown = f.debug_struct("Reference");
        if self.bug == Some(Bug::DebugShowsKeys) {
            shown.field("keys", &slots.keys());
        }
        shown.field("entries", &slots.len()).finish_non_exhaustive()
    }
}
