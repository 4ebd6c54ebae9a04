//! Which verbs of a backend are made of others.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cache_core::backend::derived::TARGET;
use cache_core::{CacheBackend, Expiry, Scope};
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::{Event, Metadata, Subscriber, span};

use crate::{Fixture, TestValue};

/// Calls each verb that a backend need not write itself, and returns those that were made of others.
pub(crate) async fn derived_verbs<F: Fixture>(fixture: &F) -> BTreeSet<String> {
    let verbs = Arc::new(Mutex::new(BTreeSet::new()));
    let backend = fixture.fresh().await;
    let value = || F::Value::from_text("value");
    let calls = async {
        // What fails is made of others or is not, all the same.
        let _ = backend
            .set_many(vec![("a", value()), ("b", value())], Expiry::Never)
            .await;
        let _ = backend.get("a").await;
        let _ = backend.expiry("a").await;
        let _ = backend.get_ex("a", Expiry::Never).await;
        let _ = backend.get_many(&["a"]).await;
        let _ = backend.get_entries(&["a"]).await;
        let _ = backend.swap("a", value(), Expiry::Never).await;
        let _ = backend.take("a").await;
        let _ = backend.delete_many(&["a"]).await;
        let _ = backend.clear(&Scope::root()).await;
    };
    calls.with_subscriber(Listener(Arc::clone(&verbs))).await;
    let verbs = verbs.lock().unwrap_or_else(PoisonError::into_inner);
    verbs.clone()
}

/// Collects the names of verbs that say that they are made of others.
struct Listener(Arc<Mutex<BTreeSet<String>>>);

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        // No span is enabled.
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Name(&self.0));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Name<'l>(&'l Mutex<BTreeSet<String>>);

impl Visit for Name<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "verb" {
            let mut verbs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            verbs.insert(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
