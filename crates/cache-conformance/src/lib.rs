//! The conformance suite for backends of Buildscale Cache: one named test per clause.
//!
//! The contract of a backend is a list of numbered clauses in the documentation of
//! [`CacheBackend`](cache_core::CacheBackend). Whoever writes a backend adds this crate to the
//! dev-dependencies (nothing else is needed, not even a runtime), says how to build the backend,
//! and makes one macro call:
//!
//! ```
//! use std::time::Duration;
//!
//! use cache_conformance::Fixture;
//! use cache_core::{Clock, ManualClock};
//! use cache_local::{LocalBackend, LocalConfig}; // in the place of your backend
//!
//! struct MyFixture {
//!     clock: Clock,
//!     hand: ManualClock,
//! }
//!
//! impl Fixture for MyFixture {
//!     type Value = String;
//!     type Backend = LocalBackend<String>;
//!
//!     async fn fresh(&self) -> LocalBackend<String> {
//!         let config = LocalConfig::new().clock(self.clock.clone());
//!         LocalBackend::new(config).expect("the options are valid")
//!     }
//!
//!     async fn advance(&self, by: Duration) {
//!         self.hand.advance(by);
//!     }
//!
//!     fn granularity(&self) -> Duration {
//!         Duration::ZERO
//!     }
//! }
//!
//! fn my_fixture() -> MyFixture {
//!     let (clock, hand) = Clock::manual();
//!     MyFixture { clock, hand }
//! }
//!
//! cache_conformance::conformance_tests!(my_backend, my_fixture());
//! # fn main() {} // tests stand outside of functions
//! ```
//!
//! Then `cargo test` runs tests such as
//! `my_backend::writes::c06_if_absent_leaves_an_existing_entry_as_it_is`. A name starts with
//! its clause; a failure says which promise was broken and for which key.
//!
//! # What is run
//!
//! The clauses run on the backend and again on its erased form; the facade
//! [`Cache`](cache_core::Cache) is tested over it; random operations are compared with a model
//! ([`model`]), and recorded histories are checked for linearizability ([`linearizability`]).
//!
//! # What is skipped
//!
//! A test that needs an ability which the backend or its fixture lacks prints
//! `skipped: <test>: <reason>`, and the test `capabilities` prints what the backend can do and
//! which clauses were skipped, as a row of a markdown table; see [`Matrix`].
//!
//! # Real time
//!
//! A backend without a manual clock sleeps in [`Fixture::advance`] and tells in
//! [`Fixture::granularity`] how exact its expiry is. What cannot be seen at that precision is
//! not asserted.
//!
//! # Faults
//!
//! [`FaultyBackend`] wraps any backend and fails, delays, hangs or loses replies on demand, for
//! tests of what stands on top of a backend.
//!
//! # Versions
//!
//! New clauses, new tests of old clauses and new abilities of fixtures come in minor releases: an
//! update may show a mistake that was there before. What a fixture must provide changes in
//! major releases alone.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod derived;
mod faulty;
mod fixture;
pub mod linearizability;
mod macros;
mod matrix;
pub mod model;
mod private;
mod probe;
mod random;
pub mod suite;
mod value;

#[doc(hidden)]
pub mod __private {
    pub use crate::private::{Verdict, print_matrix, run, some_seeds_agree};
}

pub use self::faulty::{Fault, FaultyBackend};
pub use self::fixture::{Erased, Fixture, Skipped};
pub use self::matrix::Matrix;
pub use self::value::TestValue;
