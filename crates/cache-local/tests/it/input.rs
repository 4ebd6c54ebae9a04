//! Bad options: a typed error that names the option and the limit.

use cache_core::{Error, ErrorKind};
use cache_local::{LocalBackend, LocalConfig};

fn message(error: &Error) -> String {
    assert!(matches!(error.kind(), ErrorKind::InvalidInput { .. }));
    error.to_string()
}

#[test]
fn a_capacity_of_zero_is_refused() {
    let error = LocalBackend::<u32>::new(LocalConfig::new().max_entries(0)).unwrap_err();
    assert_eq!(message(&error), "max_entries is 0, the least is 1");
    let error = LocalBackend::<u32>::new(LocalConfig::new().max_weight(0, |_, _| 1)).unwrap_err();
    assert_eq!(message(&error), "max_weight is 0, the least is 1");
    let error = LocalBackend::<u32>::new(LocalConfig::new().max_counters(0)).unwrap_err();
    assert_eq!(message(&error), "max_counters is 0, the least is 1");
    let error = LocalBackend::<u32>::default().resize(0).unwrap_err();
    assert_eq!(message(&error), "capacity is 0, the least is 1");
}

#[test]
fn a_huge_capacity_allocates_nothing_ahead() {
    LocalBackend::<u32>::new(LocalConfig::new().max_entries(u64::MAX - 1)).unwrap();
    LocalBackend::<u32>::new(LocalConfig::new().max_entries(u64::MAX)).unwrap();
}

#[test]
fn a_number_of_shards_that_is_no_power_of_two_up_to_1024_is_refused() {
    for shards in [0, 3, 2_048, usize::MAX] {
        let error = LocalBackend::<u32>::new(LocalConfig::new().shards(shards)).unwrap_err();
        let expected = format!("shards is {shards}, allowed are powers of two from 1 to 1024");
        assert_eq!(message(&error), expected);
    }
    for shards in [1, 2, 64, 1_024] {
        LocalBackend::<u32>::new(LocalConfig::new().shards(shards)).unwrap();
    }
}
