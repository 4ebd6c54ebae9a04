//! The options that a file can hold.

use cache_settings::{HumanDuration, put, read};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{OnBusLoss, OnL2Error, TieredConfig, WritePolicy};

#[derive(Deserialize)]
struct Table {
    l1_ttl: Option<HumanDuration>,
    on_bus_loss: Option<OnBusLoss>,
    on_l2_error: Option<OnL2Error>,
    write_policy: Option<WritePolicy>,
    recovery_capacity: Option<usize>,
}

impl<'de> Deserialize<'de> for TieredConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table: Table = read(deserializer)?;
        let mut config = Self::default();
        put(&mut config.l1_ttl, table.l1_ttl);
        put(&mut config.on_bus_loss, table.on_bus_loss);
        put(&mut config.on_l2_error, table.on_l2_error);
        put(&mut config.write_policy, table.write_policy);
        put(&mut config.recovery_capacity, table.recovery_capacity);
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}
