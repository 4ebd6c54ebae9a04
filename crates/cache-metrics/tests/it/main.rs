//! What is recorded of a cache, and what the board for Grafana asks for.

mod board;
mod prometheus;
