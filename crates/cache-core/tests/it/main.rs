//! The facade, the codecs and the envelope, over an in-memory store.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compressed;
mod encoded;
mod errors;
mod golden;
mod hostile;
mod input;
mod limits;
mod load;
mod locks;
mod lossy;
#[cfg(all(feature = "json", feature = "msgpack"))]
mod plain;
mod reads;
mod sealed;
#[cfg(feature = "serde")]
mod settings;
mod spawned;
mod timerless;
mod update;
