//! Errors of loads, where applications hand them on.

use std::error::Error as StdError;
use std::{fmt, io};

use anyhow::{Context, anyhow};
use cache_core::{Cache, ErrorKind, LoadError, LoadOptions};

use super::{SECOND, world};

type Boxed = Box<dyn StdError + Send + Sync>;

/// An error with a cause.
#[derive(Debug)]
struct Broken(io::Error);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no database")
    }
}

impl StdError for Broken {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.0)
    }
}

fn broken() -> Broken {
    Broken(io::Error::other("refused"))
}

async fn of_anyhow(cache: &Cache<u32>) -> anyhow::Result<u32> {
    let load = async || Err(broken()).context("user 1");
    Ok(cache.get_or_try_insert_with("key", load).await?)
}

async fn of_anyhow_in_the_background(cache: &Cache<u32>) -> anyhow::Result<Option<u32>> {
    let load = async |_| Err::<u32, _>(anyhow!("no user"));
    cache.entry("key").or_load(load).await.context("user 1")
}

async fn of_a_box(cache: &Cache<u32>) -> Result<u32, Boxed> {
    let load = async || Err::<u32, Boxed>(Box::new(broken()));
    Ok(cache.get_or_try_insert_with("key", load).await?)
}

async fn of_anyhow_as_a_box(cache: &Cache<u32>) -> Result<Option<u32>, Box<dyn StdError>> {
    let load = async |_| Err::<u32, _>(anyhow!("no user"));
    Ok(cache.entry("key").refresh(load).await?)
}

async fn of_a_box_as_anyhow(cache: &Cache<u32>) -> anyhow::Result<u32> {
    let load = async |_: Vec<String>| Err::<Vec<(String, u32)>, Boxed>("no users".into());
    let mut found = cache.get_many_or_load(&["key"], load).await?;
    Ok(found.remove(0)?.unwrap_or_default())
}

/// The texts of an error and of what caused it.
fn texts(error: &(dyn StdError + 'static)) -> Vec<String> {
    let chain = std::iter::successors(Some(error), |error| (*error).source());
    chain.map(ToString::to_string).collect()
}

#[tokio::test(start_paused = true)]
async fn the_error_of_any_loader_is_handed_on_with_a_question_mark() {
    let cache = world().cache;
    let error = of_anyhow(&cache).await.unwrap_err();
    let text = "the loader failed: user 1: no database: refused";
    assert_eq!(error.to_string(), text);
    assert!(error.downcast_ref::<LoadError<anyhow::Error>>().is_some());
    let error = of_anyhow_in_the_background(&cache).await.unwrap_err();
    assert_eq!(format!("{error:#}"), "user 1: the loader failed: no user");
    let error = of_a_box(&cache).await.unwrap_err();
    assert_eq!(
        texts(&*error),
        ["the loader failed: no database", "refused"]
    );
    let error = of_anyhow_as_a_box(&cache).await.unwrap_err();
    assert_eq!(texts(&*error), ["the loader failed: no user"]);
    let error = of_a_box_as_anyhow(&cache).await.unwrap_err();
    assert_eq!(error.to_string(), "the loader failed: no users");
}

#[tokio::test(start_paused = true)]
async fn the_causes_of_an_error_that_is_known_come_after_it_and_are_not_told_twice() {
    let io = io::Error::other(broken());
    let error = LoadError::Loader(io.into());
    assert_eq!(texts(&error), ["the loader failed: no database", "refused"]);
    let cache = cache_core::Error::backend(broken());
    let error = LoadError::Loader(cache.into());
    let expected = [
        "the loader failed: the store failed",
        "no database",
        "refused",
    ];
    assert_eq!(texts(&error), expected);
    // Of another type it is known what it says. Its causes are there for whoever knows the type.
    let error = LoadError::Loader(broken().into());
    assert_eq!(texts(&error), ["the loader failed: no database"]);
    let loader = error.loader().expect("the loader failed");
    assert_eq!(texts(loader), ["no database", "refused"]);
    let error = LoadError::<String>::Loader("no user".to_owned().into());
    assert_eq!(texts(&error), ["the loader failed: no user"]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_cache_is_told_as_it_is() {
    let cache = world().cache;
    let options = LoadOptions::new().hard_timeout(SECOND);
    let load = async |_| std::future::pending::<anyhow::Result<u32>>().await;
    let error = cache.entry("key").options(options).or_load(load).await;
    let error = error.unwrap_err();
    let kind = ErrorKind::LoadTimeout { limit: SECOND };
    assert_eq!(error.cache().map(cache_core::Error::kind), Some(&kind));
    let text = error.cache().map(ToString::to_string);
    assert_eq!(Some(&texts(&error)[0]), text.as_ref());
    let error: LoadError<anyhow::Error> = cache_core::Error::backend(broken()).into();
    assert_eq!(
        texts(&error),
        ["the store failed", "no database", "refused"]
    );
}
