//! What is recorded of a run.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::Fault;

/// A time of `CLOCK_MONOTONIC`, which is the same clock in all processes of a machine.
pub(crate) type Nanos = u64;

/// The process number of the runner, through whose proxies all messages pass.
pub(crate) const RUNNER: u32 = u32::MAX;

pub(crate) fn now() -> Nanos {
    let time = clock_gettime(ClockId::Monotonic);
    let part = |part: i64| u64::try_from(part).expect("the clock counts from the start");
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// All that is known of a run.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) operations: Vec<Operation>,
    pub(crate) stalls: Vec<Stall>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) faults: Vec<FaultSpan>,
    pub(crate) losses: Vec<Loss>,
    /// What the store held while the run went on.
    pub(crate) observed: Vec<Observation>,
    /// What the store held at its end, before and after the last reads of the workers.
    pub(crate) settled: Vec<Observation>,
}

/// What a process writes down, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Record {
    Operation(Operation),
    Stall(Stall),
    Sample(Sample),
    Fault(FaultSpan),
    Loss(Loss),
    Observed(Observation),
    Settled(Observation),
}

/// Writes records to a file, as lines of JSON.
pub(crate) fn write(path: &Path, records: impl IntoIterator<Item = Record>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for record in records {
        serde_json::to_writer(&mut file, &record)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}

impl History {
    /// Adds what [`write()`] has written.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<()> {
        for line in BufReader::new(File::open(path)?).lines() {
            match serde_json::from_str(&line?)? {
                Record::Operation(call) => self.operations.push(call),
                Record::Stall(stall) => self.stalls.push(stall),
                Record::Sample(sample) => self.samples.push(sample),
                Record::Fault(fault) => self.faults.push(fault),
                Record::Loss(loss) => self.losses.push(loss),
                Record::Observed(seen) => self.observed.push(seen),
                Record::Settled(seen) => self.settled.push(seen),
            }
        }
        Ok(())
    }

    /// Returns what the workers have not written down themselves.
    pub(crate) fn of_the_runner(&self) -> impl Iterator<Item = Record> {
        let stalls = self.stalls.iter().filter(|stall| stall.process == RUNNER);
        let stalls = stalls.copied().map(Record::Stall);
        let faults = self.faults.iter().cloned().map(Record::Fault);
        let losses = self.losses.iter().copied().map(Record::Loss);
        let observed = self.observed.iter().copied().map(Record::Observed);
        let settled = self.settled.iter().copied().map(Record::Settled);
        let spans = stalls.chain(faults).chain(losses);
        spans.chain(observed).chain(settled)
    }
}

/// One key of one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) process: u32,
    pub(crate) key: u32,
    pub(crate) kind: Kind,
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
    /// The version that it writes. A delete has one as well: nothing older may be read after it.
    pub(crate) wrote: Option<u64>,
    /// How long what it writes lives.
    pub(crate) ttl: Option<Nanos>,
    /// Whether what it writes carries the tag of its task, so that invalidations concern it.
    pub(crate) tagged: bool,
    pub(crate) found: Option<Seen>,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Get,
    GetMany,
    /// A read after all has been well for a while.
    Last,
    Set,
    SetIfAbsent,
    Swap,
    Delete,
    /// The invalidation of a tag that the key has: a delete that leaves the value in the store.
    Invalidate,
    /// The removal of all keys of a writer that are in its namespace.
    Clear,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Done,
    /// A condition did not hold, so nothing was written.
    Refused,
    /// It failed with this error: a write may have happened, and may still happen.
    Unknown(String),
    /// No answer came in all the time that anybody would wait.
    Hung,
}

/// A value that was returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Seen {
    Whole { key: u32, version: u64 },
    Broken,
}

/// A time in which the machine did not run a process that should run.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Stall {
    pub(crate) process: u32,
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
}

/// What a process had counted at a moment.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) process: u32,
    pub(crate) at: Nanos,
    pub(crate) l1_hits: u64,
    pub(crate) l2_hits: u64,
    pub(crate) misses: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FaultSpan {
    pub(crate) name: String,
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
}

impl FaultSpan {
    /// Tells whether it was this fault.
    pub(crate) fn is(&self, fault: Fault) -> bool {
        self.name == name_of(fault)
    }
}

/// Returns the name of a fault in a history.
pub(crate) fn name_of(fault: Fault) -> String {
    format!("{fault:?}")
}

/// Acknowledged writes that the store may have forgotten.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Loss {
    /// Writes that were under way between these two moments may be lost,
    pub(crate) from: Nanos,
    pub(crate) until: Nanos,
    /// and it may be noticed from this one on.
    pub(crate) at: Nanos,
}

/// What the store held under a key.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Observation {
    /// Which life of which server it was.
    pub(crate) run: u64,
    pub(crate) key: u32,
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
    pub(crate) found: Option<Seen>,
}

impl Kind {
    /// Tells whether nothing may be read after it.
    pub(crate) const fn removes(self) -> bool {
        matches!(self, Self::Delete | Self::Invalidate | Self::Clear)
    }
}

impl Operation {
    pub(crate) fn is_done(&self) -> bool {
        self.outcome == Outcome::Done
    }

    /// Tells whether a write may take effect at any time after its start, or never.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.outcome, Outcome::Unknown(_) | Outcome::Hung)
    }
}
