//! Compiles the code in the README and in `docs/`.
