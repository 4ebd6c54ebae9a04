//! One round trip for each verb, counted by the server.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use cache_core::{
    Cache, CacheBackend, Cursor, EncodedBackend, Expiry, LoadOptions, MsgPackCodec, Scope,
    SetOptions,
};
use cache_redis::RedisStore;
use cache_testbed::{Cluster, Flavor, Server, slot_of_key};

use crate::{connect, connect_patiently};

/// Runs an operation and returns the commands that the server was sent meanwhile.
async fn sent<T>(server: &Server, operation: impl Future<Output = T>) -> Vec<(String, u64)> {
    server.reset_stats();
    operation.await;
    let stats = server.command(&["INFO", "commandstats"]).text();
    let mut calls: Vec<(String, u64)> = stats
        .lines()
        .filter_map(|line| {
            let (name, counts) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let count = counts.split(',').next()?.parse().ok()?;
            Some((name.to_owned(), count))
        })
        // The test's own, and signs of life.
        .filter(|(name, _)| !matches!(name.as_str(), "config|resetstat" | "info" | "ping"))
        .collect();
    calls.sort();
    calls
}

fn once(name: &str) -> Vec<(String, u64)> {
    vec![(name.to_owned(), 1)]
}

/// One script, and what it does in the server; sorted by name.
fn script(mut within: Vec<(&str, u64)>) -> Vec<(String, u64)> {
    within.push(("evalsha", 1));
    within.sort_unstable();
    let owned = |(name, calls): (&str, u64)| (name.to_owned(), calls);
    within.into_iter().map(owned).collect()
}

async fn cache(store: RedisStore) -> Cache<String> {
    let cache = Cache::new(EncodedBackend::new(store, MsgPackCodec::new()));
    let cache = cache.with_default_ttl(60);
    // The first bulk write asks what the server can do.
    warm_up(&cache).await;
    cache
}

/// Has the server learn the scripts.
async fn warm_up(cache: &Cache<String>) {
    let calls = async {
        cache.mset([("warm", "up")]).await?;
        cache.set_nx("warm", "up").await?;
        cache.expire("warm", 1).await?;
        cache.ttl("warm").await?;
        cache.delete("warm").await
    };
    calls.await.expect("the server is healthy");
}

#[tokio::test]
async fn an_add_to_a_counter_is_one_script_of_two_commands() {
    let server = Server::builder(Flavor::Redis7).start();
    let requests = cache(connect(&server).await).await.counters("requests");
    requests.add("warm", 1, 60).await.expect("it is healthy");
    requests.get("warm").await.expect("it is healthy");
    let first = sent(&server, requests.add("key", 1, 60)).await;
    assert_eq!(first, script(vec![("pttl", 1), ("set", 1)]));
    let second = sent(&server, requests.add("key", 1, 60)).await;
    assert_eq!(second, script(vec![("incrby", 1), ("pttl", 1)]));
    let read = sent(&server, requests.get("key")).await;
    assert_eq!(read, script(vec![("get", 1), ("pttl", 1)]));
}

#[tokio::test]
async fn reads_that_follow_each_other_lengthen_the_life_of_an_idle_entry_once() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = EncodedBackend::new(connect(&server).await, MsgPackCodec::new());
    let cache: Cache<String> = Cache::builder(store).time_to_idle(600).build().unwrap();
    cache.set("key", "value").await.unwrap();
    server.command(&["PEXPIRE", "cache:key", "300000"]);
    let reads = async {
        for _ in 0..10 {
            assert_eq!(cache.get("key").await.unwrap().as_deref(), Some("value"));
        }
    };
    let sent = sent(&server, reads).await;
    let calls = |wanted: &str| {
        let of_name = sent.iter().find(|(name, _)| name == wanted);
        of_name.map_or(0, |(_, calls)| *calls)
    };
    assert_eq!((calls("get"), calls("pexpire")), (10, 1), "{sent:?}");
    let left = server.command(&["PTTL", "cache:key"]).integer();
    assert!((590_000..=600_000).contains(&left), "{left}");
}

#[tokio::test]
async fn every_verb_on_a_key_is_one_command() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(connect(&server).await).await;

    assert_eq!(sent(&server, cache.set("a", "1")).await, once("set"));
    assert_eq!(sent(&server, cache.set_ex("a", "1", 5)).await, once("set"));
    assert_eq!(sent(&server, cache.set_nx("b", "2")).await, once("set"));
    assert_eq!(
        sent(&server, cache.get_and_set("a", "3")).await,
        once("set")
    );
    assert_eq!(sent(&server, cache.get("a")).await, once("get"));

    // What a load lease is no value for looks at the first bytes, in the same command.
    let look = |command| script(vec![("getrange", 1), (command, 1)]);
    assert_eq!(sent(&server, cache.exists("a")).await, look("pttl"));
    assert_eq!(sent(&server, cache.ttl("a")).await, look("pttl"));
    assert_eq!(sent(&server, cache.expire("a", 10)).await, look("pexpire"));
    assert_eq!(sent(&server, cache.persist("a")).await, look("persist"));
    assert_eq!(sent(&server, cache.delete("a")).await, look("unlink"));
    assert_eq!(sent(&server, cache.expire("a", 0)).await, look("unlink"));
}

#[tokio::test]
async fn a_load_of_an_absent_key_is_a_read_a_claim_and_a_fill_whatever_the_verb() {
    let server = Server::builder(Flavor::Redis7).start();
    let backend = EncodedBackend::new(connect(&server).await, MsgPackCodec::new());
    let options = LoadOptions::new().ttl(60).allow_tags(false);
    let cache = Cache::<String>::builder(backend).load_options(options);
    let cache = cache.build().expect("good options");
    let value = || "value".to_owned();
    let refresh = async |key: &'static str| {
        let load = async move |_| Ok::<_, io::Error>(value());
        cache.entry(key).refresh(load).await.expect("it is healthy");
    };
    let bulk = async |keys: &[&str]| {
        let load = async |keys: Vec<String>| {
            Ok::<_, io::Error>(keys.into_iter().map(|key| (key, value())))
        };
        let answers = cache.get_many_or_load(keys, load).await;
        assert_eq!(answers.expect("it is healthy").len(), keys.len());
    };
    refresh("warm").await;
    bulk(&["warm", "up"]).await;

    // A claim looks, asks for the time and sets the lease; a fill looks, sets the value and calls who waits.
    let loads = |keys, read: [(&str, u64); 2]| {
        let [evalsha, get] = [("evalsha", 2 * keys), ("get", keys)];
        let others = ["getrange", "publish", "time"].map(|name| (name, keys));
        let mut calls = vec![evalsha, get, ("set", 2 * keys)];
        calls.extend(others);
        for (name, count) in read {
            match calls.iter_mut().find(|call| call.0 == name) {
                Some(call) => call.1 += count,
                None => calls.push((name, count)),
            }
        }
        calls.sort_unstable();
        let owned = |(name, calls): (&str, u64)| (name.to_owned(), calls);
        calls.into_iter().map(owned).collect::<Vec<_>>()
    };
    let by_script = [("evalsha", 1), ("get", 1)];
    assert_eq!(sent(&server, refresh("a")).await, loads(1, by_script));
    let at_once = [("mget", 1), ("get", 0)];
    let keys = ["b", "c", "d"];
    assert_eq!(sent(&server, bulk(&keys)).await, loads(3, at_once));
    // Of keys that are there: the read alone.
    assert_eq!(sent(&server, bulk(&keys)).await, once("mget"));
}

#[tokio::test]
async fn only_a_write_that_finds_a_value_in_its_way_is_two_commands() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(connect(&server).await).await;
    cache.set("a", "1").await.unwrap();
    let present = SetOptions::new().if_present();
    let look = script(vec![("getrange", 1), ("set", 1)]);
    assert_eq!(sent(&server, cache.set_with("a", "2", present)).await, look);
    let twice = script(vec![("getrange", 1), ("set", 2)]);
    assert_eq!(sent(&server, cache.set_nx("a", "2")).await, twice);
}

#[tokio::test]
async fn a_value_and_the_time_it_has_left_are_one_round_trip() {
    let server = Server::builder(Flavor::Redis7).start();
    let store = connect(&server).await;
    store.get_entry("warm up").await.unwrap();
    let of_the_script = |name: &str| (name.to_owned(), 1);
    // Of a key that is not there, the time is not asked for.
    assert_eq!(
        sent(&server, store.get_entry("a")).await,
        [of_the_script("evalsha"), of_the_script("get")]
    );
    store
        .set_many(vec![("a", "1".into()), ("b", "2".into())], Expiry::Never)
        .await
        .unwrap();
    assert_eq!(
        sent(&server, store.get_entry("a")).await,
        ["evalsha", "get", "pttl"].map(of_the_script)
    );
    store.get_entries(&["warm up"]).await.unwrap();
    assert_eq!(
        sent(&server, store.get_entries(&["a", "x", "b"])).await,
        [
            of_the_script("evalsha"),
            of_the_script("mget"),
            ("pttl".to_owned(), 2)
        ]
    );
}

#[tokio::test]
async fn a_hundred_keys_are_one_round_trip() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(connect(&server).await).await;
    let keys: Vec<String> = (0..100).map(|i| format!("key {i}")).collect();
    let pairs = keys.iter().map(|key| (key, "value"));

    let of_the_script = ("set".to_owned(), 100);
    assert_eq!(
        sent(&server, cache.mset(pairs)).await,
        [("evalsha".to_owned(), 1), of_the_script]
    );
    assert_eq!(sent(&server, cache.mget(&keys)).await, once("mget"));
    let look = script(vec![("getrange", 100), ("unlink", 1)]);
    assert_eq!(sent(&server, cache.mdelete(&keys)).await, look);
}

#[tokio::test]
async fn a_hundred_keys_with_a_time_to_live_are_one_msetex_where_the_server_has_it() {
    let server = Server::builder(Flavor::Valkey9).start();
    let cache = cache(connect(&server).await).await;
    let pairs: Vec<(String, &str)> = (0..100).map(|i| (format!("key {i}"), "value")).collect();
    assert_eq!(sent(&server, cache.mset(pairs)).await, once("msetex"));
    assert_eq!(cache.ttl("key 99").await.unwrap(), Some(60));
}

#[tokio::test]
async fn pairs_without_a_time_to_live_are_one_mset() {
    let server = Server::builder(Flavor::Redis8).start();
    let store = connect(&server).await;
    store
        .set_many(vec![("warm", Bytes::new())], Expiry::Never)
        .await
        .unwrap();
    let pairs = vec![
        ("a", Bytes::from("1")),
        ("b", Bytes::from("2")),
        ("a", Bytes::from("3")),
    ];
    assert_eq!(
        sent(&server, store.set_many(pairs, Expiry::Never)).await,
        once("mset")
    );
    assert_eq!(store.get("a").await.unwrap(), Some(Bytes::from("3")));
}

#[tokio::test]
async fn in_a_cluster_each_slot_is_one_command_and_the_order_is_kept() {
    let cluster = Cluster::builder(Flavor::Redis7).replicas(0).start();
    let config = cache_redis::RedisConfig::from_url(&cluster.url()).unwrap();
    let cache = cache(RedisStore::connect(config).await.unwrap()).await;
    let keys: Vec<String> = (0..100).map(|i| format!("key {i}")).collect();
    let pairs = keys.iter().map(|key| (key, key.as_str()));
    cache.mset(pairs).await.unwrap();
    let mut slots: Vec<u16> = keys
        .iter()
        .map(|key| slot_of_key(&format!("cache:{key}")))
        .collect();
    slots.sort_unstable();
    slots.dedup();

    for node in cluster.nodes() {
        node.reset_stats();
    }
    let mut asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    asked.insert(7, "absent");
    asked.push("key 3");
    let found = cache.mget(&asked).await.unwrap();
    for (key, value) in asked.iter().zip(found) {
        assert_eq!(value.as_deref(), (*key != "absent").then_some(*key));
    }
    let calls: u64 = cluster.nodes().iter().map(|node| node.calls("mget")).sum();
    let of_the_absent = u64::from(!slots.contains(&slot_of_key("cache:absent")));
    assert_eq!(calls, slots.len() as u64 + of_the_absent);
    assert_eq!(cache.mdelete(&asked).await.unwrap(), 100);
}

/// Counts the arguments of a logged command: of many the log tells the number of those that it leaves out.
fn arguments(command: &[String]) -> usize {
    let left_out = command.last().and_then(|last| {
        let number = last
            .strip_prefix("... (")?
            .strip_suffix(" more arguments)")?;
        number.parse::<usize>().ok()
    });
    match left_out {
        Some(left_out) => command.len() - 2 + left_out,
        None => command.len() - 1,
    }
}

#[tokio::test]
async fn a_million_keys_are_read_and_written_in_commands_of_bounded_size() {
    let server = Server::builder(Flavor::Valkey9).start();
    let store = connect_patiently(&server).await;
    let longest_log = ["CONFIG", "SET", "slowlog-max-len", "100000"];
    server.command(&longest_log).assert_ok();
    server.log_slower_than(Duration::ZERO);
    let keys: Vec<String> = (0..1_000_000).map(|i| format!("key {i}")).collect();
    let pairs = keys
        .iter()
        .map(|key| (key.as_str(), Bytes::from_static(b"v")))
        .collect();
    store
        .set_many(pairs, Expiry::After(Duration::from_secs(600)))
        .await
        .unwrap();
    let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
    let found = store.get_many(&asked).await.unwrap();
    assert_eq!(found.iter().flatten().count(), 1_000_000);
    // How long the server is kept from others depends on how many keys one command has.
    let sizes = |name: &str| -> Vec<usize> {
        let commands = server.logged_commands().into_iter();
        let of_name = commands.filter(|(_, command)| command[0] == name);
        let keys = of_name.map(|(_, command)| match name {
            "MSETEX" => command[1].parse().unwrap(),
            "EVALSHA" => command[2].parse().unwrap(),
            _ => arguments(&command),
        });
        keys.collect()
    };
    for command in ["MSETEX", "MGET"] {
        let keys = sizes(command);
        assert_eq!(keys.iter().sum::<usize>(), 1_000_000, "{command}");
        assert!(keys.iter().all(|keys| *keys <= 512), "{command}");
    }
    assert_eq!(store.delete_many(&asked).await.unwrap(), 1_000_000);
    // What the scripts run has pushed the first of them out of the log.
    let keys = sizes("EVALSHA");
    assert!(keys.len() > 100 && keys.iter().all(|keys| *keys <= 512));
    let page = store
        .scan(&Scope::root(), Cursor::Start, 100)
        .await
        .unwrap();
    assert_eq!((page.keys.len(), page.next), (0, None));
}

#[tokio::test]
async fn an_update_is_two_round_trips_and_take_and_get_ex_are_one() {
    let server = Server::builder(Flavor::Redis7).start();
    let cache = cache(connect(&server).await).await;
    let longer = |text: Option<&String>| format!("{}x", text.map_or("", String::as_str));
    cache.update("a", longer).await.unwrap();
    cache.update("a", longer).await.unwrap();
    cache.get_ex("a", 30).await.unwrap();
    cache.take("a").await.unwrap();

    // A new key is written as `set_nx` does.
    let new = sent(&server, cache.update("a", longer)).await;
    let names = new.iter().map(|(name, calls)| (name.as_str(), *calls));
    let expected = [("evalsha", 1), ("get", 1), ("set", 1)];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    let old = sent(&server, cache.update("a", longer)).await;
    let names = old.iter().map(|(name, calls)| (name.as_str(), *calls));
    let expected = [("evalsha", 2), ("get", 2), ("pttl", 1), ("set", 1)];
    assert_eq!(names.collect::<Vec<_>>(), expected);
    let extended = sent(&server, cache.get_ex("a", 30)).await;
    let expected = script(vec![("getrange", 1), ("get", 1), ("pexpire", 1)]);
    assert_eq!(extended, expected);
    let taken = sent(&server, cache.take("a")).await;
    assert_eq!(taken, script(vec![("get", 1), ("unlink", 1)]));
}
