//! Cancellation: C25, by dropping each call at each of its poll points.

use std::pin::pin;
use std::task::Poll;

use cache_core::{BackendWrite, CacheBackend, Condition, Cursor, Expiry, Result, Scope};

use crate::probe::{LONG, Probe};
use crate::{Fixture, TestValue};

/// A call with more poll points than this is not checked any further.
const MOST_POLLS: usize = 32;

const OLD: Option<(&str, bool)> = Some(("old", false));
const NEW: Option<(&str, bool)> = Some(("new", true));

#[derive(Debug, Clone, Copy)]
enum Write {
    Set,
    SetIfPresent,
    Swap,
    SetMany,
    SetExpiry,
    Delete,
    DeleteMany,
    Clear,
}

impl Write {
    const ALL: [Self; 8] = [
        Self::Set,
        Self::SetIfPresent,
        Self::Swap,
        Self::SetMany,
        Self::SetExpiry,
        Self::Delete,
        Self::DeleteMany,
        Self::Clear,
    ];

    /// What the entry may be afterwards besides the old one: text and whether it expires.
    const fn outcome(self) -> Option<(&'static str, bool)> {
        match self {
            Self::Set | Self::SetIfPresent | Self::Swap | Self::SetMany => NEW,
            Self::SetExpiry => Some(("old", true)),
            Self::Delete | Self::DeleteMany | Self::Clear => None,
        }
    }

    async fn perform<F: Fixture>(self, backend: &F::Backend, key: &str) -> Result<()> {
        let value = F::Value::from_text("new");
        let expiry = Expiry::After(LONG);
        match self {
            Self::Set => {
                let options = BackendWrite::new(expiry, Condition::Always);
                backend.set(key, value, options).await.map(drop)
            }
            Self::SetIfPresent => {
                let options = BackendWrite::new(expiry, Condition::IfPresent);
                backend.set(key, value, options).await.map(drop)
            }
            Self::Swap => backend.swap(key, value, expiry).await.map(drop),
            Self::SetMany => backend.set_many(vec![(key, value)], expiry).await,
            Self::SetExpiry => backend.set_expiry(key, expiry).await.map(drop),
            Self::Delete => backend.delete(key, Condition::Always).await.map(drop),
            Self::DeleteMany => backend.delete_many(&[key]).await.map(drop),
            Self::Clear => backend.clear(&Scope::root()).await.map(drop),
        }
    }
}

/// Polls a future so many times, as it asks to be polled, and then drops it.
async fn poll_and_drop<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut polled = 0;
    std::future::poll_fn(|context| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// C25: a dropped write leaves the old entry or the new one, and a backend that works.
pub async fn c25_a_dropped_write_leaves_the_old_entry_or_the_new_one<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let capabilities = probe.backend().capabilities();
    for write in Write::ALL {
        if matches!(write, Write::Clear) && !capabilities.scan {
            continue;
        }
        for polls in 0..MOST_POLLS {
            let key = format!("{write:?} {polls}");
            probe.set(&key, "old", Expiry::Never).await;
            let done = poll_and_drop(polls, write.perform::<F>(probe.backend(), &key)).await;
            let seen = probe.entry(&key).await;
            let seen = seen
                .as_ref()
                .map(|(value, expiry)| (value.as_str(), *expiry != Expiry::Never));
            assert!(
                seen == write.outcome() || (done.is_none() && seen == OLD),
                "C25: {write:?} dropped after {polls} polls left {seen:?}"
            );
            let after = format!("{write:?} dropped after {polls} polls");
            // A server may still be at the dropped write, so what that covers proves nothing.
            match write {
                _ if done.is_some() || !capabilities.shared => works(&probe, &key, &after).await,
                Write::Clear => {}
                _ => works(&probe, "next", &after).await,
            }
            if done.is_some() {
                break;
            }
        }
    }
}

/// C25: a dropped read changes nothing.
pub async fn c25_a_dropped_read_changes_nothing<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    let entry = ("value", Expiry::After(LONG));
    probe.set("key", entry.0, entry.1).await;
    let backend = probe.backend();
    for polls in 0..MOST_POLLS {
        let root = Scope::root();
        let done = [
            poll_and_drop(polls, backend.get("key")).await.is_some(),
            poll_and_drop(polls, backend.get_entry("key"))
                .await
                .is_some(),
            poll_and_drop(polls, backend.get_many(&["key", "x"]))
                .await
                .is_some(),
            poll_and_drop(polls, backend.expiry("key")).await.is_some(),
            poll_and_drop(polls, backend.scan(&root, Cursor::Start, 10))
                .await
                .is_some(),
        ];
        let unchanged = "C25: a dropped read changes nothing";
        probe.assert_entry("key", entry, unchanged).await;
        if done == [true; 5] {
            break;
        }
    }
    works(&probe, "key", "dropped reads").await;
}

/// C25: a bulk write that is dropped has written each of its entries whole or not at all.
pub async fn c25_a_dropped_bulk_write_leaves_each_entry_old_or_new<F: Fixture>(fixture: &F) {
    let probe = Probe::fresh(fixture).await;
    for polls in 0..MOST_POLLS {
        let keys: Vec<String> = (0..5).map(|number| format!("{polls}.{number}")).collect();
        let old: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "old")).collect();
        probe.set_many(&old, Expiry::Never).await;
        let new = keys
            .iter()
            .map(|key| (key.as_str(), F::Value::from_text("new")))
            .collect();
        let write = probe.backend().set_many(new, Expiry::After(LONG));
        let done = poll_and_drop(polls, write).await;
        for key in &keys {
            let seen = probe.entry(key).await;
            let seen = seen
                .as_ref()
                .map(|(value, expiry)| (value.as_str(), *expiry != Expiry::Never));
            assert!(
                seen == NEW || (done.is_none() && seen == OLD),
                "C25: set_many dropped after {polls} polls left {seen:?}"
            );
        }
        works(
            &probe,
            "next",
            &format!("set_many dropped after {polls} polls"),
        )
        .await;
        if done.is_some() {
            break;
        }
    }
}

async fn works<F: Fixture>(probe: &Probe<'_, F>, key: &str, after: &str) {
    let promise = format!("C25: the backend works after {after}");
    probe.set(key, "after", Expiry::Never).await;
    probe.assert_value(key, Some("after"), &promise).await;
    assert!(probe.delete(key).await, "{promise} (delete)");
    probe.assert_value(key, None, &promise).await;
}
