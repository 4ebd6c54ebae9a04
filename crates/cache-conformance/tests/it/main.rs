//! Tests of the suite itself.

mod faulty;
mod matrix;
#[path = "../reference/mod.rs"]
mod reference;
mod teeth;
