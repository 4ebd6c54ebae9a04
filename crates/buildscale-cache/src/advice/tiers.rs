//! What the options of two tiers contradict.

use std::time::Duration;

use super::{Advice, LEAST_CAPACITY};
use crate::tiered::DEFAULT_BOUND;
use crate::{BusKind, CacheSettings, OnBusLoss, OnL2Error, TieredConfig, WritePolicy};

/// The longest bound that a bus accepts: to be stale for longer takes no bus.
const LONGEST_BOUND: Duration = Duration::from_secs(60);

pub(super) fn on_tiers(settings: &CacheSettings, found: &mut Vec<Advice>) {
    let default = TieredConfig::default();
    let config = settings.tiered.as_ref().unwrap_or(&default);
    let bound = settings.bus.bound.unwrap_or(DEFAULT_BOUND);
    let l1_ttl = config.get_l1_ttl();
    let default_ttl = settings.default_ttl;
    // The default yields to what is set.
    let asked = l1_ttl.filter(|_| l1_ttl != default.get_l1_ttl());
    if let (Some(l1_ttl), Some(default_ttl)) = (asked, default_ttl)
        && l1_ttl > default_ttl
    {
        found.push(Advice::L1OutlivesL2 {
            l1_ttl,
            default_ttl,
        });
    }
    if settings.bus.kind == BusKind::None {
        // Memory keeps no value for longer than the second tier does.
        let most = default_ttl.unwrap_or(Duration::MAX);
        on_no_bus(
            asked,
            l1_ttl.map_or(most, |ttl| ttl.min(most)),
            bound,
            found,
        );
        if config.get_on_bus_loss() != OnBusLoss::Bypass {
            found.push(Advice::BusLossWithoutBus);
        }
    } else {
        on_bus(settings, asked, bound, found);
    }
    if bound < DEFAULT_BOUND {
        on_short_bound(settings.bus.kind, config, bound, found);
    }
}

fn on_no_bus(asked: Option<Duration>, kept: Duration, bound: Duration, found: &mut Vec<Advice>) {
    let age = kept.min(bound);
    if age > LONGEST_BOUND {
        found.push(Advice::StaleWithoutBus { age });
    } else if let Some(l1_ttl) = asked.filter(|_| kept > bound) {
        found.push(Advice::L1TtlWithoutBus { l1_ttl, bound });
    }
}

fn on_bus(
    settings: &CacheSettings,
    asked: Option<Duration>,
    bound: Duration,
    found: &mut Vec<Advice>,
) {
    if let Some(l1_ttl) = asked.filter(|ttl| *ttl < bound) {
        found.push(Advice::BusWithoutUse { l1_ttl, bound });
    }
    if let Some(capacity) = settings
        .bus
        .capacity
        .filter(|count| *count < LEAST_CAPACITY)
    {
        found.push(Advice::SmallBusCapacity { capacity });
    }
}

/// Whoever asks for less than the default cares; who does not may prefer to be served.
fn on_short_bound(bus: BusKind, config: &TieredConfig, bound: Duration, found: &mut Vec<Advice>) {
    let loses = bus != BusKind::None && config.get_on_bus_loss() != OnBusLoss::Bypass;
    let policies = [
        ("tiered.on_bus_loss", loses),
        (
            "tiered.on_l2_error",
            config.get_on_l2_error() != OnL2Error::Fail,
        ),
        (
            "tiered.write_policy",
            config.get_write_policy() != WritePolicy::Confirmed,
        ),
    ];
    let given_up = policies.into_iter().filter(|(_, gives_up)| *gives_up);
    found.extend(given_up.map(|(policy, _)| Advice::BoundGivenUp { policy, bound }));
}
