//! Which verbs of a backend are made of others.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cache_core::backend::derived::{self, TARGET};
use cache_core::{CacheBackend, Expiry, Scope};
use tracing::field::{Field, Visit};
use tracing::instrument::WithSubscriber;
use tracing::{Event, Metadata, Subscriber, span};

use crate::{Fixture, TestValue};

/// How often to listen again. Where traces are not built in, nothing is ever heard.
const ATTEMPTS: u32 = 100;

/// Calls each verb that a backend need not write itself, and returns those that were made of others.
pub(crate) async fn derived_verbs<F: Fixture>(fixture: &F) -> BTreeSet<String> {
    let verbs = Verbs::default();
    let backend = fixture.fresh().await;
    let listen = async {
        for _ in 0..ATTEMPTS {
            call_each(&backend).await;
            let heard = verbs.take();
            // Another thread that is just about to make its first such call may have noted that nobody
            // listens. Whoever is heard afterwards was heard before.
            let _ = derived::get(&backend, "a").await;
            if !verbs.take().is_empty() {
                return heard;
            }
            tracing::callsite::rebuild_interest_cache();
        }
        BTreeSet::new()
    };
    listen.with_subscriber(Listener(verbs.clone())).await
}

async fn call_each<V: TestValue>(backend: &impl CacheBackend<V>) {
    let value = || V::from_text("value");
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
}

/// The verbs that say that they are made of others.
#[derive(Clone, Default)]
struct Verbs(Arc<Mutex<BTreeSet<String>>>);

impl Verbs {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.lock())
    }
}

struct Listener(Verbs);

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

struct Name<'l>(&'l Verbs);

impl Visit for Name<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "verb" {
            self.0.lock().insert(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
