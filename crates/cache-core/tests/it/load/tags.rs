//! Tags: what is absent after their invalidation, loads that are under way included.

use std::sync::Arc;
use std::time::Duration;

use cache_conformance::Fault;
use cache_core::{Cache, ErrorKind, LoadError, LoadOptions, Loaded, SetOptions};
use tokio::task::JoinHandle;

use super::{
    Answer, Loading, MS, SECOND, Source, World, failing, not_called, remote_world, settle, value,
    world, world_with,
};

const HOUR: Duration = Duration::from_secs(3600);
const TEAM: SetOptions<'_> = SetOptions::new().tags(&["team"]);

/// Gets a key in a task of its own, with a loader that waits and gives its value a tag.
fn get(world: &World, source: &Source, value: u32, tag: &'static str) -> JoinHandle<Answer> {
    let (cache, source) = (world.cache.clone(), source.clone());
    tokio::spawn(async move {
        let load = async move |_| Ok(Loaded::value(source.load(value).await?).tags([tag]));
        cache.entry("key").or_load(load).await
    })
}

async fn tagged(value: u32) -> std::io::Result<Loaded<u32>> {
    Ok(Loaded::value(value).tags(["team"]))
}

#[tokio::test(start_paused = true)]
async fn what_was_loaded_before_an_invalidation_is_not_stored_and_not_joined() {
    for world in [world(), remote_world()] {
        // A tag that was in use before the load, and one that was not.
        for (round, tag) in ["known", "new"].into_iter().enumerate() {
            let known = SetOptions::new().tags(&["known"]);
            world.cache.set_with("other", 0u32, known).await.unwrap();
            let source = Source::default();
            let old = get(&world, &source, 1, tag);
            let waits = get(&world, &source, 2, tag);
            settle().await;
            assert_eq!(source.calls(), 1, "{tag}");
            world.cache.delete_by_tag(tag).await.unwrap();
            let new = get(&world, &source, 3, tag);
            settle().await;
            source.let_go(1);
            assert_eq!(value(old).await, Some(1), "{tag}");
            assert_eq!(value(waits).await, Some(1), "{tag}");
            settle().await;
            assert_eq!(world.cache.get("key").await.unwrap(), None, "{tag}");
            // Who came after it has no use for that, and loads on its own.
            assert_eq!(source.calls(), 2, "{tag}");
            source.let_go(1);
            assert_eq!(value(new).await, Some(3), "{tag}");
            assert_eq!(world.cache.get("key").await.unwrap(), Some(3), "{tag}");
            assert_eq!(world.cache.stats().loads.pending, 0, "{round}");
            world.cache.delete("key").await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_of_another_tag_concerns_no_load() {
    for world in [world(), remote_world()] {
        let source = Source::default();
        let old = get(&world, &source, 1, "team");
        settle().await;
        world.cache.delete_by_tag("other").await.unwrap();
        let joins = get(&world, &source, 2, "team");
        settle().await;
        source.let_go(1);
        assert_eq!(value(old).await, Some(1));
        assert_eq!(value(joins).await, Some(1));
        assert_eq!(
            (source.calls(), world.cache.get("key").await.unwrap()),
            (1, Some(1))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_over_a_load_is_judged_by_its_own_beginning() {
    let world = world();
    let source = Source::default();
    let leads = get(&world, &source, 1, "team");
    let waits = get(&world, &source, 2, "team");
    settle().await;
    world.cache.delete_by_tag("team").await.unwrap();
    leads.abort();
    settle().await;
    let joins = get(&world, &source, 3, "team");
    settle().await;
    source.let_go(1);
    assert_eq!(value(waits).await, Some(2));
    assert_eq!(value(joins).await, Some(2));
    assert_eq!(source.calls(), 2);
    assert_eq!(world.cache.get("key").await.unwrap(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_load_in_the_background_that_began_before_an_invalidation_is_not_stored() {
    let world = world_with(|builder| builder.default_ttl(10).keep_stale(HOUR));
    world
        .cache
        .entry("key")
        .or_load(async |_| tagged(1).await)
        .await
        .unwrap();
    // Ahead of its end, after its end, and because it takes too long.
    let ahead = LoadOptions::new().refresh_ahead(0.5);
    let stale = LoadOptions::new().stale_while_revalidate(HOUR);
    let soft = LoadOptions::new().fail_safe(HOUR, SECOND).soft_timeout(MS);
    for (options, later) in [(ahead, 6), (stale, 11), (soft, 11)] {
        world.cache.set_with("key", 1u32, TEAM).await.unwrap();
        world
            .cache
            .entry("key")
            .refresh(async |_| tagged(1).await)
            .await
            .unwrap();
        world.hand.advance(later * SECOND);
        let source = Source::default();
        let new = source.clone();
        let load = async move |_| {
            Ok::<_, std::io::Error>(Loaded::value(new.load(2).await?).tags(["team"]))
        };
        let got = world
            .cache
            .entry("key")
            .options(options)
            .or_load(load)
            .await;
        assert_eq!(got.unwrap(), Some(1));
        source.has_begun().await;
        world.cache.delete_by_tag("team").await.unwrap();
        source.let_go(1);
        settle().await;
        assert_eq!(world.cache.get_entry("key").await.unwrap(), None);
        assert_eq!(world.cache.stats().loads.pending, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bulk_load_gives_tags_and_is_fenced_by_them() {
    for world in [world(), remote_world()] {
        let source = Source::default();
        let (cache, new) = (world.cache.clone(), source.clone());
        let load = tokio::spawn(async move {
            let load = move |missing: Vec<String>| {
                let source = new.clone();
                async move {
                    source.load(0).await?;
                    let pair = |key: String| {
                        let tag = if key == "a" { "team" } else { "other" };
                        (key, Loaded::value(1).tags([tag]))
                    };
                    Ok::<_, std::io::Error>(missing.into_iter().map(pair).collect::<Vec<_>>())
                }
            };
            cache.get_many_or_load(&["a", "b"], load).await
        });
        source.has_begun().await;
        world.cache.delete_by_tag("team").await.unwrap();
        source.let_go(1);
        let got = load.await.unwrap().unwrap();
        assert!(got.into_iter().all(|value| value.unwrap() == Some(1)));
        assert_eq!(
            world.cache.mget(&["a", "b"]).await.unwrap(),
            [None, Some(1)]
        );
        world.cache.delete_by_tag("other").await.unwrap();
        assert_eq!(world.cache.mget(&["a", "b"]).await.unwrap(), [None, None]);
    }
}

#[tokio::test]
async fn a_soft_end_keeps_what_fail_safe_serves_and_a_hard_one_does_not() {
    let world = world_with(|builder| {
        let options = LoadOptions::new().fail_safe(HOUR, SECOND);
        builder
            .default_ttl(60)
            .keep_stale(HOUR)
            .load_options(options)
    });
    let cache = &world.cache;
    cache
        .entry("key")
        .or_load(async |_| tagged(1).await)
        .await
        .unwrap();
    cache.expire_by_tag("team").await.unwrap();
    assert_eq!(cache.get("key").await.unwrap(), None);
    let kept = cache.get_entry("key").await.unwrap().expect("it is kept");
    assert!(kept.is_stale() && kept.value == 1);
    let served = cache.entry("key").or_load(async |_| failing().await).await;
    assert_eq!(served.unwrap(), Some(1));

    cache.delete_by_tag("team").await.unwrap();
    world.hand.advance(2 * SECOND);
    assert_eq!(cache.get_entry("key").await.unwrap(), None);
    let failed = cache.entry("key").or_load(async |_| failing().await).await;
    assert!(matches!(failed, Err(LoadError::Loader(_))));
}

#[tokio::test]
async fn a_value_that_is_still_right_keeps_its_tags() {
    let world = world_with(|builder| builder.default_ttl(60).keep_stale(HOUR));
    let cache = &world.cache;
    let unchanged = async |_| Loading::Ok(0).map(|_| Loaded::unchanged());
    cache
        .entry("key")
        .or_load(async |_| tagged(1).await)
        .await
        .unwrap();
    // While it is there, and after its end.
    for later in [1, 61] {
        world.hand.advance(later * SECOND);
        let got = match later {
            1 => cache.entry("key").refresh(unchanged).await,
            _ => cache.entry("key").or_load(unchanged).await,
        };
        assert_eq!(got.unwrap(), Some(1));
        assert_eq!(cache.get("key").await.unwrap(), Some(1));
    }
    cache.delete_by_tag("team").await.unwrap();
    assert_eq!(cache.get_entry("key").await.unwrap(), None);
}

#[tokio::test]
async fn a_namespace_has_tags_of_its_own() {
    let world = world();
    let other = world.cache.namespace("other").unwrap();
    for cache in [&world.cache, &other] {
        cache.set_with("key", 1u32, TEAM).await.unwrap();
    }
    other.delete_by_tag("team").await.unwrap();
    assert_eq!(other.get("key").await.unwrap(), None);
    assert_eq!(world.cache.get("key").await.unwrap(), Some(1));
    let refused = world.cache.namespace("_tag").unwrap_err();
    assert!(refused.to_string().contains("namespace"));
}

#[tokio::test]
async fn a_bad_tag_of_a_loader_is_an_error_that_names_it() {
    let world = world();
    let many: Vec<String> = (0..33).map(|number| number.to_string()).collect();
    for (tags, named) in [
        (vec![String::new()], "tag is empty"),
        (many, "tags are 33, the most is 32"),
    ] {
        let load = async move |_| Loading::Ok(1).map(|value| Loaded::value(value).tags(tags));
        let error = world.cache.entry("key").or_load(load).await.unwrap_err();
        let error = error.cache().expect("it is not the loader's").to_string();
        assert!(error.contains(named), "{error}");
        assert_eq!(world.cache.get("key").await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_invalidation_that_fails_says_so_and_can_be_repeated() {
    let world = world();
    world.cache.set_with("key", 1u32, TEAM).await.unwrap();
    world.backend.script([Fault::Fail(ErrorKind::Unavailable)]);
    let failed = world.cache.delete_by_tag("team").await.unwrap_err();
    assert_eq!(failed.kind(), &ErrorKind::Unavailable);
    assert_eq!(world.cache.get("key").await.unwrap(), Some(1));
    world.cache.delete_by_tag("team").await.unwrap();
    assert_eq!(world.cache.get("key").await.unwrap(), None);
}

#[tokio::test]
async fn without_a_ticket_a_value_with_tags_is_served_and_not_stored() {
    let world = world();
    // The read, then the ticket.
    world
        .backend
        .script([Fault::None, Fault::Fail(ErrorKind::Unavailable)]);
    let got = world
        .cache
        .entry("key")
        .or_load(async |_| tagged(1).await)
        .await;
    assert_eq!(got.unwrap(), Some(1));
    assert_eq!(world.cache.get("key").await.unwrap(), None);
    assert_eq!(world.cache.stats().loads.not_stored, 1);
    let got = world
        .cache
        .entry("key")
        .or_load(async |_| tagged(2).await)
        .await;
    assert_eq!(got.unwrap(), Some(2));
    let got = world.cache.entry("key").or_load(|_| not_called()).await;
    assert_eq!(got.unwrap(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn another_process_invalidates_what_is_being_loaded_here() {
    let world = world();
    let source = Source::default();
    let load = get(&world, &source, 1, "team");
    source.has_begun().await;
    // It knows nothing of our flights.
    let other = Cache::<u32>::new(Arc::clone(&world.backend));
    other.delete_by_tag("team").await.unwrap();
    source.let_go(1);
    assert_eq!(value(load).await, Some(1));
    assert_eq!(world.cache.get("key").await.unwrap(), None);
}

#[tokio::test]
async fn an_absence_with_tags_is_not_remembered() {
    let world = world_with(|builder| builder.load_options(LoadOptions::new().absent_ttl(HOUR)));
    let source = Source::default();
    for (tags, calls) in [(vec!["team"], [1, 2]), (vec![], [3, 3])] {
        for calls in calls {
            let (loaded, tags) = (source.clone(), tags.clone());
            loaded.let_go(1);
            let load = async move |_| {
                loaded.load(0).await?;
                Ok::<_, std::io::Error>(Loaded::absent().tags(tags))
            };
            let got = world.cache.entry("nobody").or_load(load).await;
            assert_eq!((got.unwrap(), source.calls()), (None, calls));
        }
    }
}

#[tokio::test]
async fn a_load_that_may_give_no_tags_asks_for_no_ticket_and_refuses_them() {
    let options = LoadOptions::new().allow_tags(false);
    let world = world_with(|builder| builder.load_options(options));
    // The read and the write.
    world
        .backend
        .script([Fault::None, Fault::Fail(ErrorKind::Unavailable)]);
    let got = world.cache.entry("key").or_load(async |_| Loading::Ok(1));
    assert_eq!(got.await.unwrap(), Some(1));
    assert_eq!(world.cache.stats().loads.not_stored, 1);
    let got = world
        .cache
        .entry("key")
        .or_load(async |_| tagged(1).await)
        .await;
    let error = got.unwrap_err().cache().expect("the cache's").to_string();
    assert!(error.contains("tags are given by a loader"), "{error}");
    assert_eq!(world.cache.get("key").await.unwrap(), None);
}
