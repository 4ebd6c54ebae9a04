//! Checks the checker: finds a bug that a patch puts into the library.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::de::value::{Error as Unknown, StrDeserializer};
use serde::de::{Deserialize, IntoDeserializer};

use crate::{Fault, Mode, Plan, Rule, Setup, run};

/// Within how long a bug is found.
const LIMIT: Duration = Duration::from_secs(300);
/// How long there are faults before it is checked whether the bug was found.
const ROUND: Duration = Duration::from_secs(8);

/// A bug: what the header of its patch tells.
///
/// Lines of a key and a value stand in front of the diff, those of faults and rules with commas
/// between them; other lines there are for people. Without a setup it is one server.
///
/// ```
/// use cache_proof::{Fault, Mode, Mutant, Rule};
///
/// let header = "Serves for ever.\nmode: Tracking\nfaults: BusDown, Stall\nrules: Staleness\n";
/// let mutant = Mutant::parse("lease-ignored", header)?;
/// assert_eq!(mutant.mode, Mode::Tracking);
/// assert_eq!(mutant.faults, [Fault::BusDown, Fault::Stall]);
/// assert_eq!(mutant.rules, [Rule::Staleness]);
/// # Ok::<_, String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mutant {
    /// The name of the patch.
    pub name: String,
    /// The cache that has the bug.
    pub mode: Mode,
    /// The servers.
    pub setup: Setup,
    /// The faults that it takes.
    pub faults: Vec<Fault>,
    /// The rules of which one finds it.
    pub rules: Vec<Rule>,
}

impl Mutant {
    /// Reads the header of a patch.
    ///
    /// # Errors
    /// A text that names the patch, if the file cannot be read, or as [`parse`](Self::parse) does.
    pub fn read(patch: &Path) -> Result<Self, String> {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(patch);
        let text = text.map_err(|error| format!("{}: {error}", patch.display()))?;
        Self::parse(&name, &text)
    }

    /// Takes the header of a patch apart.
    ///
    /// # Errors
    /// A text that names the patch, if its header lacks the mode or the rules, or names something
    /// that is not known.
    pub fn parse(name: &str, patch: &str) -> Result<Self, String> {
        let header = || patch.lines().take_while(|line| !line.starts_with("--- "));
        let values = |key: &str| {
            let value = header().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            let words = value.unwrap_or_default().split(',').map(str::trim);
            words.filter(|word| !word.is_empty())
        };
        let wrong = |error: &dyn fmt::Display| format!("{name}: {error}");
        let [mode] = values("mode").collect::<Vec<_>>()[..] else {
            return Err(wrong(&"the header names no mode, or several"));
        };
        let rules = all_named(values("rules")).map_err(|error| wrong(&error))?;
        if rules.is_empty() {
            return Err(wrong(&"the header names no rule"));
        }
        Ok(Self {
            name: name.to_owned(),
            mode: named(mode).map_err(|error| wrong(&error))?,
            setup: match values("setup").next() {
                Some(setup) => named(setup).map_err(|error| wrong(&error))?,
                None => Setup::Standalone,
            },
            faults: all_named(values("faults")).map_err(|error| wrong(&error))?,
            rules,
        })
    }

    /// Looks for the bug in workers that have it, for five minutes; returns after how long it was found,
    /// which rules it broke and how often.
    #[must_use]
    pub fn hunt(&self, worker: &Path) -> Option<(Duration, Vec<(Rule, usize)>)> {
        let start = Instant::now();
        loop {
            let mut plan = plan_of_hunts(worker, self.mode, &self.faults);
            plan.setup = self.setup;
            if self.rules.contains(&Rule::Convergence) {
                // The end is what counts.
                plan.faulty = ROUND / 2;
            } else {
                plan.quiet = Duration::from_millis(500);
            }
            if start.elapsed() + plan.warm_up + plan.faulty + plan.quiet > LIMIT {
                return None;
            }
            let report = run(&plan);
            // What is found here is no surprise to look into.
            if let Some(history) = &report.history {
                std::fs::remove_dir_all(history).ok();
            }
            let found = self.rules.iter().map(|rule| (*rule, report.count(*rule)));
            let found: Vec<_> = found.filter(|(_, count)| *count > 0).collect();
            if !found.is_empty() {
                return Some((start.elapsed(), found));
            }
        }
    }
}

/// Plans a round of a hunt.
#[must_use]
pub fn plan_of_hunts(worker: &Path, mode: Mode, faults: &[Fault]) -> Plan {
    let mut plan = Plan::new(worker, mode, ROUND).with_faults(faults);
    plan.warm_up = Duration::from_millis(500);
    // Fewer writes of each key, so that what is stale stays so.
    plan.keys = 384;
    plan.rate = 500;
    // More keys, so fewer hits.
    plan.least_hits = 0.1;
    plan.pause_ms = 100..400;
    plan.fault_ms = 300..2500;
    plan
}

fn all_named<'a, T: Deserialize<'a>>(
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<T>, Unknown> {
    names.map(named).collect()
}

/// Returns the mode, the fault or the rule of this name.
fn named<'a, T: Deserialize<'a>>(name: &'a str) -> Result<T, Unknown> {
    let name: StrDeserializer<'a, Unknown> = name.into_deserializer();
    T::deserialize(name)
}

#[cfg(test)]
mod tests {
    use super::Mutant;
    use crate::Setup;

    #[track_caller]
    fn assert_refused(patch: &str, message: &str) {
        let refused = Mutant::parse("bug", patch).unwrap_err();
        assert!(refused.starts_with(message), "{refused}");
    }

    #[test]
    fn a_header_that_lacks_something_or_names_what_is_not_known_is_refused() {
        assert_refused("rules: Order\n--- a/x\n", "bug: the header names no mode");
        assert_refused(
            "--- a/x\nmode: Redis\nrules: Order\n",
            "bug: the header names no mode",
        );
        assert_refused("mode: Redis\n--- a/x\n", "bug: the header names no rule");
        assert_refused(
            "mode: Redys\nrules: Order\n",
            "bug: unknown variant `Redys`, expected one of `Redis`",
        );
        assert_refused(
            "mode: Redis\nfaults: Flood\nrules: Order\n",
            "bug: unknown variant `Flood`",
        );
        assert_refused(
            "mode: Redis\nsetup: Two\nrules: Order\n",
            "bug: unknown variant `Two`",
        );
        assert_refused(
            "mode: Redis\nrules: Order, Rules\n",
            "bug: unknown variant `Rules`",
        );
    }

    #[test]
    fn a_bug_may_take_no_fault() {
        let mutant = Mutant::parse("bug", "mode: Redis\nrules: Order, Store\n").unwrap();
        assert!(mutant.faults.is_empty());
        assert_eq!(mutant.setup, Setup::Standalone);
        assert_eq!(mutant.rules.len(), 2);
    }
}
