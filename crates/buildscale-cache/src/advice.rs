//! Settings that contradict each other.

#[cfg(feature = "tiered")]
mod tiers;

use std::fmt;
use std::time::Duration;

use crate::{BackendKind, CacheSettings, CompressionKind};

/// Something that settings say twice, or that one of them undoes: it works, but hardly as meant.
///
/// Its text is one line: what contradicts what, and what to do. It shows no password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// A field is set for all backends and otherwise for this one; the former counts.
    SetTwice {
        /// The field for all backends.
        field: &'static str,
        /// The field of the backend.
        of_backend: &'static str,
    },
    /// A section is there that the backend does not use.
    SectionWithoutUse {
        /// The section.
        section: &'static str,
        /// The backend.
        backend: BackendKind,
    },
    /// Values without an envelope are never compressed.
    RawWithCompression,
    /// Memory may keep values for longer than the second tier does, and never will.
    L1OutlivesL2 {
        /// The time in memory.
        l1_ttl: Duration,
        /// The time in the second tier.
        default_ttl: Duration,
    },
    /// Without a bus, values are kept for the bound and no longer.
    L1TtlWithoutBus {
        /// The time in memory that is asked for.
        l1_ttl: Duration,
        /// The time in memory that they get.
        bound: Duration,
    },
    /// Without a bus, memory may be stale for longer than any bus would allow.
    StaleWithoutBus {
        /// For how long.
        age: Duration,
    },
    /// Memory forgets values before a bus could be late.
    BusWithoutUse {
        /// The time in memory.
        l1_ttl: Duration,
        /// How late the bus may be.
        bound: Duration,
    },
    /// A burst of changes does not fit in what the bus lets wait, and has memory forget everything.
    SmallBusCapacity {
        /// How many messages may wait.
        capacity: usize,
    },
    /// A bound is tighter than usual, and a policy gives it up in an outage.
    BoundGivenUp {
        /// The field of the policy.
        policy: &'static str,
        /// The bound.
        bound: Duration,
    },
    /// What is to be done when the bus is lost is said, and there is none.
    BusLossWithoutBus,
    /// A last value is to be served in place of one that is late, and none may be.
    SoftTimeoutWithoutFailSafe,
    /// The wait for a value ends before a last one would be served.
    SoftTimeoutTooLong {
        /// After which time the last value would be served.
        soft_timeout: Duration,
        /// After which time the wait ends.
        hard_timeout: Duration,
    },
}

impl Advice {
    /// Returns the field that it is about.
    ///
    /// ```
    /// assert_eq!(buildscale_cache::Advice::RawWithCompression.field(), "compression");
    /// ```
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::SetTwice { of_backend, .. } => of_backend,
            Self::SectionWithoutUse { section, .. } => section,
            Self::RawWithCompression => "compression",
            Self::L1OutlivesL2 { .. } | Self::L1TtlWithoutBus { .. } => "tiered.l1_ttl",
            Self::StaleWithoutBus { .. } => "bus.bound",
            Self::BusWithoutUse { .. } => "bus.kind",
            Self::SmallBusCapacity { .. } => "bus.capacity",
            Self::BoundGivenUp { policy, .. } => policy,
            Self::BusLossWithoutBus => "tiered.on_bus_loss",
            Self::SoftTimeoutWithoutFailSafe | Self::SoftTimeoutTooLong { .. } => {
                "loading.soft_timeout"
            }
        }
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetTwice { field, of_backend } => {
                write!(
                    f,
                    "{of_backend} has no effect: {field} is set and counts; leave one out"
                )
            }
            Self::SectionWithoutUse { section, backend } => write!(
                f,
                "{section} has no effect: the backend is {}, which does not use it; leave it out or \
                 choose a backend that does",
                backend.name()
            ),
            Self::RawWithCompression => f.write_str(
                "compression has no effect with raw: a reader could not tell what is compressed; \
                 leave one out",
            ),
            Self::L1OutlivesL2 {
                l1_ttl,
                default_ttl,
            } => write!(
                f,
                "tiered.l1_ttl is {l1_ttl:?}, but the second tier ends values after the default_ttl \
                 of {default_ttl:?}, and memory with it; lower the one or raise the other"
            ),
            Self::L1TtlWithoutBus { l1_ttl, bound } => write!(
                f,
                "tiered.l1_ttl is {l1_ttl:?}, but without a bus memory keeps a value for bus.bound, \
                 which is {bound:?}; choose a bus or lower l1_ttl"
            ),
            Self::StaleWithoutBus { age } => write!(
                f,
                "bus.bound lets memory be stale for {age:?}, because bus.kind is none; with a bus \
                 values stay as long and are stale for a second"
            ),
            Self::BusWithoutUse { l1_ttl, bound } => write!(
                f,
                "bus.kind is not needed: memory forgets values after tiered.l1_ttl, {l1_ttl:?}, \
                 before the bus has to tell of them, {bound:?}; raise l1_ttl or choose none"
            ),
            Self::SmallBusCapacity { capacity } => write!(
                f,
                "bus.capacity is {capacity}, less than what the bus takes at once: a burst of changes \
                 has memory forget everything; choose {LEAST_CAPACITY} or more"
            ),
            Self::BoundGivenUp { policy, bound } => write!(
                f,
                "{policy} gives up the bound of staleness in an outage, and bus.bound is as short as \
                 {bound:?}; choose the default of the one or a longer other"
            ),
            Self::BusLossWithoutBus => f.write_str(
                "tiered.on_bus_loss has no effect: bus.kind is none; choose a bus or leave it out",
            ),
            Self::SoftTimeoutWithoutFailSafe => f.write_str(
                "loading.soft_timeout has no effect: without loading.fail_safe there is no value to \
                 serve; set that or leave this out",
            ),
            Self::SoftTimeoutTooLong {
                soft_timeout,
                hard_timeout,
            } => write!(
                f,
                "loading.soft_timeout is {soft_timeout:?}, but loading.hard_timeout ends the wait \
                 after {hard_timeout:?}; lower the one or raise the other"
            ),
        }
    }
}

/// The least number of messages that should be allowed to wait.
///
/// A bus takes messages as they come and tells of up to 1,024 keys at a time. While it tells, it takes
/// none. Keys that come one by one come in as many messages, from a server that is no slower than
/// their listener, so as many more can arrive meanwhile. When there is no room for a message,
/// everything in memory is forgotten. The period of a quarter of the bound does not matter: messages
/// are taken between the questions and during them.
const LEAST_CAPACITY: usize = 1_024;

/// Looks through settings, as far as they are about the backend that is chosen.
pub(crate) fn on(settings: &CacheSettings) -> Vec<Advice> {
    let mut found = Vec::new();
    on_sections(settings, &mut found);
    match settings.chosen_backend() {
        BackendKind::Local => {}
        BackendKind::Redis => on_store(settings, &mut found),
        BackendKind::Tiered => {
            on_store(settings, &mut found);
            #[cfg(feature = "tiered")]
            tiers::on_tiers(settings, &mut found);
        }
    }
    on_loading(settings, &mut found);
    found
}

fn on_loading(settings: &CacheSettings, found: &mut Vec<Advice>) {
    let loading = &settings.loading;
    let Some(soft_timeout) = loading.get_soft_timeout() else {
        return;
    };
    if loading.get_fail_safe().is_none() {
        found.push(Advice::SoftTimeoutWithoutFailSafe);
    }
    let hard_timeout = loading.get_hard_timeout();
    if let Some(hard_timeout) = hard_timeout.filter(|hard| *hard <= soft_timeout) {
        found.push(Advice::SoftTimeoutTooLong {
            soft_timeout,
            hard_timeout,
        });
    }
}

#[cfg_attr(
    not(any(feature = "local", feature = "redis")),
    expect(unused_variables, reason = "without backends there are no sections")
)]
fn on_sections(settings: &CacheSettings, found: &mut Vec<Advice>) {
    let backend = settings.chosen_backend();
    #[cfg(feature = "local")]
    if backend == BackendKind::Redis && is_said(&settings.local) {
        found.push(Advice::SectionWithoutUse {
            section: "local",
            backend,
        });
    }
    #[cfg(feature = "redis")]
    if backend == BackendKind::Local && settings.redis.is_some() {
        found.push(Advice::SectionWithoutUse {
            section: "redis",
            backend,
        });
    }
    #[cfg(feature = "tiered")]
    if backend != BackendKind::Tiered {
        let sections = [
            ("tiered", settings.tiered.is_some()),
            ("bus", settings.bus != crate::BusSettings::default()),
        ];
        let said = sections.into_iter().filter(|(_, is_said)| *is_said);
        found.extend(said.map(|(section, _)| Advice::SectionWithoutUse { section, backend }));
    }
}

/// The interval does not count: a [`CacheConfig`](crate::CacheConfig) has one for any backend.
#[cfg(feature = "local")]
fn is_said(local: &crate::LocalOptions) -> bool {
    let mut usual = crate::LocalOptions::default();
    usual.cleanup_interval = local.cleanup_interval;
    *local != usual
}

fn on_store(settings: &CacheSettings, found: &mut Vec<Advice>) {
    #[cfg(feature = "redis")]
    if let Some(redis) = &settings.redis {
        // The default yields to what is set.
        let namespace = redis.get_namespace();
        let namespace = namespace.filter(|name| *name != crate::DEFAULT_NAMESPACE);
        set_twice(
            ("namespace", settings.namespace.as_deref()),
            ("redis.namespace", namespace),
            found,
        );
    }
    if settings.raw && settings.compression != CompressionKind::None {
        found.push(Advice::RawWithCompression);
    }
}

/// Finds out whether both fields are set, and to different values.
#[cfg(feature = "redis")]
fn set_twice<T: PartialEq>(
    (field, first): (&'static str, Option<T>),
    (of_backend, second): (&'static str, Option<T>),
    found: &mut Vec<Advice>,
) {
    if first.is_some() && second.is_some() && first != second {
        found.push(Advice::SetTwice { field, of_backend });
    }
}
