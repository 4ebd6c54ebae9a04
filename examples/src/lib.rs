//! Compiles the code in the README and in `docs/`, and holds the backend of the tutorial.

pub mod redb_backend;
