//! Tests that compile and run the code in the README and in `docs/`.

/// The README, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
pub struct Readme;

/// The guide to the backends, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/backends.md")]
pub struct Backends;

/// The guide to a backend, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/custom_backend.md")]
pub struct CustomBackend;

/// The guide to Redis, whose code is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/redis.md")]
pub struct Redis;

/// The guide to configuration, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/configuration.md")]
pub struct Configuration;

/// What two tiers promise, whose code is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/consistency.md")]
pub struct Consistency;

/// The guide to loading, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/loading.md")]
pub struct Loading;

/// The guide to locks, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/locks.md")]
pub struct Locks;
/// The guide to counters, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/counters.md")]
pub struct Counters;

/// The guide to invalidation, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/invalidation.md")]
pub struct Invalidation;

/// The first steps, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/getting_started.md")]
pub struct GettingStarted;

/// The way to a fleet, whose code is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/migration.md")]
pub struct Migration;

/// Symptoms and what to do, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/troubleshooting.md")]
pub struct Troubleshooting;

/// The guide to operations, whose code runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/operations.md")]
pub struct Operations;
