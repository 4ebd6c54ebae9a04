//! Transactions: what many of them do to a sum, and what C26 and C27 say of a commit.

use std::sync::Arc;

use cache_core::{CacheBackend, Error, ErrorKind, Expiry, TransactionWrite};

use super::concurrency::race;
use super::transactions::{A, B, Calls, ROUNDS, TASKS, set};
use crate::probe::Probe;
use crate::{Fixture, Skipped};

/// C36: what commits move from one key to another is at no moment lost or there twice.
pub async fn c36_what_commits_move_is_neither_lost_nor_made<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    const ACCOUNTS: [&str; 3] = ["{keys}x", "{keys}y", "{keys}z"];
    const EACH: u64 = 100;
    let probe = Probe::fresh(fixture).await;
    Calls::of_many(&probe).await?;
    for account in ACCOUNTS {
        let balance = EACH.to_string();
        probe.set(account, &balance, Expiry::Never).await;
    }
    let task = |number: usize| {
        let backend = Arc::clone(probe.backend());
        async move {
            let calls = Calls::<F>(backend.abilities().transactions.expect("it had some"));
            for round in 0..ROUNDS {
                let (found, watch) = calls.watch(&ACCOUNTS).await;
                let balance = |found: &Option<String>| found.as_ref()?.parse::<u64>().ok();
                let balances: Option<Vec<u64>> = found.iter().map(balance).collect();
                let balances = balances.expect("C36: every account is there");
                let promise = "C36: what commits move is neither lost nor made";
                assert_eq!(balances.iter().sum::<u64>(), EACH * 3, "{promise}");
                let [from, to] = [(number + round) % 3, (number + 2 * round + 1) % 3];
                if from != to && balances[from] > 0 {
                    let moved = [balances[from] - 1, balances[to] + 1].map(|left| left.to_string());
                    let writes = [from, to].into_iter().zip(&moved);
                    let writes = writes.map(|(account, left)| (ACCOUNTS[account], set(left)));
                    calls.commit(watch, writes.collect()).await;
                }
            }
        }
    };
    race(TASKS, task).await;
    Ok(())
}

/// C26: a commit into a full backend keeps the bound and all that it writes.
pub async fn c26_a_commit_keeps_the_bound<F: Fixture>(fixture: &F) -> Result<(), Skipped> {
    const BOUND: u64 = 4;
    const KEYS: [&str; 6] = [
        "{keys}a", "{keys}b", "{keys}c", "{keys}d", "{keys}e", "{keys}f",
    ];
    let backend = fixture.bounded(BOUND).await.ok_or(Skipped::BOUND)?;
    let probe = Probe::of(fixture, backend);
    let calls = Calls::of(&probe)?;
    for round in 0..KEYS.len() * 2 {
        let keys: Vec<&str> = KEYS.into_iter().cycle().skip(round).take(4).collect();
        let (_, watch) = calls.watch(&keys[..2]).await;
        let writes = keys[1..].iter().map(|key| (*key, set("new")));
        assert!(calls.commit(watch, writes.collect()).await);
        let found = probe.get_many(&KEYS).await;
        let held = found.iter().flatten().count() as u64;
        assert!(
            held <= BOUND,
            "C26: a bound of {BOUND} entries, {held} are held"
        );
        let found = probe.get_many(&keys[1..]).await;
        let all = found.iter().all(|value| value.as_deref() == Some("new"));
        assert!(all, "C26: a commit that fits is held: {found:?}");
    }
    Ok(())
}

/// C27: a value that can never fit is refused with all that is written beside it.
pub async fn c27_a_commit_of_what_never_fits_changes_nothing<F: Fixture>(
    fixture: &F,
) -> Result<(), Skipped> {
    let (backend, value) = fixture.oversized().await.ok_or(Skipped::OVERSIZED)?;
    let probe = Probe::of(fixture, backend);
    let calls = Calls::of_many(&probe).await?;
    for key in [A, B] {
        probe.set(key, "old", Expiry::Never).await;
    }
    for place in 0..3 {
        let (_, watch) = calls.watch(&[A]).await;
        let mut writes = vec![(A, set("new")), (B, TransactionWrite::Delete)];
        let too_large = TransactionWrite::Set(value.clone(), Expiry::Never);
        writes.insert(place, ("{keys}large", too_large));
        let refused = calls.0.commit(watch, writes).await.err();
        let kind = refused.as_ref().map(Error::kind);
        assert!(
            matches!(kind, Some(ErrorKind::TooLarge { weight, limit }) if weight > limit),
            "C27: a commit of a value that never fits is TooLarge, was {kind:?}"
        );
        for key in [A, B] {
            let promise = "C27: a refused commit changes nothing";
            probe.assert_value(key, Some("old"), promise).await;
        }
    }
    Ok(())
}
