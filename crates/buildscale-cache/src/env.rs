//! `Cache::from_env`.

use std::env::{self, VarError};

use cache_core::{Cache, CacheConfig, Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

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
        let config = variables.override_config(config)?;
        let cache = match variables.backend()? {
            Backend::Local => local(&variables, config)?,
            Backend::Redis => return redis(&variables, config).await,
            Backend::Tiered => return tiered(&variables, config).await,
        };
        match variables.read("NAMESPACE")? {
            Some(name) => cache
                .namespace(&name)
                .map_err(|error| variables.blame("NAMESPACE", &error)),
            None => Ok(cache),
        }
    }
}

/// What the variables say of Redis, where the namespace bounds the keys in the database.
#[cfg(feature = "redis")]
fn redis_config(
    variables: &Variables<'_>,
    backend: &str,
    config: CacheConfig,
) -> Result<cache_redis::RedisConfig> {
    let Some(url) = variables.read("REDIS_URL")? else {
        let problem = format!(
            "asks for {backend}, but {} is not set",
            variables.name("REDIS_URL")
        );
        return Err(Error::invalid(variables.name("BACKEND"), problem));
    };
    let url = cache_redis::RedisConfig::from_url(&url);
    let mut settings = url
        .map_err(|error| variables.blame("REDIS_URL", &error))?
        .with_cache_config(config);
    if let Some(name) = variables.read("NAMESPACE")? {
        // Checked here, so that the error names the variable.
        cache_core::Scope::of(&[&name], "")
            .map_err(|error| variables.blame("NAMESPACE", &error))?;
        settings = settings.namespace(name);
    }
    Ok(settings)
}

#[cfg(feature = "redis")]
async fn redis<V>(variables: &Variables<'_>, config: CacheConfig) -> Result<Cache<V>>
where
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    crate::redis::connect(redis_config(variables, "redis", config)?).await
}

#[cfg(feature = "tiered")]
async fn tiered<V>(variables: &Variables<'_>, config: CacheConfig) -> Result<Cache<V>>
where
    V: Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
{
    crate::tiered::connect(redis_config(variables, "tiered", config)?, config).await
}

#[cfg(not(feature = "tiered"))]
async fn tiered<V>(variables: &Variables<'_>, _: CacheConfig) -> Result<Cache<V>> {
    Err(variables.not_built("tiered"))
}

#[cfg(not(feature = "redis"))]
async fn redis<V>(variables: &Variables<'_>, _: CacheConfig) -> Result<Cache<V>> {
    Err(variables.not_built("redis"))
}

#[cfg(feature = "local")]
fn local<V: Clone + Send + Sync + 'static>(
    _: &Variables<'_>,
    config: CacheConfig,
) -> Result<Cache<V>> {
    Ok(crate::LocalExt::new_local(config))
}

#[cfg(not(feature = "local"))]
fn local<V: Clone + Send + Sync + 'static>(
    variables: &Variables<'_>,
    _: CacheConfig,
) -> Result<Cache<V>> {
    Err(variables.not_built("local"))
}

enum Backend {
    Local,
    Redis,
    Tiered,
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
        let Some(value) = self.read(suffix)? else {
            return Ok(None);
        };
        match value.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(Error::invalid(
                self.name(suffix),
                format!("is {value:?}, expected whole seconds, such as 3600"),
            )),
        }
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

    fn backend(&self) -> Result<Backend> {
        match self.read("BACKEND")?.as_deref() {
            Some("local") => Ok(Backend::Local),
            Some("redis") => Ok(Backend::Redis),
            Some("tiered") => Ok(Backend::Tiered),
            Some(other) => Err(Error::invalid(
                self.name("BACKEND"),
                format!("is {other:?}, expected local, redis or tiered"),
            )),
            // The URL may hold a password: only its presence is looked at here.
            None if self.read("REDIS_URL")?.is_some() => Ok(Backend::Redis),
            None => Ok(Backend::Local),
        }
    }

    #[cfg(not(feature = "tiered"))]
    fn not_built(&self, feature: &str) -> Error {
        let asked = if env::var_os(self.name("BACKEND")).is_some() {
            "BACKEND"
        } else {
            "REDIS_URL"
        };
        Error::invalid(
            self.name(asked),
            format!("asks for a backend that needs the feature `{feature}`, which is not built in"),
        )
    }

    /// Says which variable an error comes from.
    fn blame(&self, suffix: &str, error: &Error) -> Error {
        Error::invalid(self.name(suffix), format!("is refused: {error}"))
    }
}
