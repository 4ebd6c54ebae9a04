//! What most programs import: `use buildscale_cache::prelude::*;`.

#[cfg(feature = "local")]
pub use crate::LocalExt;
pub use crate::{Cache, CacheConfig, EnvExt, Error, Expiry, SetOptions, Ttl};
