//! What most programs import: `use buildscale_cache::prelude::*;`.

#[cfg(feature = "local")]
pub use crate::LocalExt;
#[cfg(feature = "redis")]
pub use crate::RedisExt;
pub use crate::{Cache, CacheConfig, EnvExt, Error, Expiry, SetOptions, Ttl};
