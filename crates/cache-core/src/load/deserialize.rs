//! The options that a file can hold.

use std::time::Duration;

use cache_settings::{HumanDuration, read};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::LoadOptions;
use super::load_options::FailSafe;
use crate::Ttl;

#[derive(Deserialize)]
struct Table {
    ttl: Option<HumanDuration>,
    ttl_jitter: Option<f64>,
    stale_while_revalidate: Option<HumanDuration>,
    fail_safe: Option<FailSafe>,
    refresh_ahead: Option<f64>,
    early_refresh: Option<f64>,
    soft_timeout: Option<HumanDuration>,
    hard_timeout: Option<HumanDuration>,
    absent_ttl: Option<HumanDuration>,
    fail_on_outage: Option<bool>,
    lease_ttl: Option<HumanDuration>,
    allow_tags: Option<bool>,
}

impl<'de> Deserialize<'de> for LoadOptions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table: Table = read(deserializer)?;
        let time = |read: Option<HumanDuration>| read.map(Duration::from);
        let options = Self {
            ttl: time(table.ttl).map(Ttl::from),
            ttl_jitter: table.ttl_jitter,
            stale_while_revalidate: time(table.stale_while_revalidate),
            fail_safe: table.fail_safe,
            refresh_ahead: table.refresh_ahead,
            early_refresh: table.early_refresh,
            soft_timeout: time(table.soft_timeout),
            hard_timeout: time(table.hard_timeout),
            absent_ttl: time(table.absent_ttl),
            fail_on_outage: table.fail_on_outage,
            lease_ttl: time(table.lease_ttl),
            allow_tags: table.allow_tags,
        };
        // How long values are kept is said elsewhere.
        let checked = options.check(Some(Duration::MAX));
        checked.map_err(D::Error::custom)?;
        Ok(options)
    }
}

impl<'de> Deserialize<'de> for FailSafe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Table {
            max_stale: HumanDuration,
            throttle: HumanDuration,
        }

        let table: Table = read(deserializer)?;
        Ok(Self {
            max_stale: table.max_stale.into(),
            throttle: table.throttle.into(),
        })
    }
}
