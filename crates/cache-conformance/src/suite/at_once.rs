//! Writes at once: C53.

use cache_core::{CacheBackend, ErrorKind, Expiry, SetNow};

use crate::probe::{LONG, Probe};
use crate::{Fixture, Skipped, TestValue};

/// C53: `set_now` replaces value and expiry, or it hands the value back and does nothing.
pub async fn c53_set_now_writes_as_set_does_or_hands_the_value_back<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for key in ["absent", "present", "expired", "@*{a}"] {
        match key {
            "present" => probe.set(key, "old", Expiry::After(LONG)).await,
            "expired" => probe.expired(&[key], "old").await,
            _ => {}
        }
        let before = probe.observe(key).await;
        let value = F::Value::from_text("new");
        match probe.backend().set_now(key, value, Expiry::Never) {
            SetNow::Done(done) => {
                done.expect("set_now failed on a healthy backend");
                let promise = "C53: set_now writes as set does";
                probe
                    .assert_entry(key, ("new", Expiry::Never), promise)
                    .await;
            }
            SetNow::WouldWait(value) => {
                let promise = "C53: set_now does nothing where it would wait";
                assert_eq!(value.to_text(), "new", "{promise}");
                let value = before.as_ref().map(|(value, _)| value.as_str());
                probe.assert_value(key, value, promise).await;
            }
        }
    }
}

/// C53: `set_now` refuses a value that can never fit, and the old entry stays.
pub async fn c53_set_now_refuses_what_never_fits<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    let (backend, value) = fixture.oversized().await.ok_or(Skipped::OVERSIZED)?;
    let probe = Probe::of(fixture, backend);
    probe.set("key", "old", Expiry::Never).await;
    if let SetNow::Done(done) = probe.backend().set_now("key", value, Expiry::Never) {
        let refused = done.expect_err("C53: set_now refuses what never fits");
        assert!(
            matches!(refused.kind(), ErrorKind::TooLarge { .. }),
            "C53: {refused:?}"
        );
    }
    probe
        .assert_value("key", Some("old"), "C53: the old entry stays")
        .await;
    Ok(())
}
