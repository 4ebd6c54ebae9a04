//! First programs with Buildscale Cache. They are examples of this package, beside its manifest:
//!
//! | program | what it shows |
//! |---|---|
//! | `cargo run --example quickstart` | the shortest useful program |
//! | `cargo run --example 04_cache_management` | the whole API in ten sections, on any backend |
//! | `cargo run --features redis --example redis_sessions` | sessions that live as long as they are used |
//! | `cargo run --features tiered --example tiered_processes` | two processes, one of which sees what the other writes |
