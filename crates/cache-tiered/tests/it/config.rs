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

#[cfg(feature = "serde")]
mod read {
    use std::sync::Arc;
    use std::time::Duration;

    use cache_tiered::{MemoryBus, OnBusLoss, OnL2Error, TieredConfig, WritePolicy};

    fn read(json: &str) -> Result<TieredConfig, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_are_not_said_are_the_defaults() {
        let read = read("{}").expect("nothing has to be said");
        assert_eq!(
            format!("{read:?}"),
            format!("{:?}", TieredConfig::default())
        );
    }

    #[test]
    fn what_is_said_is_kept_when_a_bus_is_added() {
        let json = r#"{"l1_ttl": "5m", "on_bus_loss": {"serve_for": "30s"}, "on_l2_error": "serve_l1",
            "write_policy": "local_on_outage", "recovery_capacity": 7}"#;
        let bus = Arc::new(MemoryBus::new(Duration::from_secs(3)));
        let built = TieredConfig::with_shared_bus(bus.clone())
            .l1_ttl(Duration::from_secs(300))
            .on_bus_loss(OnBusLoss::ServeFor(Duration::from_secs(30)))
            .on_l2_error(OnL2Error::ServeL1)
            .write_policy(WritePolicy::LocalOnOutage)
            .recovery_capacity(7);
        let read = read(json).expect("it is right").bus(bus);
        assert_eq!(format!("{read:?}"), format!("{built:?}"));
        let without = read.no_bus(Duration::from_secs(2));
        assert!(format!("{without:?}").contains("bus: None, bound: 2s"));
        assert_eq!(without.get_l1_ttl(), Some(Duration::from_secs(300)));
    }

    #[test]
    fn what_cannot_work_is_refused_as_it_is_read() {
        let cases = [
            (r#"{"l1_ttl": "0s"}"#, "l1_ttl is 0ns, the least is 1 ms"),
            (
                r#"{"recovery_capacity": 0}"#,
                "recovery_capacity is 0, the least is 1",
            ),
            (
                r#"{"on_bus_loss": {"serve_for": 30}}"#,
                "on_bus_loss: is 30, write \"30s\"",
            ),
            (
                r#"{"on_bus_loss": "serve"}"#,
                "on_bus_loss: unknown variant `serve`, expected one of `bypass`, `serve_for`, \
                 `serve_until_ttl`",
            ),
            (
                r#"{"l1-ttl": "1s"}"#,
                "unknown field `l1-ttl`, did you mean `l1_ttl`? known are l1_ttl, on_bus_loss, \
                 on_l2_error, write_policy, recovery_capacity",
            ),
        ];
        for (json, expected) in cases {
            let refused = read(json).expect_err(json);
            assert!(refused.starts_with(expected), "{refused}");
        }
    }
}
