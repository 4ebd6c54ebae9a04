//! What may be logged: C28.

use cache_core::{BackendWrite, Cache, CacheBackend, Condition, Expiry};

use crate::probe::{LONG, Probe};
use crate::{Fixture, Skipped, TestValue};

/// Texts that occur nowhere by chance.
const KEY: &str = "key-2f6d81b3";
const VALUE: &str = "value-9c04ae75";

fn assert_silent(what: &str, shown: &str) {
    for secret in ["2f6d81b3", "9c04ae75"] {
        assert!(
            !shown.contains(secret),
            "C28: {what} shows {secret:?}: {shown}"
        );
    }
}

/// C28: the `Debug` output of a backend, plain or alternate, shows no keys and no values.
pub async fn c28_debug_output_shows_no_keys_and_no_values<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let backend = probe.backend();
    let both = |when: &str| {
        assert_silent(when, &format!("{backend:?}"));
        assert_silent(when, &format!("{backend:#?}"));
    };
    probe.set(KEY, VALUE, Expiry::Never).await;
    both("a backend after set");
    probe.swap(KEY, VALUE, Expiry::After(LONG)).await;
    probe.get(KEY).await;
    both("a backend after swap and get");
    probe.delete(KEY).await;
    both("a backend after delete");
    probe.expired(&[KEY], VALUE).await;
    both("a backend after expiry");
    let cache: Cache<F::Value> = probe.cache();
    assert_silent("a cache", &format!("{cache:?} {cache:#?}"));
}

/// C28: nor does the error of a refused write.
pub async fn c28_a_refusal_shows_no_key_and_no_value<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let (backend, large) = fixture.oversized().await.ok_or(Skipped::OVERSIZED)?;
    let value = F::Value::from_text(&format!("{VALUE}{}", large.to_text()));
    let options = BackendWrite::new(Expiry::Never, Condition::Always);
    if let Err(error) = backend.set(KEY, value, options).await {
        assert_silent("an error", &format!("{error} {error:?}"));
    }
    assert_silent("a backend after a refusal", &format!("{backend:?}"));
    Ok(())
}
