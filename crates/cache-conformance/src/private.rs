//! What the expansion of the macro calls.

use std::io::{Write, stderr};

use futures_util::future::join_all;
use tokio::runtime::Builder;

use crate::model::agrees_with_the_model;
use crate::{Fixture, Matrix, Skipped};

/// What a test of the suite returns: nothing, or that it was skipped.
pub trait Verdict {
    /// Returns why the test was skipped, if it was.
    fn skipped(self) -> Option<Skipped>;
}

impl Verdict for () {
    fn skipped(self) -> Option<Skipped> {
        None
    }
}

impl Verdict for Result<(), Skipped> {
    fn skipped(self) -> Option<Skipped> {
        self.err()
    }
}

/// Runs one test on a runtime of its own, with several threads even on one core.
pub fn run<T: Verdict>(name: &str, test: impl Future<Output = T>) {
    if let Some(skipped) = block_on(test).skipped() {
        say(&format!("skipped: {name}: {skipped}"));
    }
}

/// Runs the model test with some seeds, each on a fixture of its own: several short runs reach more states than a
/// long one. Side by side, as each waits for a server most of the time.
pub async fn some_seeds_agree<F: Fixture>(fixture: impl Fn() -> F + Send + Sync) {
    let run = |seed| {
        let fixture = fixture();
        async move { agrees_with_the_model(&fixture, seed, 500).await }
    };
    join_all((0..4).map(run)).await;
}

/// Prints the row of the capability matrix for a fixture.
pub fn print_matrix(name: &str, fixture: &impl Fixture) {
    say(&block_on(Matrix::of(name, fixture)).to_string());
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("the system has four threads to give")
        .block_on(test)
}

/// Writes past the capture of the test harness, which would hide the line of a passing test.
fn say(line: &str) {
    // A closed standard error must not fail a test.
    let _ = writeln!(stderr(), "{line}");
}
