//! The tests, by theme. Each is an `async fn` that panics where a backend breaks the contract.
//!
//! [`conformance_tests!`](crate::conformance_tests) runs them all. To run one by hand, on any
//! runtime, await it with a fixture; those of [`concurrency`], [`histories`], [`capacity`],
//! [`commits`], [`counters`], [`leases`], [`locks`], [`tickets`], [`transactions`] and [`versions`] spawn tasks and
//! so need a multi-threaded tokio runtime. A test that lacks an ability of the fixture returns
//! [`Skipped`](crate::Skipped).
#![expect(
    clippy::missing_errors_doc,
    reason = "the error of a test is always that it was skipped"
)]
#![expect(
    clippy::missing_panics_doc,
    reason = "a test panics where it fails, and says so in its promise"
)]

pub mod at_once;
pub mod bulk;
pub mod cancellation;
pub mod capacity;
pub mod commits;
pub mod concurrency;
pub mod counters;
pub mod expired;
pub mod expiry;
pub mod facade;
pub mod histories;
pub mod invalidated;
pub mod keyspace;
pub mod leases;
pub mod locks;
pub mod privacy;
pub mod tags;
pub mod tickets;
pub mod transactions;
pub mod values;
pub mod versions;
pub mod writes;
