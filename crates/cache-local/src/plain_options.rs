//! The options that a file can hold.

use std::time::Duration;

use crate::LocalConfig;
use crate::config::{CLEANUP_INTERVAL, MAX_COUNTERS};

/// The options of a [`LocalConfig`] that are plain values, for any type of values.
///
/// With the feature `serde` they can be read from a file, and so can a [`LocalConfig`]: a weigher, a
/// listener and a clock are added to it afterwards.
///
/// ```
/// use std::time::Duration;
///
/// use cache_local::{LocalConfig, LocalOptions};
///
/// let mut options = LocalOptions::default();
/// options.max_entries = Some(10_000);
/// options.cleanup_interval = Duration::from_secs(300);
/// let config: LocalConfig<String> = options.into();
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LocalOptions {
    /// [`LocalConfig::max_entries`]; without it there is no bound.
    pub max_entries: Option<u64>,
    /// [`LocalConfig::cleanup_interval`]: 60 s; zero runs none.
    pub cleanup_interval: Duration,
    /// [`LocalConfig::shards`]; without it four for each core, or fewer in a small cache.
    pub shards: Option<usize>,
    /// [`LocalConfig::max_counters`]: 1,000,000.
    pub max_counters: u64,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            max_entries: None,
            cleanup_interval: CLEANUP_INTERVAL,
            shards: None,
            max_counters: MAX_COUNTERS,
        }
    }
}

impl<V> From<LocalOptions> for LocalConfig<V> {
    fn from(options: LocalOptions) -> Self {
        let mut config = Self::new()
            .cleanup_interval(options.cleanup_interval)
            .max_counters(options.max_counters);
        if let Some(limit) = options.max_entries {
            config = config.max_entries(limit);
        }
        if let Some(shards) = options.shards {
            config = config.shards(shards);
        }
        config
    }
}

#[cfg(feature = "serde")]
mod deserialize {
    use cache_settings::{HumanDuration, put, read};
    use serde::de::Error;
    use serde::{Deserialize, Deserializer};

    use super::LocalOptions;
    use crate::LocalConfig;

    #[derive(Deserialize)]
    struct Table {
        max_entries: Option<u64>,
        cleanup_interval: Option<HumanDuration>,
        shards: Option<usize>,
        max_counters: Option<u64>,
    }

    impl<'de> Deserialize<'de> for LocalOptions {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let table: Table = read(deserializer)?;
            let mut options = Self {
                max_entries: table.max_entries,
                shards: table.shards,
                ..Self::default()
            };
            put(&mut options.cleanup_interval, table.cleanup_interval);
            options.max_counters = table.max_counters.unwrap_or(options.max_counters);
            let config = LocalConfig::<()>::from(options.clone());
            config.checked_limits().map_err(D::Error::custom)?;
            Ok(options)
        }
    }

    impl<'de, V> Deserialize<'de> for LocalConfig<V> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            LocalOptions::deserialize(deserializer).map(Into::into)
        }
    }
}
