//! The entry API: what is said of a key holds for each kind of loader.

use std::io;

use cache_core::{Cache, LoadOptions, Loaded};

use super::{Answer, remote_world, world};

const TAGS: [&str; 2] = ["team", "page"];
const KINDS: [&str; 4] = ["or_insert_with", "or_try_insert_with", "or_load", "refresh"];

/// Loads the key by one of the kinds of loader, for a minute and with both tags.
async fn load(cache: &Cache<u32>, kind: &str) {
    let borrowed = String::from("1");
    let entry = cache.entry("key").ttl(60).tags(TAGS);
    let loaded = match kind {
        "or_insert_with" => Some(
            entry
                .or_insert_with(async || borrowed.len() as u32)
                .await
                .expect("nothing fails"),
        ),
        "or_try_insert_with" => {
            let loaded = entry.or_try_insert_with(async || borrowed.parse::<u32>());
            Some(loaded.await.expect("nothing fails"))
        }
        "or_load" => entry
            .or_load(async |_| Ok::<_, io::Error>(1))
            .await
            .expect("nothing fails"),
        "refresh" => entry
            .refresh(async |_| Ok::<_, io::Error>(1))
            .await
            .expect("nothing fails"),
        other => unreachable!("{other} is no kind"),
    };
    assert_eq!(loaded, Some(1), "{kind}");
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_loader_takes_a_time_to_live_and_tags() {
    for world in [world(), remote_world()] {
        for kind in KINDS {
            for tag in TAGS {
                load(&world.cache, kind).await;
                assert_eq!(world.cache.ttl("key").await.unwrap(), Some(60), "{kind}");
                world.cache.delete_by_tag(tag).await.unwrap();
                assert_eq!(world.cache.get("key").await.unwrap(), None, "{kind}: {tag}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_loader_says_of_its_value_comes_first_and_its_tags_come_besides() {
    let world = world();
    for tag in ["team", "of the loader"] {
        let entry = world.cache.entry("key").ttl(60).tags(["team"]);
        let answer: Answer = entry
            .or_load(async |_| Ok(Loaded::value(1).ttl(5).tags(["of the loader"])))
            .await;
        assert_eq!(answer.unwrap(), Some(1));
        assert_eq!(world.cache.ttl("key").await.unwrap(), Some(5));
        world.cache.delete_by_tag(tag).await.unwrap();
        assert!(!world.cache.exists("key").await.unwrap(), "{tag}");
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_options_the_one_that_is_said_last_holds_and_the_others_stay() {
    let world = world();
    let of_an_hour = LoadOptions::new().ttl(3600).hard_timeout(super::SECOND);
    let entry = world.cache.entry("key").ttl(60).options(of_an_hour);
    entry.or_insert_with(async || 1).await.unwrap();
    assert_eq!(world.cache.ttl("key").await.unwrap(), Some(3600));
    world.cache.delete("key").await.unwrap();

    let entry = world.cache.entry("key").options(of_an_hour).ttl(60);
    entry.or_insert_with(async || 1).await.unwrap();
    assert_eq!(world.cache.ttl("key").await.unwrap(), Some(60));
    world.cache.delete("key").await.unwrap();
    let entry = world.cache.entry("key").options(of_an_hour).ttl(60);
    let late = entry.or_insert_with(async || {
        tokio::time::sleep(2 * super::SECOND).await;
        1
    });
    let error = late.await.unwrap_err();
    assert_eq!(error.operation(), Some("or_insert_with"));
}
