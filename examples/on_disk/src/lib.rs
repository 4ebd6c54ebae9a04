//! A backend of your own, for a cache that outlives its process.

pub mod redb_backend;
