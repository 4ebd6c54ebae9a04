//! Shows that caches over one shared store are never stale beyond their bound.
//!
//! [`run`] starts a store, worker processes that read and write through the library, and faults
//! between them. Everything that a worker asked and was answered is recorded with its times; the
//! checker then looks for what must not be. What a cache returns was written under that key, is whole, is
//! never older than the process has seen or written already, and never older than the bound; and what the store
//! has acknowledged is there until something removes it.
//!
//! The workers read one key or several, write and delete one or several, compare and set, take, invalidate tags and
//! clear namespaces. They load other keys from a source, a file that stands for a database: whoever changes it deletes
//! the key afterwards, and what was loaded before that is not to be served after it. One call of 25 is dropped on
//! its way. Each worker writes its history as it goes, and a write before it begins: when it is killed,
//! what was under way is of unknown outcome, and the process that takes its place goes on with later versions.
//!
//! | rule | what it finds |
//! |---|---|
//! | H1 | a value of another key, a broken one, or one that nobody wrote |
//! | H2 | a process that reads something older than it has read or written before |
//! | H3 | a read of what was overwritten or deleted longer ago than the bound |
//! | H4 | caches or a store that are wrong, or still fail, when all faults have ended |
//! | H5 | a store that goes back to an older version, or lacks what it acknowledged |
//! | H6 | a value that outlives its time to live |
//! | H7 | an operation that does not end in time |
//! | H11 | a cache that hardly ever hits while nothing is wrong |
//! | H12 | what a failed delete should have removed, read by its own process, or by any when it had its time to be repeated |
//! | H13 | a miss of what was acknowledged, when nothing can have removed it |
//!
//! H10, the linearizability of a key in the absence of faults, is tested by `linearizable.rs` of
//! this crate; H9, that no two loads of a key run at the same time, by `stampede.rs`. H8 is for locks, of
//! which none is promised to keep two holders apart.
//!
//! What a fault may break is exempt by name and counted in the [`Report`]: a write of which the
//! outcome is unknown may take effect at any later time, what a store forgets by a failover or
//! by going back to a snapshot is lost, and who dies repeats no delete and tells nobody. A bulk write that fails is
//! unknown for each of its keys.
#![expect(
    clippy::missing_panics_doc,
    reason = "a test fails by panicking, here as there"
)]

mod checker;
mod fault;
mod fleet;
mod history;
mod hunt;
mod loader;
mod nemesis;
mod observer;
mod payload;
mod plan;
mod report;
mod runner;
mod topology;
mod worker;

pub use fault::Fault;
pub use hunt::{Mutant, plan_of_hunts};
pub use loader::{LEASE, load};
pub use plan::{Mode, Plan, Setup};
pub use report::{Report, Rule, Violation};
pub use runner::run;
pub use worker::work;
