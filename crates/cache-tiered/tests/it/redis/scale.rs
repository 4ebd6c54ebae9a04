//! Many keys: of others, and in a burst.

use std::time::Duration;

use cache_core::{CacheBackend, Scope};
use cache_testbed::{Flavor, Server};

use super::{connect, eventually, held, stats, warm};

#[tokio::test(flavor = "multi_thread")]
async fn a_million_keys_of_others_are_untouched_by_a_clear_of_both_tiers() {
    let server = Server::builder(Flavor::Redis7).start();
    let populate = "for i = 1, 1000000 do redis.call('SET', 'cachet:' .. i, 'theirs') end";
    // It takes longer than a command of the testbed may.
    let socket = server.unix_socket();
    let filled = std::process::Command::new("redis-cli")
        .args(["-s", socket.to_str().expect("the path is text")])
        .args(["EVAL", populate, "0"])
        .output()
        .expect("redis-cli is installed with the server");
    assert!(filled.status.success(), "{filled:?}");
    let node = connect(&server).await;
    let names: Vec<String> = (0..500).map(|number| format!("key {number}")).collect();
    let entries = names.iter().map(|key| (key.as_str(), "ours".to_owned()));
    node.set_many(entries.collect(), cache_core::Expiry::Never)
        .await
        .unwrap();
    warm(&node, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_eq!(node.clear(&Scope::root()).await.unwrap(), 500);
    assert!(names.iter().all(|key| held(&node, key).is_none()));
    // Theirs, and the key by which a flush is noticed.
    assert_eq!(server.command(&["DBSIZE"]).integer(), 1_000_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_changes_is_followed_or_forgotten_and_the_first_tier_lives_on() {
    let server = Server::builder(Flavor::Redis8).start();
    let node = connect(&server).await;
    let burst = "for i = 1, 100000 do redis.call('SET', 'cache:' .. i, 'x') end";
    server.command(&["EVAL", burst, "0"]);
    let told = || async { stats(&node).messages + 100_000 * stats(&node).flushes >= 100_000 };
    eventually(Duration::from_secs(10), told).await;
    node.ready().await;
    let options =
        cache_core::BackendWrite::new(cache_core::Expiry::Never, cache_core::Condition::Always);
    node.set("key", "value".into(), options).await.unwrap();
    warm(&node, &["key"]).await;
}
