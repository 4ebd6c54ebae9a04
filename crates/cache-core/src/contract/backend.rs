//! The contract between the facade and every backend.

pub mod decide;
pub mod derived;
pub mod each;
mod erased;
#[macro_use]
mod forward;

use std::fmt::{self, Debug};
use std::time::Duration;

pub use self::erased::DynBackend;
use crate::{
    Abilities, BackendEntry, BackendStats, BackendWrite, Condition, Expiry, Result, Scope, StoreId,
    Versioned,
};

/// A place that holds values under keys, each with an optional expiry.
///
/// This is the API of people who **write** a backend; people who use a cache call
/// [`Cache`](crate::Cache), which resolves default times to live, checks keys and limits and
/// counts hits. So a backend can rely on this: keys are not empty, an
/// [`Expiry::After`] is at least one millisecond, and bulk calls may be empty.
///
/// The trait is typed: an in-process backend keeps `V` itself and decodes nothing on a hit.
/// A store of bytes implements `CacheBackend<Bytes>` (which makes it a
/// [`ByteStore`](crate::ByteStore)) and gets its typing from
/// [`EncodedBackend`](crate::EncodedBackend).
///
/// Five methods are required: [`get_entry`](Self::get_entry), [`set`](Self::set),
/// [`delete`](Self::delete), [`set_expiry`](Self::set_expiry) and [`scan`](Self::scan). A read hands out a
/// [`Version`](crate::Version) and a write takes one back, so every other verb has a body that is correct
/// *and atomic*: those that change what they read compare and set ([`derived`]), those on many keys are
/// loops ([`each`]). A backend overrides what its store does better.
///
/// # Contract
///
/// Each clause is checked by the test of the same number in the crate `cache-conformance`.
/// "Absent" means: never written, deleted, cleared, evicted or expired.
///
/// *Values*
/// - **C01** `get` returns the value that was written last, and `None` for an absent key.
/// - **C02** All reads agree: `read_now`, `get`, `get_entry`, `get_many`, `get_entries`, `expiry`
///   and `scan`.
/// - **C03** `read_now` gives the answer of `get` or says [`ReadNow::WouldWait`]; it never blocks. So does
///   `read_now_lasting`, which says so of every entry that has less time left than is asked for.
/// - **C04** Keys are any UTF-8 text and mean nothing: no character is special, case counts.
/// - **C05** `set` without a condition returns `true` and replaces the value *and* the expiry; the
///   old expiry is gone.
/// - **C06** `set` with [`IfAbsent`](crate::Condition::IfAbsent) writes an absent key and returns
///   `true`; otherwise it returns `false` and leaves value and expiry as they are.
/// - **C07** `set` with [`IfPresent`](crate::Condition::IfPresent) is its counterpart.
/// - **C08** `swap` returns the old value and stores the new one with the new expiry.
/// - **C09** `delete` without a condition returns whether there was an entry to delete.
///
/// *Expiry*
/// - **C10** An entry is present before its deadline and absent from then on, for every read.
/// - **C11** An expired entry is absent for every write: `IfAbsent` succeeds on it, `IfPresent`,
///   `delete` and `set_expiry` return `false`, `swap` returns `None`.
/// - **C12** `expiry`, `get_entry` and `get_entries` report `Never`, or a remaining time that is above zero and
///   not above the one that was set.
/// - **C13** `set_expiry` changes the expiry and nothing else. It returns `false` if the key is
///   absent, and for [`Expiry::Never`] also if the entry had no expiry to remove.
/// - **C14** Times to live from one millisecond to 100 years are kept, to the millisecond.
///
/// *Writes at once*
/// - **C53** `set_now` does what `set` without a condition does, or hands the value back and does nothing; it
///   never blocks.
///
/// *Bulk*
/// - **C15** `get_many` and `get_entries` answer in the order of the keys, and answer a repeated
///   key each time.
/// - **C16** `set_many` writes every pair with the expiry; of a repeated key the last one stays.
/// - **C17** `delete_many` counts the entries that it removed; a repeated key counts once.
/// - **C18** Bulk calls with nothing do nothing.
///
/// *Key space*
/// - **C19** `scan` ends, returns only present keys of the scope, and returns every key that is
///   present throughout the scan at least once.
/// - **C20** The prefix of a scope is literal: `*`, `?`, `[`, `\` and the like match themselves.
/// - **C21** `clear` removes the entries of its scope and nothing else, and returns how many
///   were present.
///
/// *Concurrency and faults*
/// - **C22** Of concurrent `IfAbsent` writes of an absent key exactly one returns `true`.
/// - **C23** Concurrent `swap`s of one key form a chain: every value is returned by exactly one
///   `swap`, but for the one that stays.
/// - **C24** Of concurrent `delete`s of one entry exactly one returns `true`.
/// - **C25** A dropped future leaves the old entry or the new one, and a backend that works. Once the future is
///   gone, that is settled. A store that may still carry out the write later breaks what loads rely on: a load that
///   is dropped while it stores may overwrite a newer value or bring back a deleted one, until that value expires.
///   [Load leases](Self::abilities) of the store prevent this, because the late fill finds its lease gone.
/// - **C26** A backend that is [bounded](Capabilities::bounded) never holds more than its bound,
///   and its `stats` never say so, at no moment of a write.
/// - **C27** A value that can never fit is refused with
///   [`TooLarge`](crate::ErrorKind::TooLarge), whatever the condition; the old entry stays, and
///   `set_many` and a commit write nothing.
/// - **C28** `Debug` output shows no keys and no values.
///
/// *Load leases*, of backends that [have](Self::abilities) them
/// - **C29** Of concurrent claims of an absent key one is granted, for its time, and the others are told
///   how long it lasts at most; a claim of a present key finds the value. The fencing token of a key grows.
/// - **C30** A key under a lease is absent: no read sees it, no write counts it.
/// - **C31** A fill stores value and expiry if the lease is still there. A lease is over when it was
///   filled, released or has ended, and when the key was written, deleted or cleared: then a fill
///   returns `false` and changes nothing.
///
/// *Tags*, of backends that [have](Self::abilities) them
/// - **C32** An entry is absent once one of its tags was invalidated: for every read and every write, as
///   an expired one is. Entries without that tag are not concerned.
/// - **C33** A write replaces the tags with the value: those of a write without tags are gone. A write
///   after the invalidation of a tag is present with that tag. `set_expiry` leaves tags as they are.
/// - **C34** A value that was written with a ticket is absent if one of its tags was invalidated since the
///   ticket was taken, whether the tag was in use before or not.
/// - **C35** `get_entry` and `get_entries` tell the tags of an entry. Neither `scan` returns the key of a
///   tag nor does `clear` count it.
///
/// *Transactions*, of backends that [have](Self::abilities) them
/// - **C36** A watch answers as `get_many`, at one moment. A commit makes all its writes in one step: as
///   `set` without a condition and `delete` would, and no watch sees some of them alone.
/// - **C37** A commit fails as [`Conflict`](crate::ErrorKind::Conflict) and changes nothing if a watched
///   key was written, deleted or cleared, or has expired, since it was watched; it may do so for other
///   reasons too. A watch that is dropped changes nothing.
///
/// *Locks*, of backends that [have](Self::abilities) them
/// - **C50** Of concurrent `acquire`s of a free lock one is granted, for its time, and the others are told
///   how long it is held at most. The fencing token of a lock grows.
/// - **C51** `extend` and `release` do what they say while the lock is the caller's; otherwise they return
///   `false` and change nothing. A lock is free once it was released or its time is over, and those who
///   wait for it are told of a release.
/// - **C52** A lock is no entry: no read sees it, `scan` does not return it, and `clear` leaves it as it is.
///
/// *Versions*
/// - **C38** `get_versioned` finds what `get_entry` finds, and its version; an absent key has none. Two
///   reads find the same version only if no other value was written in between. `set_expiry` leaves
///   the version as it is.
/// - **C39** `set` and `delete` with [`IfVersion`](crate::Condition::IfVersion) take place if the key is
///   present and has that version; otherwise they return `false` and change nothing.
/// - **C40** Of concurrent writes that require one version of a key at most one takes place, unless they
///   write the value that is there already.
/// - **C41** `take` removes the entry and returns its value. Of concurrent `take`s and `delete`s of one
///   entry exactly one gets it.
/// - **C42** `get_ex` returns the value and changes the expiry in one step; of an absent key it changes
///   nothing.
/// - **C43** A write that [keeps the expiry](crate::BackendWrite::keeps_expiry) leaves that of an entry that
///   is there as it is; a new entry gets its own.
///
/// *Counters*, of backends that [have](Self::abilities) them
/// - **C44** `add` adds to the count and returns it with the time that its window has left; an absent counter
///   counts from zero. `get` answers the same and changes nothing; of an absent counter it is `None`.
/// - **C45** The window begins with the first `add`, lasts from one millisecond to 100 years or has no end, and
///   no later `add` moves it. At its end the counter is absent, and the next `add` begins a new window.
/// - **C46** What takes the count further from zero than [`MAX_COUNT`](crate::MAX_COUNT) is
///   [`InvalidInput`](crate::ErrorKind::InvalidInput) and changes nothing.
/// - **C47** `reset` makes a counter absent and returns whether it was there.
/// - **C48** Counters are no entries: no `scan` returns them and no `clear` counts or ends them, of whichever
///   scope of entries.
/// - **C49** Of concurrent `add`s each counts once, and no two return the same count but for what a `reset`
///   or a negative `add` brings back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a cache backend for values of type `{V}`",
    note = "a cached value is `Clone + Send + Sync + 'static`",
    note = "a store of bytes becomes one through `EncodedBackend::new(store, codec)`, \
            whose codec needs `V: Serialize + DeserializeOwned`"
)]
pub trait CacheBackend<V: Clone + Send + Sync + 'static>: Debug + Send + Sync + 'static {
    /// Returns the value of `key`, the time that it has left and its version, in one round trip.
    ///
    /// Where `read_now` would have answered, the entry says that it was
    /// [found in](crate::BackendEntry::found_in) memory.
    fn get_entry(&self, key: &str) -> impl Future<Output = Result<Option<BackendEntry<V>>>> + Send;

    /// Writes `value` and tells whether the condition held; in one atomic step.
    fn set(
        &self,
        key: &str,
        value: V,
        options: BackendWrite,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Removes `key` and tells whether the condition held and the key was there; in one atomic step.
    fn delete(&self, key: &str, condition: Condition) -> impl Future<Output = Result<bool>> + Send;

    /// Changes the expiry of `key` and tells whether anything changed (C13).
    fn set_expiry(&self, key: &str, expiry: Expiry) -> impl Future<Output = Result<bool>> + Send;

    /// Returns one page of the keys of `scope`, from `cursor` on.
    ///
    /// `limit`, at least 1, is how many keys the caller would like; a page may hold more, fewer
    /// or none. The scan is over when [`Page::next`] is `None`. A cursor is good for the backend
    /// and the scope that it came from.
    fn scan(
        &self,
        scope: &Scope,
        cursor: Cursor,
        limit: usize,
    ) -> impl Future<Output = Result<Page>> + Send;

    /// Answers a read at once, or says that it would have to wait, as the default does.
    ///
    /// An in-process backend always answers; a remote one never does. The facade asks here
    /// first, so a hit in memory costs neither an allocation nor a poll.
    fn read_now(&self, key: &str) -> ReadNow<V> {
        let _ = key;
        ReadNow::WouldWait
    }

    /// Answers a read at once if the entry has at least `least` time left, as
    /// [a cache with a time to idle](crate::CacheBuilder::time_to_idle) asks; otherwise, and by default, it
    /// would have to wait.
    fn read_now_lasting(&self, key: &str, least: Duration) -> ReadNow<V> {
        let _ = (key, least);
        ReadNow::WouldWait
    }

    /// Does at once what `set` without a condition does, or hands the value back, as the default does.
    ///
    /// It is to writes what `read_now` is to reads: it never waits for I/O, nor for a lock that may be held
    /// for long.
    fn set_now(&self, key: &str, value: V, expiry: Expiry) -> SetNow<V> {
        let _ = (key, expiry);
        SetNow::WouldWait(value)
    }

    /// Returns the value of `key`.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<V>>> + Send {
        derived::get(self, key)
    }

    /// Returns what `key` holds and the version of it, where the truth is (C38).
    ///
    /// The default is `get_entry`. A backend that answers that from a copy asks the original here: a write
    /// on the condition that an old copy is current would never take place.
    fn get_versioned(&self, key: &str) -> impl Future<Output = Result<Versioned<V>>> + Send {
        derived::get_versioned(self, key)
    }

    /// Writes `value` and returns the one it replaced; in one atomic step.
    fn swap(
        &self,
        key: &str,
        value: V,
        expiry: Expiry,
    ) -> impl Future<Output = Result<Option<V>>> + Send {
        derived::swap(self, key, value, expiry)
    }

    /// Removes `key` and returns its value; in one atomic step.
    fn take(&self, key: &str) -> impl Future<Output = Result<Option<V>>> + Send {
        derived::take(self, key)
    }

    /// Returns the value of `key` and changes its expiry; in one atomic step.
    fn get_ex(&self, key: &str, expiry: Expiry) -> impl Future<Output = Result<Option<V>>> + Send {
        derived::get_ex(self, key, expiry)
    }

    /// Returns the time that `key` has left, or `None` for an absent key.
    fn expiry(&self, key: &str) -> impl Future<Output = Result<Option<Expiry>>> + Send {
        derived::expiry(self, key)
    }

    /// Returns the values of `keys`, in their order.
    fn get_many(&self, keys: &[&str]) -> impl Future<Output = Result<Vec<Option<V>>>> + Send {
        each::get(self, keys)
    }

    /// Returns the values of `keys` and the time that each has left, in their order.
    ///
    /// This is what a tier in front asks for: it may keep a value for as long as it is valid here,
    /// and no longer.
    fn get_entries(
        &self,
        keys: &[&str],
    ) -> impl Future<Output = Result<Vec<Option<BackendEntry<V>>>>> + Send {
        each::get_entry(self, keys)
    }

    /// Writes all `entries`. Each is written atomically, all together are not.
    fn set_many(
        &self,
        entries: Vec<(&str, V)>,
        expiry: Expiry,
    ) -> impl Future<Output = Result<()>> + Send {
        each::set(self, entries, expiry)
    }

    /// Removes all `keys` and returns how many were there.
    fn delete_many(&self, keys: &[&str]) -> impl Future<Output = Result<u64>> + Send {
        each::delete(self, keys)
    }

    /// Removes the entries of `scope` and returns how many were there.
    fn clear(&self, scope: &Scope) -> impl Future<Output = Result<u64>> + Send {
        each::clear(self, scope)
    }

    /// Tells what this backend can do.
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }

    /// Returns what the backend counts, without waiting.
    fn stats(&self) -> BackendStats {
        BackendStats::default()
    }

    /// Names what the backend keeps its entries in, if others may keep theirs there, too.
    ///
    /// The [bus](crate::InvalidationBus::store_id) that two tiers listen to has to be about the same.
    fn store_id(&self) -> Option<StoreId> {
        None
    }

    /// Returns what the backend can do besides: at all times the same.
    fn abilities(&self) -> Abilities<'_, V> {
        Abilities::none()
    }
}

/// The answer of [`CacheBackend::read_now`].
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "it answers or it does not")]
pub enum ReadNow<V> {
    /// The answer that `get` would give.
    Answer(Result<Option<V>>),
    /// An answer needs I/O or a lock that may be held for long: call `get`.
    WouldWait,
}

// Written by hand: the derived form would print the value.
impl<V> Debug for ReadNow<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answer(Ok(found)) => f
                .debug_struct("Answer")
                .field("found", &found.is_some())
                .finish(),
            Self::Answer(Err(error)) => f.debug_tuple("Answer").field(error).finish(),
            Self::WouldWait => f.write_str("WouldWait"),
        }
    }
}

/// The answer of [`CacheBackend::set_now`].
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "it writes or it does not")]
pub enum SetNow<V> {
    /// The value was written, or refused as `set` would refuse it.
    Done(Result<()>),
    /// A write needs I/O or a lock that may be held for long: call `set` with this value.
    WouldWait(V),
}

// Written by hand: the derived form would print the value.
impl<V> Debug for SetNow<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(done) => f.debug_tuple("Done").field(done).finish(),
            Self::WouldWait(_) => f.write_str("WouldWait"),
        }
    }
}

/// What a backend can do. A `false` turns the clauses that need it off, visibly, in the
/// conformance suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// `scan` and `clear` work; without it they return
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    pub scan: bool,
    /// Other processes see the entries.
    pub shared: bool,
    /// The number or weight of the entries is limited by the backend.
    pub bounded: bool,
}

impl Capabilities {
    /// A backend that can scan, is not shared and has no bound.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            scan: true,
            shared: false,
            bounded: false,
        }
    }

    /// Says whether `scan` and `clear` work.
    #[must_use]
    pub const fn with_scan(mut self, scan: bool) -> Self {
        self.scan = scan;
        self
    }

    /// Says whether other processes see the entries.
    #[must_use]
    pub const fn with_shared(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    /// Says whether the backend is bounded.
    #[must_use]
    pub const fn with_bounded(mut self, bounded: bool) -> Self {
        self.bounded = bounded;
        self
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a scan goes on. A backend hands out the form that it can resume from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cursor {
    /// At the first key.
    Start,
    /// At a position that the backend understands.
    Position(u64),
    /// Behind a key, for stores that keep keys in order.
    After(String),
    /// At a place that only the backend can read.
    Token(String),
}

/// One page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// Keys of the scope, in the order of the store.
    pub keys: Vec<String>,
    /// Where the scan goes on, or `None` at its end.
    pub next: Option<Cursor>,
}

impl Page {
    /// Joins the keys of a page and the place where the scan goes on.
    #[must_use]
    pub const fn new(keys: Vec<String>, next: Option<Cursor>) -> Self {
        Self { keys, next }
    }
}
