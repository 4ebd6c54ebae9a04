//! The in-process backend of Buildscale Cache: a bounded, expiring, typed concurrent map.
//!
//! [`LocalBackend`] keeps values as they are, so a hit decodes nothing, and answers every read
//! without waiting. See its documentation for expiry and eviction, and [`LocalConfig`] for what
//! can be set. With the feature `serde` its options can be read from a file.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backend;
mod budget;
mod config;
mod counters;
mod entry;
mod locks;
mod plain_options;
mod policy;
mod removal;
mod rows;
mod shard;
mod shards;
mod store;
mod sweeper;
mod sync;
mod tags;
mod timers;

pub use self::backend::LocalBackend;
pub use self::config::LocalConfig;
pub use self::plain_options::LocalOptions;
pub use self::removal::{Removal, RemovalCause};
