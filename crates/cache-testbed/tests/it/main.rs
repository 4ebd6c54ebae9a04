//! The testbed itself: what it starts is there, and what it breaks is broken.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod proxy;
mod sentinel;
mod server;
mod tls;
