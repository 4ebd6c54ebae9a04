//! The capability matrix: which clauses a backend was checked for.

use std::fmt;

use cache_core::{CacheBackend, Capabilities};

use crate::{Fixture, Skipped};

/// What a backend can do and which clauses were skipped for it: a row of a markdown table.
///
/// The macro prints it in a test named `capabilities`; documentation can copy the row.
///
/// ```text
/// | backend | scan | shared | bounded | expiry exact to | skipped |
/// |---|---|---|---|---|---|
/// | redis | yes | yes | no | 20ms | C26: the fixture builds no bounded backend |
/// ```
#[derive(Debug, Clone)]
pub struct Matrix {
    name: String,
    capabilities: Capabilities,
    exact_to: String,
    skipped: Vec<(&'static str, Skipped)>,
}

impl Matrix {
    /// The head of the table.
    pub const HEADER: &str = "| backend | scan | shared | bounded | expiry exact to | skipped |\n\
                              |---|---|---|---|---|---|";

    /// Asks a fixture and its backend what they can do.
    #[must_use]
    pub async fn of(name: &str, fixture: &impl Fixture) -> Self {
        let backend = fixture.fresh().await;
        let mut capabilities = backend.capabilities();
        let bounded = fixture.bounded(1).await;
        capabilities.bounded |= bounded
            .as_ref()
            .is_some_and(|backend| backend.capabilities().bounded);
        let granularity = fixture.granularity();
        let checks = [
            (capabilities.scan, "C19-C21", Skipped::SCAN),
            (bounded.is_some(), "C26", Skipped::BOUND),
            (
                fixture.oversized().await.is_some(),
                "C27",
                Skipped::OVERSIZED,
            ),
            (
                backend.abilities().leases.is_some(),
                "C29-C31",
                Skipped::LEASES,
            ),
            (backend.abilities().tags.is_some(), "C32-C35", Skipped::TAGS),
            (
                backend.abilities().transactions.is_some(),
                "C36-C37",
                Skipped::TRANSACTIONS,
            ),
            (
                backend.abilities().counters.is_some(),
                "C44-C49",
                Skipped::COUNTERS,
            ),
            (
                granularity.is_zero(),
                "C12 and C14 in part",
                Skipped::EXACT_TIME,
            ),
        ];
        Self {
            name: name.to_owned(),
            capabilities,
            exact_to: if granularity.is_zero() {
                "1ms".to_owned()
            } else {
                format!("{granularity:?}")
            },
            skipped: checks
                .into_iter()
                .filter(|(able, ..)| !able)
                .map(|(_, clauses, skipped)| (clauses, skipped))
                .collect(),
        }
    }

    /// Returns the clauses that are skipped, each with the reason.
    pub fn skipped(&self) -> &[(&'static str, Skipped)] {
        &self.skipped
    }
}

impl fmt::Display for Matrix {
    /// Writes the row, without the head.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |yes| if yes { "yes" } else { "no" };
        let skipped: Vec<String> = self
            .skipped
            .iter()
            .map(|(clauses, skipped)| format!("{clauses}: {skipped}"))
            .collect();
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} |",
            self.name,
            word(self.capabilities.scan),
            word(self.capabilities.shared),
            word(self.capabilities.bounded),
            self.exact_to,
            skipped.join("; "),
        )
    }
}
