//! `Cache::from_env`.

use std::env::{self, VarError};
#[cfg(any(feature = "local", feature = "redis"))]
use std::time::Duration;

use cache_core::{Cache, CacheConfig, Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{BackendKind, CacheSettings, SettingsExt};

/// For how long a loader that has failed is left alone, as it is without a fail-safe.
#[cfg(any(feature = "local", feature = "redis"))]
const THROTTLE: Duration = Duration::from_secs(1);

/// The prefix of the variables that [`EnvExt::from_env`] reads.
const PREFIX: &str = "BUILDSCALE_CACHE";

/// Adds [`from_env`](Self::from_env) to [`Cache`].
///
/// Values must be serializable whatever the environment says: tomorrow it may name a shared store.
pub trait EnvExt: Sized {
    /// Creates the cache that the environment asks for.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `BUILDSCALE_CACHE_BACKEND` | `local`, `redis` or `tiered`; overrides the guess |
    /// | `BUILDSCALE_CACHE_REDIS_URL` | set: Redis; unset: local |
    /// | `BUILDSCALE_CACHE_DEFAULT_TTL` | seconds, in place of `config.default_ttl_seconds` |
    /// | `BUILDSCALE_CACHE_CLEANUP_INTERVAL` | seconds, in place of `config.cleanup_interval_seconds` |
    /// | `BUILDSCALE_CACHE_NAMESPACE` | the namespace of all keys |
    /// | `BUILDSCALE_CACHE_MAX_ENTRIES` | how many entries are in memory at most; 100,000 for `tiered`, else no bound |
    /// | `BUILDSCALE_CACHE_STALENESS_BOUND` | a duration such as `500ms`: how stale memory may be with `tiered`, 1 s |
    /// | `BUILDSCALE_CACHE_KEEP_STALE` | a duration: for how long [copies](crate::CacheBuilder::keep_stale) of loaded values are kept after their end |
    /// | `BUILDSCALE_CACHE_STALE_WHILE_REVALIDATE` | a duration: [`LoadOptions::stale_while_revalidate`](crate::LoadOptions::stale_while_revalidate) |
    /// | `BUILDSCALE_CACHE_FAIL_SAFE` | a duration: the `max_stale` of [`LoadOptions::fail_safe`](crate::LoadOptions::fail_safe), with a throttle of 1 s |
    /// | `BUILDSCALE_CACHE_HARD_TIMEOUT` | a duration: [`LoadOptions::hard_timeout`](crate::LoadOptions::hard_timeout) |
    ///
    /// Everything else is said in [`CacheSettings`], of which this is the short form.
    ///
    /// ```
    /// use buildscale_cache::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
    /// # #[cfg(feature = "local")] {
    /// let cache: Cache<String> = Cache::from_env(CacheConfig::default()).await?;
    /// cache.set("user:123", "Alice").await?;
    /// # }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the variable, for a value that
    /// cannot be understood and for a backend that this build does not have. Never a silent
    /// default.
    fn from_env(config: CacheConfig) -> impl Future<Output = Result<Self>> + Send {
        Self::from_env_with_prefix(PREFIX, config)
    }

    /// Creates the cache that variables with another prefix ask for: `prefix` replaces
    /// `BUILDSCALE_CACHE` in their names.
    ///
    /// # Errors
    /// As of [`from_env`](Self::from_env).
    fn from_env_with_prefix(
        prefix: &str,
        config: CacheConfig,
    ) -> impl Future<Output = Result<Self>> + Send;
}

impl<V> EnvExt for Cache<V>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn from_env_with_prefix(prefix: &str, config: CacheConfig) -> Result<Self> {
        let variables = Variables { prefix };
        let settings = variables.settings(config)?;
        let cache = Self::from_settings(settings).await;
        cache.map_err(|error| variables.blame(error))
    }
}

/// The environment variables that share a prefix.
struct Variables<'a> {
    prefix: &'a str,
}

impl Variables<'_> {
    fn name(&self, suffix: &str) -> String {
        format!("{}_{suffix}", self.prefix)
    }

    /// Returns the value of a variable, or `None` if it is not set. Empty is set.
    fn read(&self, suffix: &str) -> Result<Option<String>> {
        match env::var(self.name(suffix)) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(Error::invalid(self.name(suffix), "is not UTF-8")),
        }
    }

    fn seconds(&self, suffix: &str) -> Result<Option<u64>> {
        self.number(suffix, "whole seconds, such as 3600")
    }

    fn number(&self, suffix: &str, expected: &str) -> Result<Option<u64>> {
        let Some(value) = self.read(suffix)? else {
            return Ok(None);
        };
        match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.refused(suffix, &value, expected)),
        }
    }

    /// Says what a variable should be, and what it is unless that may be a URL with a password.
    fn refused(&self, suffix: &str, value: &str, expected: &str) -> Error {
        let problem = if value.contains([':', '@']) {
            format!("is something else than expected: {expected}")
        } else {
            format!("is {value:?}, expected {expected}")
        };
        Error::invalid(self.name(suffix), problem)
    }

    fn override_config(&self, mut config: CacheConfig) -> Result<CacheConfig> {
        if let Some(ttl) = self.seconds("DEFAULT_TTL")? {
            if ttl == 0 {
                return Err(Error::invalid(
                    self.name("DEFAULT_TTL"),
                    "is 0, the least is 1",
                ));
            }
            config.default_ttl_seconds = Some(ttl);
        }
        if let Some(interval) = self.seconds("CLEANUP_INTERVAL")? {
            config.cleanup_interval_seconds = interval;
        }
        Ok(config)
    }

    /// Returns what the variables say, and `config` of what they do not.
    fn settings(&self, config: CacheConfig) -> Result<CacheSettings> {
        let mut settings = CacheSettings::from(self.override_config(config)?);
        let backend = self.backend()?;
        let built = backend.check_built();
        built.map_err(|error| self.blame(error))?;
        settings.backend = Some(backend);
        #[cfg(feature = "redis")]
        if backend != BackendKind::Local {
            settings.redis = Some(self.redis(backend)?);
        }
        settings.namespace = self.read("NAMESPACE")?;
        #[cfg(feature = "local")]
        {
            settings.local.max_entries = self.number("MAX_ENTRIES", "a whole number")?;
        }
        #[cfg(feature = "tiered")]
        {
            settings.bus.bound = self.duration("STALENESS_BOUND")?;
        }
        #[cfg(any(feature = "local", feature = "redis"))]
        {
            settings.keep_stale = self.duration("KEEP_STALE")?;
            settings.loading = self.loading()?;
        }
        Ok(settings)
    }

    #[cfg(any(feature = "local", feature = "redis"))]
    fn loading(&self) -> Result<crate::LoadOptions> {
        let mut options = crate::LoadOptions::new();
        if let Some(at_most) = self.duration("STALE_WHILE_REVALIDATE")? {
            options = options.stale_while_revalidate(at_most);
        }
        if let Some(max_stale) = self.duration("FAIL_SAFE")? {
            options = options.fail_safe(max_stale, THROTTLE);
        }
        if let Some(limit) = self.duration("HARD_TIMEOUT")? {
            options = options.hard_timeout(limit);
        }
        Ok(options)
    }

    fn backend(&self) -> Result<BackendKind> {
        match self.read("BACKEND")?.as_deref() {
            Some("local") => Ok(BackendKind::Local),
            Some("redis") => Ok(BackendKind::Redis),
            Some("tiered") => Ok(BackendKind::Tiered),
            Some(other) => Err(self.refused("BACKEND", other, "local, redis or tiered")),
            // The URL may hold a password: only its presence is looked at here.
            None if self.read("REDIS_URL")?.is_some() => Ok(BackendKind::Redis),
            None => Ok(BackendKind::Local),
        }
    }

    #[cfg(feature = "redis")]
    fn redis(&self, backend: BackendKind) -> Result<crate::RedisConfig> {
        let Some(url) = self.read("REDIS_URL")? else {
            let (backend, url) = (backend.name(), self.name("REDIS_URL"));
            let problem = format!("asks for {backend}, but {url} is not set");
            return Err(Error::invalid(self.name("BACKEND"), problem));
        };
        let config = crate::RedisConfig::from_url(&url);
        config.map_err(|error| self.blame(error))
    }

    #[cfg(any(feature = "local", feature = "redis"))]
    fn duration(&self, suffix: &str) -> Result<Option<Duration>> {
        use cache_settings::{DURATION_FORMS, parse_duration};

        let Some(value) = self.read(suffix)? else {
            return Ok(None);
        };
        let refused = || self.refused(suffix, &value, DURATION_FORMS);
        parse_duration(&value).map(Some).ok_or_else(refused)
    }

    /// Says which variable an error comes from, if it is about a setting that one has set.
    fn blame(&self, error: Error) -> Error {
        let ErrorKind::InvalidInput { field, problem } = error.kind() else {
            return error;
        };
        let suffix = match &**field {
            "url" => "REDIS_URL",
            "namespace" => "NAMESPACE",
            "max_entries" => "MAX_ENTRIES",
            "bus.bound" => "STALENESS_BOUND",
            "loading.stale_while_revalidate" => "STALE_WHILE_REVALIDATE",
            "loading.fail_safe" => "FAIL_SAFE",
            // It may come from the configuration in the code.
            "default_ttl" if env::var_os(self.name("DEFAULT_TTL")).is_some() => "DEFAULT_TTL",
            "backend" => {
                let is_named = env::var_os(self.name("BACKEND")).is_some();
                let suffix = if is_named { "BACKEND" } else { "REDIS_URL" };
                return Error::invalid(self.name(suffix), problem.clone());
            }
            _ => return error,
        };
        Error::invalid(self.name(suffix), format!("is refused: {error}"))
    }
}
