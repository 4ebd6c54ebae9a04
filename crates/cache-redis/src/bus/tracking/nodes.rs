//! Listens to all primaries of a cluster.

use std::sync::{Arc, Mutex, PoisonError};

use cache_core::bus::{InvalidationListener, Moment};
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time;

use super::TrackingBus;
use super::ear::{Ear, Peers};
use crate::bus::Outage;
use crate::client::Primary;

/// How far each primary is, and how far that is for all.
#[derive(Debug)]
struct Progress(Mutex<(Vec<Option<Moment>>, Option<Moment>)>);

impl Progress {
    fn new(primaries: usize) -> Self {
        Self(Mutex::new((vec![None; primaries], None)))
    }

    /// Notes how far one is, and returns how far all are now if that is further than before.
    fn advance(&self, which: usize, to: Moment) -> Option<Moment> {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (each, all) = &mut *guard;
        each[which] = Some(to);
        let least = each.iter().copied().min().flatten();
        if least <= *all {
            return None;
        }
        *all = least;
        least
    }
}

/// Listens for ever, to the primaries that there are at the time.
///
/// Each primary says with every answer who the primaries are. As soon as one says otherwise than
/// is thought, the cluster is asked and all begins from the start: one that nobody listens to may have
/// changed something. Slots that move between these primaries are no matter: each tells of all keys
/// of the namespace.
pub(super) async fn listen(bus: &TrackingBus, listener: &Arc<dyn InvalidationListener>) {
    let mut outage = Outage::new("tracking, cluster");
    loop {
        match bus.link.primaries(true).await {
            Ok(primaries) if !primaries.is_empty() => {
                outage.ended();
                listen_to(bus, listener, &primaries).await;
                // They may need some time to agree.
                time::sleep(bus.config.period() / 2).await;
            }
            Ok(_) => time::sleep(bus.link.delay(2)).await,
            Err(error) => {
                let failures = outage.failed(&error);
                time::sleep(bus.link.delay(failures - 1)).await;
            }
        }
    }
}

/// Listens until there are other primaries.
async fn listen_to(
    bus: &TrackingBus,
    listener: &Arc<dyn InvalidationListener>,
    primaries: &[Primary],
) {
    let (progress, differ) = (&Progress::new(primaries.len()), &Notify::new());
    let ids: Vec<String> = primaries.iter().map(|primary| primary.id.clone()).collect();
    let ids = &ids;
    let ears = primaries
        .iter()
        .enumerate()
        .map(|(which, primary)| async move {
            let told = |moment| {
                if let Some(all) = progress.advance(which, moment) {
                    listener.caught_up(all);
                }
            };
            let ear = Ear {
                bus,
                listener,
                settings: &Arc::new(bus.settings.direct(&primary.server)),
                generation: bus.keys.generation(primary.tag),
                told: &told,
                peers: Some(Peers {
                    primaries: ids,
                    differ,
                }),
            };
            ear.listen().await;
        });
    tokio::select! {
        _ = join_all(ears) => {}
        () = differ.notified() => {}
    }
}

#[cfg(test)]
mod tests {
    use cache_core::bus::Moment;

    use super::Progress;

    #[test]
    fn all_are_as_far_as_the_last_one() {
        let progress = Progress::new(2);
        let at = Moment::from_nanos;
        assert_eq!(progress.advance(0, at(5)), None);
        assert_eq!(progress.advance(1, at(3)), Some(at(3)));
        assert_eq!(progress.advance(0, at(9)), None);
        assert_eq!(progress.advance(1, at(7)), Some(at(7)));
        assert_eq!(progress.advance(1, at(8)), Some(at(8)));
    }
}
