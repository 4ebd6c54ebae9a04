//! Transactions by several processes, each with a memory of its own.

use std::sync::Arc;

use cache_core::{Cache, Error, ErrorKind};
use cache_testbed::{Flavor, Server};
use tokio::task::JoinSet;

use crate::redis::{BOUND, Bus, Tiered, connect_with, eventually, held, warm};

const ACCOUNTS: [&str; 4] = ["ann", "ben", "cay", "dan"];
const EACH: u64 = 1_000;

fn balance(found: Option<&String>) -> u64 {
    let found = found.expect("every account is there");
    found.parse().expect("a number")
}

/// Moves some money, unless somebody was faster too often; checks that none was lost or made.
async fn transfer(cache: &Cache<String>, from: &str, to: &str, amount: u64) -> bool {
    let moved = cache.transaction(&ACCOUNTS, |transaction| {
        let mut sum = 0;
        for account in ACCOUNTS {
            sum += balance(transaction.get(account)?);
        }
        assert_eq!(sum, EACH * ACCOUNTS.len() as u64);
        let [of_from, of_to] = [from, to].map(|account| transaction.get(account));
        let (of_from, of_to) = (balance(of_from?), balance(of_to?));
        if of_from >= amount {
            transaction.set(from, (of_from - amount).to_string())?;
            transaction.set(to, (of_to + amount).to_string())?;
        }
        Ok::<_, Error>(())
    });
    match moved.await {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(*error.kind(), ErrorKind::Conflict);
            false
        }
    }
}

async fn open(cache: &Cache<String>) {
    for account in ACCOUNTS {
        cache
            .set(account, EACH.to_string())
            .await
            .expect("the server answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_memories_move_over_one_server_is_neither_lost_nor_made() {
    let server = Server::builder(Flavor::Redis7).start();
    for bus in [Bus::Tracking, Bus::PubSub] {
        let nodes: [Arc<Tiered>; 2] = [
            connect_with(server.port(), bus).await,
            connect_with(server.port(), bus).await,
        ];
        let caches = nodes.clone().map(Cache::<String>::new);
        open(&caches[0]).await;
        let mut tasks = JoinSet::new();
        for task in 0..4 {
            let cache = caches[task % 2].clone();
            tasks.spawn(async move {
                let mut moved = 0;
                for round in 0..10 {
                    let from = ACCOUNTS[(task + round) % 4];
                    let to = ACCOUNTS[(task + 2 * round + 1) % 4];
                    if from != to {
                        let amount = 1 + round as u64;
                        moved += u64::from(transfer(&cache, from, to, amount).await);
                    }
                    // What memory keeps must not be what the next transfer starts from.
                    cache.get(from).await.unwrap();
                }
                moved
            });
        }
        let moved: u64 = tasks.join_all().await.iter().sum();
        assert!(moved > 0);
        // Each memory comes to hold what the server does.
        let truth = caches[0].watch(&ACCOUNTS).await.unwrap();
        let truth = ACCOUNTS.map(|account| balance(truth.get(account).unwrap()));
        assert_eq!(truth.iter().sum::<u64>(), EACH * 4);
        for cache in &caches {
            let agrees = || async {
                let found = cache.mget(&ACCOUNTS).await.unwrap();
                found.iter().map(|found| balance(found.as_ref())).eq(truth)
            };
            eventually(BOUND * 10, agrees).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_see_every_key_of_a_commit_within_the_bound_on_both_buses() {
    let server = Server::builder(Flavor::Valkey9).start();
    for bus in [Bus::Tracking, Bus::PubSub] {
        let one = Cache::<String>::new(connect_with(server.port(), bus).await);
        let backend = connect_with(server.port(), bus).await;
        let other: Cache<String> = Cache::new(Arc::clone(&backend));
        for round in 0..5 {
            open(&one).await;
            let start = [EACH.to_string(), EACH.to_string()];
            let is_open = || async {
                let found = other.mget(&ACCOUNTS[..2]).await.unwrap();
                found.iter().flatten().eq(&start)
            };
            eventually(BOUND * 10, is_open).await;
            warm(&backend, &ACCOUNTS[..2]).await;
            let mut transaction = one.watch(&["ann"]).await.unwrap();
            transaction.set("ann", round.to_string()).unwrap();
            transaction.delete("ben").unwrap();
            transaction.commit().await.unwrap();
            let is_seen = || async {
                let found = other.mget(&ACCOUNTS[..2]).await.unwrap();
                found == [Some(round.to_string()), None]
            };
            eventually(BOUND, is_seen).await;
            assert_eq!(held(&backend, "ben"), None);
        }
    }
}
