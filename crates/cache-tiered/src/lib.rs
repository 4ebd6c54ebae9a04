//! Two tiers as one backend: memory in front of a shared store, never stale beyond a bound.
//!
//! | you want to | look at |
//! |---|---|
//! | put a cache in memory in front of a shared one | [`TieredBackend`], [`TieredConfig`] |
//! | know what is promised, and under which faults | `docs/consistency.md` in the repository |
//! | keep several caches of one process together | [`MemoryBus`] |
//! | put a third tier in front, such as memory before a disk before a shared store | [`TieredBackend::relay`] |
//! | invalidate from a program that does not cache | [`Invalidator`] |
//!
//! The crate knows no backend: any two that keep the contract can be joined, a tiered one
//! included. What tells it that the store has changed is an
//! [`InvalidationBus`](cache_core::InvalidationBus); those of Redis are in `cache-redis`.
//!
//! It needs a Tokio runtime.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod config;
mod fence;
mod invalidator;
mod memory_bus;
mod promoted;
mod recovery;
mod relay;
mod stats;

pub use self::backend::TieredBackend;
pub use self::config::{OnBusLoss, OnL2Error, TieredConfig, WritePolicy};
pub use self::invalidator::Invalidator;
pub use self::memory_bus::MemoryBus;
pub use self::promoted::Promoted;
pub use self::relay::RelayBus;
