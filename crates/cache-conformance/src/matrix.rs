//! The capability matrix: which clauses a backend was checked for.

use std::collections::BTreeSet;
use std::fmt;

use cache_core::{CacheBackend, Capabilities};

use crate::derived::derived_verbs;
use crate::{Fixture, Skipped};

/// What a backend can do and which clauses were skipped for it: a row of a markdown table.
///
/// The macro prints it in a test named `capabilities`; documentation can copy the row.
///
/// ```text
/// | backend | scan | shared | bounded | expiry exact to | skipped | derived |
/// |---|---|---|---|---|---|---|
/// | redis | yes | yes | no | 20ms | C26: the fixture builds no bounded backend | none |
/// ```
#[derive(Debug, Clone)]
pub struct Matrix {
    name: String,
    capabilities: Capabilities,
    exact_to: String,
    skipped: Vec<(&'static str, Skipped)>,
    derived: BTreeSet<String>,
}

impl Matrix {
    /// The head of the table.
    pub const HEADER: &str = "| backend | scan | shared | bounded | expiry exact to | skipped | derived |\n\
                              |---|---|---|---|---|---|---|";

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
        let abilities = backend.abilities();
        let checks = [
            (capabilities.scan, "C19-C21", Skipped::SCAN),
            (bounded.is_some(), "C26", Skipped::BOUND),
            (
                fixture.oversized().await.is_some(),
                "C27",
                Skipped::OVERSIZED,
            ),
            (abilities.leases.is_some(), "C29-C31", Skipped::LEASES),
            (abilities.tags.is_some(), "C32-C35", Skipped::TAGS),
            (
                abilities.transactions.is_some(),
                "C36-C37",
                Skipped::TRANSACTIONS,
            ),
            (abilities.locks.is_some(), "C50-C52", Skipped::LOCKS),
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
            derived: derived_verbs(fixture).await,
        }
    }

    /// Returns the clauses that are skipped, each with the reason.
    pub fn skipped(&self) -> &[(&'static str, Skipped)] {
        &self.skipped
    }

    /// Returns the verbs that are not the backend's own but [made of others](cache_core::backend::derived), and
    /// so cost more calls.
    pub fn derived(&self) -> impl Iterator<Item = &str> {
        self.derived.iter().map(String::as_str)
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
        let derived: Vec<&str> = match self.derived.len() {
            0 => vec!["none"],
            _ => self.derived().collect(),
        };
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} |",
            self.name,
            word(self.capabilities.scan),
            word(self.capabilities.shared),
            word(self.capabilities.bounded),
            self.exact_to,
            skipped.join("; "),
            derived.join(", "),
        )
    }
}
