//! What a run is to be.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Fault;

/// How stale a cache may be, whatever happens.
pub(crate) const BOUND: Duration = Duration::from_secs(1);
/// How long a round trip to the store may take.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_millis(500);

/// The cache that is put to the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Mode {
    /// The store alone.
    Redis,
    /// Two tiers and client tracking.
    Tracking,
    /// Two tiers and messages between the processes.
    PubSub,
    /// Two tiers and no bus.
    NoBus,
}

/// The servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[non_exhaustive]
pub enum Setup {
    /// One, behind proxies.
    Standalone,
    /// A master, a replica and Sentinels.
    Sentinels,
    /// Three masters with a replica each.
    Cluster,
}

/// What a run is to be.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The cache.
    pub mode: Mode,
    /// The servers.
    pub setup: Setup,
    /// What the choices of the workers and of the faults follow from.
    pub seed: u64,
    /// How many workers there are.
    pub processes: u32,
    /// How many keys they write; they load a quarter as many others.
    pub keys: u32,
    /// The most operations of a worker in a second.
    pub rate: u32,
    /// How long it goes well at first.
    pub warm_up: Duration,
    /// How long there are faults.
    pub faulty: Duration,
    /// How long it goes well at the end before everything has to agree.
    pub quiet: Duration,
    /// Which faults there may be.
    pub faults: Vec<Fault>,
    /// How long it goes well between two faults, in milliseconds.
    pub pause_ms: Range<u64>,
    /// How long a fault lasts, in milliseconds.
    pub fault_ms: Range<u64>,
    /// The least share of reads that find a value while nothing is wrong.
    pub least_hits: f64,
    /// The program of the workers.
    pub worker: PathBuf,
}

impl Plan {
    /// Plans four processes on one server, with all the faults that it can have, for this long.
    #[must_use]
    pub fn new(worker: impl Into<PathBuf>, mode: Mode, faulty: Duration) -> Self {
        let is_long = faulty >= Duration::from_secs(15);
        Self {
            mode,
            setup: Setup::Standalone,
            seed: fastrand::u64(..),
            processes: 4,
            keys: 128,
            rate: 250,
            warm_up: Duration::from_secs(2),
            faulty,
            quiet: Duration::from_secs(match mode {
                // What was not published is tried again with pauses of up to 7.5 s.
                Mode::PubSub => 9,
                _ => 5,
            }),
            faults: Fault::ALL.to_vec(),
            pause_ms: if is_long { 1000..5000 } else { 300..1000 },
            fault_ms: if is_long { 100..8000 } else { 100..2500 },
            least_hits: 0.2,
            worker: worker.into(),
        }
    }

    /// Has these faults alone.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_proof::{Fault, Mode, Plan};
    ///
    /// let plan = Plan::new("worker", Mode::Tracking, Duration::from_secs(5));
    /// assert_eq!(plan.with_faults(&[Fault::BusDown]).faults, [Fault::BusDown]);
    /// ```
    #[must_use]
    pub fn with_faults(mut self, faults: &[Fault]) -> Self {
        self.faults = faults.to_vec();
        self
    }
}

/// What a worker is told, as its argument.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) mode: Mode,
    /// Which process it is: each that is started has a number of its own.
    pub(crate) process: u32,
    /// How many there are at a time, of which each has its share of the keys.
    pub(crate) processes: u32,
    /// How many keys are written; there are others, which are loaded.
    pub(crate) keys: u32,
    pub(crate) rate: u32,
    pub(crate) seed: u64,
    /// Where the store is, for values and for the bus.
    pub(crate) data_url: String,
    pub(crate) bus_url: String,
    /// The file of what is loaded.
    pub(crate) source: PathBuf,
    /// Where to write the history.
    pub(crate) history: PathBuf,
    /// The histories of those that have died in this place.
    pub(crate) before: Vec<PathBuf>,
}

impl Order {
    /// Returns which share of the keys the process has.
    pub(crate) const fn place(&self) -> u32 {
        self.process % self.processes
    }
}
