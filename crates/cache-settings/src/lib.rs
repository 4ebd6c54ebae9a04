//! What the configurations of Buildscale Cache are read with, from files and variables.
//!
//! The backends of Buildscale Cache read theirs so, and another one can too: a private type that
//! derives `Deserialize`, with fields of the types here, is read with `read` and turned into the
//! configuration.
//!
//! ```
//! # #[cfg(feature = "serde")] {
//! use std::time::Duration;
//!
//! use cache_settings::HumanDuration;
//! use serde::de::{Deserialize, Deserializer};
//!
//! #[derive(Debug, Default)]
//! struct DiskConfig {
//!     flush_interval: Duration,
//! }
//!
//! impl<'de> Deserialize<'de> for DiskConfig {
//!     fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
//!         #[derive(serde::Deserialize)]
//!         struct Table {
//!             flush_interval: Option<HumanDuration>,
//!         }
//!         let table: Table = cache_settings::read(deserializer)?;
//!         let mut config = Self::default();
//!         cache_settings::put(&mut config.flush_interval, table.flush_interval);
//!         Ok(config)
//!     }
//! }
//!
//! let config: DiskConfig = serde_json::from_str(r#"{"flush_interval": "1m 30s"}"#)?;
//! assert_eq!(config.flush_interval, Duration::from_secs(90));
//!
//! let refused = serde_json::from_str::<DiskConfig>(r#"{"flush_intervall": "90s"}"#);
//! let hint = "unknown field `flush_intervall`, did you mean `flush_interval`?";
//! assert!(refused.unwrap_err().to_string().starts_with(hint));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | you want to | look at |
//! |---|---|
//! | read a table, of which every field must be known | `read`, `put` |
//! | read a duration such as `1h 30m` | [`parse_duration`], `HumanDuration`, `duration` |
//! | read a size such as `64MiB` | `HumanSize` |
//! | read a password | `Secret` |
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `serde` | all but [`parse_duration`], [`DURATION_FORMS`] |
//!
//! It only adds items.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod duration;
#[cfg(feature = "serde")]
mod secret;
#[cfg(feature = "serde")]
mod size;
#[cfg(feature = "serde")]
mod table;

pub use self::duration::{DURATION_FORMS, parse_duration};
#[cfg(feature = "serde")]
pub use self::duration::{HumanDuration, duration};
#[cfg(feature = "serde")]
pub use self::secret::{NotText, Secret};
#[cfg(feature = "serde")]
pub use self::size::HumanSize;
#[cfg(feature = "serde")]
pub use self::table::{put, read};
