//! The key space: C19 to C21.

use std::collections::BTreeSet;

use cache_core::{Cache, CacheBackend, Cursor, Error, ErrorKind, Expiry, Scope};

use super::values::HOSTILE_KEYS;
use crate::probe::{LONG, Probe, ok, scope};
use crate::{Fixture, Skipped, TestValue};

/// Page sizes that a caller may ask for.
const LIMITS: [usize; 4] = [1, 3, 100, 100_000];
/// The namespaces of [`filled`], the root first.
const NAMESPACES: [&[&str]; 5] = [&[], &["n"], &["n", "m"], &["n2"], &["N"]];
/// The keys of [`filled`] in each of its namespaces.
const KEYS: [&str; 11] = [
    "a", "ab", "b", "a*", "a?c", "[a", "\\a", "@", "@n:a", "@@", "{n}a",
];

fn set_of(keys: impl IntoIterator<Item = impl AsRef<str>>) -> BTreeSet<String> {
    keys.into_iter()
        .map(|key| key.as_ref().to_owned())
        .collect()
}

/// A cache over the backend of `probe` that writes into a namespace.
fn namespace<F: Fixture>(probe: &Probe<'_, F>, path: &[&str]) -> Cache<F::Value> {
    path.iter().fold(probe.cache(), |cache, name| {
        cache.namespace(name).expect("the suite uses valid names")
    })
}

/// A backend with the same keys in several namespaces, nested and side by side.
async fn filled<F: Fixture>(fixture: &F) -> Result<Probe<'_, F>, Skipped> {
    let probe = Probe::scanning(fixture).await?;
    for path in NAMESPACES {
        let cache = namespace(&probe, path);
        let pairs = KEYS.map(|key| (key, F::Value::from_text(&format!("{path:?} {key}"))));
        ok("mset", cache.mset(pairs)).await;
    }
    Ok(probe)
}

/// C19: a scan ends and returns every key of the scope, whatever the size of the pages.
pub async fn c19_a_scan_ends_and_returns_every_key<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let root = Scope::root();
    let empty = probe.scan(&root, 10).await;
    assert_eq!(
        empty,
        BTreeSet::new(),
        "C19: a scan of nothing returns nothing"
    );
    let keys: Vec<String> = (0..300).map(|number| format!("key {number}")).collect();
    for key in &keys {
        probe.set(key, "value", Expiry::Never).await;
    }
    for limit in LIMITS {
        let seen = probe.scan(&root, limit).await;
        assert_eq!(seen, set_of(&keys), "C19: every key, in pages of {limit}");
    }
    Ok(())
}

/// C19: only present keys are returned: none that is deleted, expired or was never written.
pub async fn c19_a_scan_returns_only_present_keys<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    probe.set("live", "value", Expiry::Never).await;
    probe.set("later", "value", Expiry::After(LONG * 60)).await;
    probe.set("deleted", "value", Expiry::Never).await;
    probe.delete("deleted").await;
    probe.get("never written").await;
    probe.expired(&["expired"], "value").await;
    for limit in LIMITS {
        let seen = probe.scan(&Scope::root(), limit).await;
        assert_eq!(seen, set_of(["live", "later"]), "C19: present keys alone");
    }
    Ok(())
}

/// C19: keys that come and go during a scan do not hide those that stay.
pub async fn c19_keys_that_stay_are_found_while_others_come_and_go<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let staying: Vec<String> = (0..60).map(|number| format!("stays {number}")).collect();
    let leaving: Vec<String> = (0..60).map(|number| format!("leaves {number}")).collect();
    for key in staying.iter().chain(&leaving) {
        probe.set(key, "value", Expiry::Never).await;
    }
    let root = Scope::root();
    let mut seen = BTreeSet::new();
    let mut cursor = Some(Cursor::Start);
    let mut churn = leaving.iter().enumerate();
    while let Some(from) = cursor {
        let page = ok("scan", probe.backend().scan(&root, from, 2)).await;
        seen.extend(page.keys);
        cursor = page.next;
        for (number, key) in churn.by_ref().take(2) {
            probe.delete(key).await;
            // On one side of the others and then on the other side, so that places shift.
            let comes = ["a comes", "z comes"][number % 2];
            probe
                .set(&format!("{comes} {number}"), "value", Expiry::Never)
                .await;
        }
    }
    for key in &staying {
        assert!(seen.contains(key), "C19: {key:?} was present throughout");
    }
    Ok(())
}

/// C20: the prefix of a scope is taken literally.
pub async fn c20_the_prefix_of_a_scope_is_literal<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    let path: [&str; 1] = ["n"];
    let cache = namespace(&probe, &path);
    for key in HOSTILE_KEYS {
        ok("set", cache.set(key, F::Value::from_text("value"))).await;
    }
    let prefixes = HOSTILE_KEYS
        .iter()
        .chain(&["k", "ke", "[", "?", "\\", "%", "{key}", "x*"]);
    for prefix in prefixes {
        let raw = scope(&path, prefix);
        let expected = HOSTILE_KEYS.iter().filter(|key| key.starts_with(prefix));
        let seen: BTreeSet<String> = probe.scan(&raw, 4).await;
        assert!(
            seen.iter().all(|key| raw.contains(key)),
            "C20: the keys of the prefix {prefix:?} alone, were {seen:?}"
        );
        assert_eq!(
            seen.len(),
            expected.count(),
            "C20: all keys of the prefix {prefix:?}, were {seen:?}"
        );
    }
    Ok(())
}

/// C19, C20: a scan stays in its namespace: nested ones, neighbours and parents are not in it.
pub async fn c20_a_scan_stays_in_its_namespace<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = filled(fixture).await?;
    for path in NAMESPACES {
        let raw = scope(path, "");
        let seen = probe.scan(&raw, 3).await;
        assert!(
            seen.iter().all(|key| raw.contains(key)),
            "C20: keys of the namespace {path:?} alone, were {seen:?}"
        );
        assert_eq!(
            seen.len(),
            KEYS.len(),
            "C20: all keys of {path:?}, were {seen:?}"
        );
        let listed = ok("keys", namespace(&probe, path).keys()).await;
        assert_eq!(set_of(listed), set_of(KEYS), "C20: the keys of {path:?}");
    }
    Ok(())
}

/// C21: `clear` removes its namespace and nothing else, and counts exactly.
pub async fn c21_clear_removes_its_scope_and_nothing_else<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    for cleared in NAMESPACES {
        let probe = filled(fixture).await?;
        let count = probe.clear(&scope(cleared, "")).await;
        assert_eq!(
            count,
            KEYS.len() as u64,
            "C21: clear of {cleared:?} counts its entries"
        );
        for path in NAMESPACES {
            let expected: &[&str] = if path == cleared { &[] } else { &KEYS };
            let left = ok("keys", namespace(&probe, path).keys()).await;
            assert_eq!(
                set_of(left),
                set_of(expected),
                "C21: clear of {cleared:?} and what it leaves in {path:?}"
            );
        }
        let again = probe.clear(&scope(cleared, "")).await;
        assert_eq!(again, 0, "C21: {cleared:?} is empty once it is cleared");
        // A namespace that was cleared is used on like a new one.
        ok(
            "set",
            namespace(&probe, cleared).set("a", F::Value::from_text("new")),
        )
        .await;
        let anew = probe.clear(&scope(cleared, "")).await;
        assert_eq!(anew, 1, "C21: what is written after clear is there");
    }
    Ok(())
}

/// C21: a scope that is narrowed to a prefix narrows `clear`, literally.
pub async fn c21_clear_keeps_to_the_prefix_of_its_scope<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    for (prefix, gone) in [("a*", 1), ("a", 4), ("@", 3), ("?", 0), ("[", 1)] {
        let probe = Probe::scanning(fixture).await?;
        let path: [&str; 1] = ["n"];
        let cache = namespace(&probe, &path);
        ok(
            "mset",
            cache.mset(KEYS.map(|key| (key, F::Value::from_text(key)))),
        )
        .await;
        let cleared = probe.clear(&scope(&path, prefix)).await;
        assert_eq!(
            cleared, gone,
            "C21: clear of the prefix {prefix:?} counts exactly"
        );
        let left = ok("keys", cache.keys()).await;
        let expected = KEYS.iter().filter(|key| !key.starts_with(prefix));
        assert_eq!(
            set_of(left),
            set_of(expected),
            "C21: clear of {prefix:?} and the rest"
        );
    }
    Ok(())
}

/// C21: the count of `clear` is of present entries: neither deleted nor overwritten ones.
pub async fn c21_clear_counts_present_entries_once<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let probe = Probe::scanning(fixture).await?;
    for round in 0..3 {
        for key in ["a", "b", "c"] {
            probe
                .set(key, &format!("value {round}"), Expiry::Never)
                .await;
        }
    }
    probe.delete("b").await;
    let cleared = probe.clear(&Scope::root()).await;
    assert_eq!(cleared, 2, "C21: clear counts each present entry once");
    for key in ["a", "b", "c"] {
        probe
            .assert_value(key, None, "C21: clear removes the entry")
            .await;
    }
    Ok(())
}

/// C19, C21: a backend that says that it cannot scan says so when it is asked to.
///
/// A backend that can scan has nothing to refuse and passes.
pub async fn c21_a_backend_that_cannot_scan_refuses<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    if probe.can_scan() {
        return;
    }
    let refused = |error: Option<Error>| {
        matches!(
            error.as_ref().map(Error::kind),
            Some(ErrorKind::Unsupported { .. })
        )
    };
    let root = Scope::root();
    let scanned = probe.backend().scan(&root, Cursor::Start, 10).await;
    assert!(
        refused(scanned.err()),
        "C19: a scan that cannot be is Unsupported"
    );
    let cleared = probe.backend().clear(&root).await;
    assert!(
        refused(cleared.err()),
        "C21: a clear that cannot be is Unsupported"
    );
}
