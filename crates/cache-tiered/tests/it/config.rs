//! Options out of their limits.

use std::time::Duration;

use cache_local::LocalBackend;
use cache_tiered::{TieredBackend, TieredConfig};

use super::BOUND;

fn refusal(config: TieredConfig) -> String {
    let backend: Result<TieredBackend<String, _, _>, _> =
        TieredBackend::new(LocalBackend::default(), LocalBackend::default(), config);
    backend.expect_err("it is refused").to_string()
}

#[tokio::test]
async fn an_option_out_of_its_limits_is_named_with_the_limit() {
    let config = || TieredConfig::without_bus(BOUND);
    assert_eq!(
        refusal(TieredConfig::without_bus(Duration::ZERO)),
        "bound is 0ns, the least is 1 ms"
    );
    assert_eq!(
        refusal(config().l1_ttl(Duration::from_micros(10))),
        "l1_ttl is 10µs, the least is 1 ms"
    );
    assert_eq!(
        refusal(config().recovery_capacity(0)),
        "recovery_capacity is 0, the least is 1"
    );
}

#[test]
fn outside_of_a_runtime_is_an_error_and_no_panic() {
    let message = refusal(TieredConfig::without_bus(BOUND));
    assert_eq!(message, "runtime is missing: a tiered backend needs Tokio");
}
