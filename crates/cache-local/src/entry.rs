//! One cached value and what its shard knows of it.

use std::mem::{self, needs_drop};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use cache_core::Clock;
use smol_str::SmolStr;

use crate::removal::{RemovalCause, Replaced};
use crate::tags::EntryTags;

/// The deadline of an entry that never expires.
pub(crate) const NEVER: u64 = u64::MAX;

/// How often an entry was read lately, as far as eviction cares.
pub(crate) const MAX_HITS: u8 = 2;

const HITS_BITS: u32 = 2;
const HITS_MASK: u32 = 0b011;
const MAIN_BIT: u32 = 0b100;
const SLOT_SHIFT: u32 = 3;
/// How many slots fit beside the other bits.
pub(crate) const MAX_SLOTS: u32 = 1 << (u32::BITS - SLOT_SHIFT);

/// The queue of the eviction policy that an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    Small,
    Main,
}

/// Key, value and meta data. It stands in the row of its slot, or in an `Arc` that readers take shares of: see [`Handle`].
///
/// The atomics are written by readers under the shared lock of the shard (hits) or by the one
/// writer under its exclusive lock (everything), so plain loads and stores suffice: at worst two
/// readers count one hit.
pub(crate) struct Entry<V> {
    key: SmolStr,
    pub(crate) value: V,
    deadline: AtomicU64,
    tags: Option<Box<EntryTags>>,
    weight: u32,
    /// Slot, queue and hits in one word.
    packed: AtomicU32,
}

/// What a write brings.
pub(crate) struct Content<V> {
    pub(crate) value: V,
    pub(crate) tags: Option<Box<EntryTags>>,
}

impl<V> Content<V> {
    /// Tells whether one of its tags was invalidated since it was read.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.are_over())
    }
}

/// What a shard decides about an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) slot: u32,
    pub(crate) line: Line,
    pub(crate) hits: u8,
    pub(crate) weight: u32,
    pub(crate) deadline: u64,
}

impl Place {
    const fn packed(self) -> u32 {
        let line = match self.line {
            Line::Small => 0,
            Line::Main => MAIN_BIT,
        };
        (self.slot << SLOT_SHIFT) | line | self.hits as u32
    }
}

impl<V> Entry<V> {
    pub(crate) fn new(key: &str, content: Content<V>, place: Place) -> Self {
        Self::with_key(SmolStr::new(key), content, place)
    }

    /// Returns an entry for the same key.
    pub(crate) fn successor(&self, content: Content<V>, place: Place) -> Self {
        Self::with_key(self.key.clone(), content, place)
    }

    fn with_key(key: SmolStr, content: Content<V>, place: Place) -> Self {
        Self {
            key,
            value: content.value,
            tags: content.tags,
            deadline: AtomicU64::new(place.deadline),
            weight: place.weight,
            packed: AtomicU32::new(place.packed()),
        }
    }

    /// Replaces all but the key, and returns the old value.
    pub(crate) fn overwrite(&mut self, content: Content<V>, place: Place) -> V {
        self.tags = content.tags;
        *self.deadline.get_mut() = place.deadline;
        self.weight = place.weight;
        *self.packed.get_mut() = place.packed();
        mem::replace(&mut self.value, content.value)
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            slot: self.slot(),
            line: self.line(),
            hits: self.hits(),
            weight: self.weight,
            deadline: self.deadline(),
        }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    #[inline]
    pub(crate) fn is_for(&self, key: &str) -> bool {
        self.key.as_bytes() == key.as_bytes()
    }

    pub(crate) fn weight(&self) -> u64 {
        u64::from(self.weight)
    }

    #[inline]
    pub(crate) fn deadline(&self) -> u64 {
        self.deadline.load(Ordering::Relaxed)
    }

    /// Tells why the entry is absent, if it is.
    #[inline]
    pub(crate) fn ended(&self, clock: &Clock) -> Option<RemovalCause> {
        if is_over(self.deadline(), clock) {
            return Some(RemovalCause::Expired);
        }
        self.is_invalidated().then_some(RemovalCause::Invalidated)
    }

    /// Tells whether one of its tags was invalidated.
    #[inline]
    pub(crate) fn is_invalidated(&self) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.are_over())
    }

    /// Returns the keys that name the tags.
    pub(crate) fn tags(&self) -> Vec<Arc<str>> {
        self.tags.as_ref().map_or_else(Vec::new, |tags| tags.keys())
    }

    pub(crate) fn set_deadline(&self, deadline: u64) {
        self.deadline.store(deadline, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn slot(&self) -> u32 {
        self.packed.load(Ordering::Relaxed) >> SLOT_SHIFT
    }

    pub(crate) fn line(&self) -> Line {
        if self.packed.load(Ordering::Relaxed) & MAIN_BIT == 0 {
            Line::Small
        } else {
            Line::Main
        }
    }

    pub(crate) fn hits(&self) -> u8 {
        (self.packed.load(Ordering::Relaxed) & HITS_MASK) as u8
    }

    /// Counts a read. A hot entry is at the maximum, and nothing is written.
    #[inline]
    pub(crate) fn hit(&self) {
        let packed = self.packed.load(Ordering::Relaxed);
        if packed & HITS_MASK < u32::from(MAX_HITS) {
            self.packed.store(packed + 1, Ordering::Relaxed);
        }
    }

    /// Notes that the entry moved to a queue and has so many hits left.
    pub(crate) fn requeue(&self, line: Line, hits: u8) {
        let place = Place {
            line,
            hits,
            ..self.place()
        };
        self.packed.store(place.packed(), Ordering::Relaxed);
    }
}

/// Tells whether a deadline has passed; a precise clock is read only near it.
#[inline]
fn is_over(deadline: u64, clock: &Clock) -> bool {
    if deadline == NEVER {
        return false;
    }
    let coarse = clock.coarse_nanos();
    if deadline <= coarse {
        return true;
    }
    deadline <= coarse.saturating_add(Clock::COARSE_GRAIN_NANOS) && deadline <= clock.nanos()
}

const _: () = assert!((MAX_HITS as u32) < 1 << HITS_BITS);

/// The table's hold on an entry.
///
/// A value is cloned under the lock of the table, so its entry belongs to the table alone, and changing it needs
/// no atomic count. Where the cache is told that its values are slow to clone, a reader takes a share of the entry
/// and clones after the lock.
///
/// The version stands here, where the choice of the variant leaves room for it. It wraps around after 4 G
/// writes of one shard; only a caller that holds on to a version for exactly so many is misled.
pub(crate) enum Handle<V> {
    Owned(u32, Entry<V>),
    Shared(u32, Arc<Entry<V>>),
}

impl<V> Handle<V> {
    /// Creates a hold that a reader takes a share of if `shared`. Plain data never is: its clone is a copy.
    pub(crate) fn new(entry: Entry<V>, version: u32, shared: bool) -> Self {
        if shared && needs_drop::<V>() {
            Self::Shared(version, Arc::new(entry))
        } else {
            Self::Owned(version, entry)
        }
    }

    /// Replaces all but the key.
    #[inline]
    pub(crate) fn replace(
        &mut self,
        content: Content<V>,
        place: Place,
        version: u32,
    ) -> Replaced<V> {
        let (Self::Owned(number, _) | Self::Shared(number, _)) = self;
        *number = version;
        match self {
            Self::Owned(_, entry) => Replaced::Value(entry.overwrite(content, place)),
            Self::Shared(_, entry) => match Arc::get_mut(entry) {
                Some(entry) => Replaced::Value(entry.overwrite(content, place)),
                None => {
                    let successor = Arc::new(entry.successor(content, place));
                    Replaced::Entry(mem::replace(entry, successor))
                }
            },
        }
    }

    /// Returns the number of the write that the entry is from.
    pub(crate) const fn version(&self) -> u32 {
        match self {
            Self::Owned(version, _) | Self::Shared(version, _) => *version,
        }
    }

    /// Copies what is wanted, or returns a share of the entry to copy it from after the lock.
    #[inline]
    pub(crate) fn hold<R>(&self, copy: impl Fn(&Entry<V>) -> R) -> Result<R, Arc<Entry<V>>> {
        match self {
            Self::Owned(_, entry) => Ok(copy(entry)),
            Self::Shared(_, entry) => Err(Arc::clone(entry)),
        }
    }
}

impl<V> Deref for Handle<V> {
    type Target = Entry<V>;

    fn deref(&self) -> &Entry<V> {
        match self {
            Self::Owned(_, entry) => entry,
            Self::Shared(_, entry) => entry,
        }
    }
}
