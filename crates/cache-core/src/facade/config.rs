//! The configuration that every constructor takes.

use std::time::Duration;

/// What every cache is configured with, whatever its backend.
///
/// It has these two fields and will keep exactly these two, so that it can be written as
/// a literal. Options of one backend live in that backend's own configuration.
///
/// ```
/// use cache_core::CacheConfig;
///
/// let config = CacheConfig { cleanup_interval_seconds: 60, default_ttl_seconds: Some(3600) };
/// assert_eq!(CacheConfig::default().default_ttl_seconds, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "users write it as a literal")]
pub struct CacheConfig {
    /// Seconds between two turns of the background thread that frees expired entries; 0: it never does.
    /// Expired entries are absent at once, whenever they are freed.
    pub cleanup_interval_seconds: u64,
    /// Seconds that an entry lives when its write names no time to live; `None` is for ever.
    pub default_ttl_seconds: Option<u64>,
}

impl CacheConfig {
    /// Returns the default time to live as a duration.
    #[must_use]
    pub fn default_ttl(&self) -> Option<Duration> {
        self.default_ttl_seconds.map(Duration::from_secs)
    }

    /// Returns the interval of the background thread, or `None` if it frees nothing.
    #[must_use]
    pub fn cleanup_interval(&self) -> Option<Duration> {
        (self.cleanup_interval_seconds > 0)
            .then(|| Duration::from_secs(self.cleanup_interval_seconds))
    }
}

impl Default for CacheConfig {
    /// Cleanup every 60 seconds, no default time to live.
    fn default() -> Self {
        Self {
            cleanup_interval_seconds: 60,
            default_ttl_seconds: None,
        }
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for CacheConfig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use cache_settings::{put, read};

        #[derive(serde::Deserialize)]
        struct Table {
            cleanup_interval_seconds: Option<u64>,
            default_ttl_seconds: Option<u64>,
        }

        let table: Table = read(deserializer)?;
        let mut config = Self {
            default_ttl_seconds: table.default_ttl_seconds,
            ..Self::default()
        };
        put(
            &mut config.cleanup_interval_seconds,
            table.cleanup_interval_seconds,
        );
        Ok(config)
    }
}
