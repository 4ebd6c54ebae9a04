//! Which versions of a key there are.

use std::collections::{BTreeMap, HashMap};

use crate::history::{Death, History, Kind, Loss, Nanos, Operation, Outcome, Seen};

/// The writes of each key by their versions.
pub(super) struct Writes<'h> {
    by_key: HashMap<u32, BTreeMap<u64, &'h Operation>>,
    losses: &'h [Loss],
    deaths: &'h [Death],
}

/// How a value goes away by itself, and with what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nature {
    /// Whether it carries the tags of its task; `None` if that is not known.
    pub(super) tagged: Option<bool>,
    /// From when on its time may be over, if it has one.
    pub(super) earliest_end: Option<Nanos>,
    /// When its time is over, if it has one and that is known.
    pub(super) latest_end: Option<Nanos>,
}

impl Default for Nature {
    fn default() -> Self {
        Self {
            tagged: Some(false),
            earliest_end: None,
            latest_end: None,
        }
    }
}

/// What makes a version old.
#[derive(Debug, Default)]
pub(super) struct Newer<'h> {
    /// The first acknowledged write that overwrote it for good.
    pub(super) kept: Option<&'h Operation>,
    /// The first one, even if the store may have lost it.
    pub(super) lost: Option<&'h Operation>,
}

impl<'h> Writes<'h> {
    pub(super) fn of(history: &'h History) -> Self {
        let mut by_key = HashMap::<u32, BTreeMap<u64, &Operation>>::new();
        for call in &history.operations {
            if let Some(version) = call.wrote {
                by_key.entry(call.key).or_default().insert(version, call);
            }
        }
        Self {
            by_key,
            losses: &history.losses,
            deaths: &history.deaths,
        }
    }

    /// Returns the call that wrote a version, if there may be such a value.
    pub(super) fn value(&self, key: u32, version: u64) -> Option<&'h Operation> {
        let write = *self.by_key.get(&key)?.get(&version)?;
        let is_written = !write.kind.removes() && (write.is_done() || write.is_open());
        let has_value = is_written || write.kind.renews();
        has_value.then_some(write)
    }

    /// Tells whether a write makes an older version of its key wrong. The invalidation of a tag says nothing of
    /// values that do not carry it, and which value the store held then is not known: an old snapshot may
    /// have brought back any.
    fn concerns(&self, write: &Operation, key: u32, version: u64) -> bool {
        let is_tagged = |value: &Operation| self.nature(value).tagged == Some(true);
        write.kind != Kind::Invalidate || self.value(key, version).is_none_or(is_tagged)
    }

    /// Returns what is known of the value that a call has written, or may have.
    pub(super) fn nature(&self, write: &Operation) -> Nature {
        if write.kind != Kind::UpdateKeeping {
            return Nature {
                tagged: Some(write.tagged),
                earliest_end: write.ttl.map(|ttl| write.start + ttl),
                // When a write of unknown outcome took effect, if it did, is not known.
                latest_end: write
                    .ttl
                    .map(|ttl| write.end + ttl)
                    .filter(|_| write.is_done()),
            };
        }
        match write.found {
            // It was not answered: it has the nature of any.
            _ if !write.is_done() => Nature {
                tagged: None,
                earliest_end: Some(0),
                latest_end: None,
            },
            Some(Seen::Whole { key, version }) if Some(version) < write.wrote => self
                .value(key, version)
                .map_or_else(Nature::default, |replaced| self.nature(replaced)),
            _ => Nature::default(),
        }
    }

    /// Returns which of these newer versions make an older one wrong.
    pub(super) fn concerning(
        &self,
        key: u32,
        version: u64,
        newer: impl Iterator<Item = u64>,
    ) -> Vec<u64> {
        let of_key = self.by_key.get(&key);
        let concerns = |newer: &u64| {
            let write = of_key.and_then(|of_key| of_key.get(newer));
            write.is_none_or(|write| self.concerns(write, key, version))
        };
        newer.filter(concerns).collect()
    }

    /// Finds what had overwritten a version when a read began, as far as one that ended at `end`
    /// has to know.
    pub(super) fn newer(&self, key: u32, version: u64, start: Nanos, end: Nanos) -> Newer<'h> {
        self.newer_than(key, version, (start, end), |write| {
            self.concerns(write, key, version)
        })
    }

    /// Finds the deletes that have failed and would make a version wrong if they had succeeded. What was dropped
    /// has not failed.
    pub(super) fn failed_deletes(
        &self,
        key: u32,
        version: u64,
    ) -> impl Iterator<Item = &'h Operation> {
        let of_key = self.by_key.get(&key).into_iter();
        let newer = of_key.flat_map(move |of_key| of_key.range(version + 1..));
        let failed = newer.map(|(_, write)| *write);
        let failed = failed.filter(|write| write.kind.is_repeated() && write.is_open());
        let failed = failed.filter(|write| write.outcome != Outcome::Dropped);
        failed.filter(move |write| self.concerns(write, key, version))
    }

    /// Returns the last write of a key that was acknowledged before `since`, if nothing that is known here can
    /// have removed its value before `until`.
    pub(super) fn present(&self, key: u32, since: Nanos, until: Nanos) -> Option<&'h Operation> {
        let of_key = self.by_key.get(&key)?;
        let mut last = None;
        for write in of_key.values() {
            if write.start >= until {
                break;
            }
            if write.outcome == Outcome::Refused {
                continue;
            }
            let is_over = |end: Nanos| end <= until;
            if write.kind.removes() || self.nature(write).earliest_end.is_some_and(is_over) {
                last = None;
            } else if write.is_done() && write.end < since {
                last = Some(*write);
            }
        }
        last
    }

    /// Returns a write and those of the same key that had begun since by this time.
    pub(super) fn written_since(
        &self,
        write: &Operation,
        until: Nanos,
    ) -> impl Iterator<Item = &'h Operation> {
        let of_key = self.by_key.get(&write.key).into_iter();
        let version = write.wrote.unwrap_or_default();
        let since = of_key.flat_map(move |of_key| of_key.range(version..));
        let since = since.map(|(_, write)| *write);
        since.take_while(move |write| write.start < until)
    }

    /// Returns the writes of unknown outcome before another one of the same key.
    pub(super) fn open_before(&self, write: &Operation) -> impl Iterator<Item = &'h Operation> {
        let of_key = self.by_key.get(&write.key).into_iter();
        let version = write.wrote.unwrap_or_default();
        let earlier = of_key.flat_map(move |of_key| of_key.range(..version));
        earlier.map(|(_, call)| *call).filter(|call| call.is_open())
    }

    /// Tells whether a process may have died with what it had to tell of the writes after a version: none of them
    /// was acknowledged, and one was of a process that has died.
    pub(super) fn are_taken_along(&self, key: u32, version: u64) -> bool {
        let newer = self.by_key.get(&key).into_iter();
        let newer = newer.flat_map(|of_key| of_key.range(version + 1..));
        let mut is_any = false;
        for (_, write) in newer {
            if write.is_done() {
                return false;
            }
            is_any |= write.is_open() && self.has_died(write.process);
        }
        is_any
    }

    /// Tells whether a process was killed.
    pub(super) fn has_died(&self, process: u32) -> bool {
        self.deaths.iter().any(|death| death.process == process)
    }

    /// Tells whether a store may have forgotten something, before a read has ended, that was written at some time
    /// after the start of this call: what was there before is back, or nothing is there.
    pub(super) fn has_lost_since(&self, call: &Operation, end: Nanos) -> bool {
        let mut losses = self.losses.iter();
        losses.any(|loss| loss.at <= end && loss.until >= call.start)
    }

    /// Finds the same as [`newer`](Self::newer) for who looks into the store, where invalidated values stay.
    pub(super) fn newer_in_store(
        &self,
        key: u32,
        version: u64,
        start: Nanos,
        end: Nanos,
    ) -> Newer<'h> {
        let overwrites = |write: &Operation| !write.kind.is_of_tag();
        self.newer_than(key, version, (start, end), overwrites)
    }

    fn newer_than(
        &self,
        key: u32,
        version: u64,
        (start, end): (Nanos, Nanos),
        overwrites: impl Fn(&Operation) -> bool,
    ) -> Newer<'h> {
        let mut newer = Newer::default();
        let Some(of_key) = self.by_key.get(&key) else {
            return newer;
        };
        for write in of_key.range(version + 1..).map(|(_, write)| *write) {
            // They are one after the other.
            if write.start >= start {
                break;
            }
            if !write.is_done() || write.end >= start || !overwrites(write) {
                continue;
            }
            newer.lost.get_or_insert(write);
            if !self.is_lost(write, end) {
                newer.kept = Some(write);
                break;
            }
        }
        newer
    }

    /// Tells whether a reader that ends at this time may see a store that has lost a write.
    fn is_lost(&self, write: &Operation, end: Nanos) -> bool {
        self.losses
            .iter()
            .any(|loss| loss.at <= end && write.end >= loss.from && write.start <= loss.until)
    }

    /// Tells whether all of these versions of a key may be lost.
    pub(super) fn are_lost(
        &self,
        key: u32,
        versions: impl IntoIterator<Item = u64>,
        end: Nanos,
    ) -> bool {
        let of_key = self.by_key.get(&key);
        versions.into_iter().all(|version| {
            let write = of_key.and_then(|of_key| of_key.get(&version));
            write.is_some_and(|write| self.is_lost(write, end))
        })
    }
}
