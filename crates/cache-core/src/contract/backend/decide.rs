//! What the required writes do to the entry of a key, for a store that can show it to a function and write
//! the result in one step: a map behind a lock, a table in a transaction.
//!
//! Each function takes the entry that was found, with its version, or `None` if the key is absent or has
//! expired. It returns the answer of the call, and the entry that the key is to have then.
//!
//! ```
//! use std::collections::HashMap;
//!
//! use cache_core::backend::decide;
//! use cache_core::{Condition, Expiry, BackendWrite};
//!
//! let mut map = HashMap::new();
//! for (value, expected) in [("first", true), ("second", false)] {
//!     let if_absent = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
//!     let (written, next) = decide::set(map.remove("key"), value, &if_absent);
//!     map.extend(next.map(|entry| ("key", entry)));
//!     assert_eq!(written, expected);
//! }
//! assert_eq!(map["key"].value, "first");
//! ```

use crate::{BackendEntry, BackendWrite, Condition, Expiry};

/// Decides a `set`.
#[must_use]
pub fn set<V>(
    found: Option<BackendEntry<V>>,
    value: V,
    options: &BackendWrite,
) -> (bool, Option<BackendEntry<V>>) {
    if !holds(&options.condition, found.as_ref()) {
        return (false, found);
    }
    let expiry = options.expiry_over(found.map(|entry| entry.expiry));
    (true, Some(BackendEntry::new(value, expiry)))
}

/// Decides a `delete`.
#[must_use]
pub fn delete<V>(
    found: Option<BackendEntry<V>>,
    condition: &Condition,
) -> (bool, Option<BackendEntry<V>>) {
    let is_due = found.is_some() && holds(condition, found.as_ref());
    (is_due, found.filter(|_| !is_due))
}

/// Decides a `set_expiry`. The expiry of an entry that never expires and still shall not is no change.
#[must_use]
pub fn set_expiry<V>(
    found: Option<BackendEntry<V>>,
    expiry: Expiry,
) -> (bool, Option<BackendEntry<V>>) {
    let change = |entry: &BackendEntry<V>| (entry.expiry, expiry) != (Expiry::Never, Expiry::Never);
    let changes = found.as_ref().is_some_and(change);
    (changes, found.map(|entry| BackendEntry { expiry, ..entry }))
}

fn holds<V>(condition: &Condition, found: Option<&BackendEntry<V>>) -> bool {
    match (condition, found) {
        (Condition::IfVersion(version), Some(entry)) => entry.version.as_ref() == Some(version),
        (condition, Some(_)) => *condition != Condition::IfAbsent,
        (condition, None) => condition.holds(None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{delete, set, set_expiry};
    use crate::{BackendEntry, BackendWrite, Condition, Expiry, Version};

    const MINUTE: Expiry = Expiry::After(Duration::from_secs(60));

    fn found() -> BackendEntry<u32> {
        BackendEntry::new(1, MINUTE).with_version(Version::from_number(7))
    }

    #[test]
    fn each_condition_holds_for_what_it_names() {
        let conditions = [
            (Condition::Always, true, true),
            (Condition::IfAbsent, false, true),
            (Condition::IfPresent, true, false),
            (Condition::IfVersion(Version::from_number(7)), true, false),
            (Condition::IfVersion(Version::from_number(8)), false, false),
        ];
        for (condition, over_an_entry, over_nothing) in conditions {
            let options = BackendWrite::new(Expiry::Never, condition.clone());
            let new = Some(BackendEntry::new(2, Expiry::Never));
            let expected = if over_an_entry {
                new.clone()
            } else {
                Some(found())
            };
            let over = set(Some(found()), 2, &options);
            assert_eq!(over, (over_an_entry, expected), "{condition:?}");
            let expected = new.filter(|_| over_nothing);
            assert_eq!(
                set(None, 2, &options),
                (over_nothing, expected),
                "{condition:?}"
            );

            let rest = Some(found()).filter(|_| !over_an_entry);
            let deleted = delete(Some(found()), &condition);
            assert_eq!(deleted, (over_an_entry, rest), "{condition:?}");
            assert_eq!(
                delete::<u32>(None, &condition),
                (false, None),
                "{condition:?}"
            );
        }
    }

    #[test]
    fn an_entry_without_a_version_is_present_all_the_same() {
        let found = || Some(BackendEntry::new(1, Expiry::Never));
        assert!(delete(found(), &Condition::IfPresent).0);
        let if_absent = BackendWrite::new(Expiry::Never, Condition::IfAbsent);
        assert!(!set(found(), 2, &if_absent).0);
    }

    #[test]
    fn an_expiry_is_kept_by_a_write_that_keeps_it_and_changed_by_set_expiry() {
        let keeping = BackendWrite::new(Expiry::Never, Condition::Always).with_kept_expiry(true);
        let (_, kept) = set(Some(found()), 2, &keeping);
        assert_eq!(kept.map(|entry| entry.expiry), Some(MINUTE));

        let (changed, forever) = set_expiry(Some(found()), Expiry::Never);
        let version = Version::from_number(7);
        let expected = BackendEntry::new(1, Expiry::Never).with_version(version);
        assert_eq!((changed, &forever), (true, &Some(expected)));
        assert!(!set_expiry(forever, Expiry::Never).0);
        assert_eq!(set_expiry::<u32>(None, MINUTE), (false, None));
    }
}
