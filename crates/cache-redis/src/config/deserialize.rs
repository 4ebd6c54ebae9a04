//! The configuration that a file can hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cache_core::{Error, Result};
use cache_settings::{HumanDuration, HumanSize, Secret, put, read};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::{Protocol, Reconnect, RedisConfig, Tls};

#[derive(Deserialize)]
struct Table {
    url: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    database: Option<u8>,
    tls: Option<Tls>,
    protocol: Option<Protocol>,
    client_name: Option<String>,
    namespace: Option<String>,
    #[serde(default)]
    bare_keys: bool,
    hash_tags: Option<bool>,
    max_key_bytes: Option<HumanSize>,
    max_value_bytes: Option<HumanSize>,
    command_timeout: Option<HumanDuration>,
    connect_timeout: Option<HumanDuration>,
    reconnect_delays: Option<(HumanDuration, HumanDuration)>,
    probe_interval: Option<HumanDuration>,
    pool_size: Option<usize>,
    queue_limit: Option<usize>,
    #[cfg(feature = "replicas")]
    read_from_replicas: Option<bool>,
    connect_lazily: Option<bool>,
}

impl<'de> Deserialize<'de> for RedisConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table: Table = read(deserializer)?;
        table.into_config().map_err(D::Error::custom)
    }
}

impl Table {
    fn into_config(mut self) -> Result<RedisConfig> {
        let mut config = match self.url.take() {
            Some(url) => RedisConfig::from_url(&reveal(url, "url")?)?,
            None => RedisConfig::default(),
        };
        if let Some(password) = self.password.take() {
            config = config.password(reveal(password, "password")?);
        }
        if let Some(tls) = self.tls.take() {
            config = config.tls(tls);
        }
        self.put_namespace(&mut config)?;
        self.put_times(&mut config);
        put(&mut config.username, self.username);
        put(&mut config.database, self.database);
        put(&mut config.protocol, self.protocol);
        put(&mut config.client_name, self.client_name);
        put(&mut config.hash_tags, self.hash_tags);
        put(&mut config.max_key_bytes, self.max_key_bytes);
        put(&mut config.max_value_bytes, self.max_value_bytes);
        put(&mut config.pool_size, self.pool_size);
        put(&mut config.queue_limit, self.queue_limit);
        #[cfg(feature = "replicas")]
        put(&mut config.read_from_replicas, self.read_from_replicas);
        put(&mut config.connect_lazily, self.connect_lazily);
        config.check()?;
        Ok(config)
    }

    fn put_namespace(&mut self, config: &mut RedisConfig) -> Result<()> {
        match (self.namespace.take(), self.bare_keys) {
            (Some(_), true) => Err(Error::invalid("bare_keys", "contradict a namespace")),
            (None, true) => {
                config.namespace = None;
                Ok(())
            }
            (name, false) => {
                put(&mut config.namespace, name);
                Ok(())
            }
        }
    }

    fn put_times(&self, config: &mut RedisConfig) {
        put(&mut config.command_timeout, self.command_timeout);
        put(&mut config.connect_timeout, self.connect_timeout);
        put(&mut config.probe_interval, self.probe_interval);
        put(&mut config.reconnect, self.reconnect_delays);
    }
}

fn reveal(secret: Secret, field: &'static str) -> Result<String> {
    let revealed = secret.reveal(field);
    revealed.map_err(|error| Error::invalid(error.field(), error.problem()))
}

impl From<(HumanDuration, HumanDuration)> for Reconnect {
    fn from((shortest, longest): (HumanDuration, HumanDuration)) -> Self {
        let (shortest, longest): (Duration, Duration) = (shortest.into(), longest.into());
        Self { shortest, longest }
    }
}

/// The names of the files are those of `redis.conf`.
#[derive(Deserialize)]
struct Files {
    ca_cert_file: Option<PathBuf>,
    cert_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for Tls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let files: Files = read(deserializer)?;
        files.into_tls().map_err(D::Error::custom)
    }
}

impl Files {
    fn into_tls(self) -> Result<Tls> {
        let mut tls = Tls::new();
        if let Some(path) = &self.ca_cert_file {
            tls = tls.trust_only(pem("ca_cert_file", path)?);
        }
        let missing = |field: &'static str| {
            Error::invalid(field, "is missing: cert_file and key_file come together")
        };
        match (&self.cert_file, &self.key_file) {
            (None, None) => Ok(tls),
            (Some(_), None) => Err(missing("key_file")),
            (None, Some(_)) => Err(missing("cert_file")),
            (Some(cert), Some(key)) => {
                let (cert, key) = (pem("cert_file", cert)?, pem("key_file", key)?);
                Ok(tls.client_certificate(cert, key))
            }
        }
    }
}

fn pem(field: &'static str, path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| {
        let problem = format!("is {}, which cannot be read: {error}", path.display());
        Error::invalid(field, problem)
    })
}
