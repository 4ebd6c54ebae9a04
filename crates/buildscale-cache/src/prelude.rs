//! What most programs import: `use buildscale_cache::prelude::*;`.

#[cfg(feature = "local")]
pub use crate::LocalExt;
#[cfg(feature = "redis")]
pub use crate::RedisExt;
#[cfg(feature = "tiered")]
pub use crate::TieredExt;
pub use crate::{
    Cache, CacheConfig, CacheSettings, EnvExt, Error, Expiry, LoadError, LoadOptions, Loaded,
    SetOptions, SettingsExt, Ttl, Window,
};
