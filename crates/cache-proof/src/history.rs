//! What is recorded of a run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
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
    pub(crate) deaths: Vec<Death>,
    /// What the store held while the run went on.
    pub(crate) observed: Vec<Observation>,
    /// What the store held at its end, before and after the last reads of the workers.
    pub(crate) settled: Vec<Observation>,
}

/// What a process writes down, a line each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Record {
    /// A write, as it begins.
    Begun(Operation),
    Operation(Operation),
    Stall(Stall),
    Sample(Sample),
    Fault(FaultSpan),
    Loss(Loss),
    Death(Death),
    Observed(Observation),
    Settled(Observation),
}

/// Writes records to a file, as lines of JSON.
pub(crate) fn write(path: &Path, records: impl IntoIterator<Item = Record>) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for record in records {
        append(&mut file, &record)?;
    }
    file.flush()
}

/// Writes one record.
pub(crate) fn append(mut file: impl Write, record: &Record) -> io::Result<()> {
    serde_json::to_writer(&mut file, record)?;
    file.write_all(b"\n")
}

impl History {
    /// Adds what a process has written, and the writes that were under way when it died.
    pub(crate) fn read(&mut self, path: &Path, death: Option<Nanos>) -> io::Result<()> {
        let mut begun = BTreeMap::new();
        let text = std::fs::read_to_string(path)?;
        for line in text.split_inclusive('\n') {
            // Of the last one, who was killed may have written a part.
            if death.is_some() && !line.ends_with('\n') {
                break;
            }
            match serde_json::from_str(line)? {
                Record::Begun(call) => drop(begun.insert((call.key, call.wrote), call)),
                Record::Operation(call) => {
                    begun.remove(&(call.key, call.wrote));
                    self.operations.push(call);
                }
                Record::Stall(stall) => self.stalls.push(stall),
                Record::Sample(sample) => self.samples.push(sample),
                Record::Fault(fault) => self.faults.push(fault),
                Record::Loss(loss) => self.losses.push(loss),
                Record::Death(death) => self.deaths.push(death),
                Record::Observed(seen) => self.observed.push(seen),
                Record::Settled(seen) => self.settled.push(seen),
            }
        }
        self.operations
            .extend(begun.into_values().map(|call| Operation {
                end: death.unwrap_or_default().max(call.start),
                outcome: Outcome::Dropped,
                ..call
            }));
        Ok(())
    }

    /// Returns what the workers have not written down themselves.
    pub(crate) fn of_the_runner(&self) -> impl Iterator<Item = Record> {
        let stalls = self.stalls.iter().filter(|stall| stall.process == RUNNER);
        let stalls = stalls.copied().map(Record::Stall);
        let faults = self.faults.iter().cloned().map(Record::Fault);
        let losses = self.losses.iter().copied().map(Record::Loss);
        let deaths = self.deaths.iter().copied().map(Record::Death);
        let observed = self.observed.iter().copied().map(Record::Observed);
        let settled = self.settled.iter().copied().map(Record::Settled);
        let spans = stalls.chain(faults).chain(losses).chain(deaths);
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
    /// A read that loads what it does not find: the version that the source had when the loader began.
    Load,
    /// A read after all has been well for a while.
    Last,
    Set,
    /// One key of a write of several.
    SetMany,
    SetIfAbsent,
    Swap,
    /// A compare and set, with a time to live and tags of its own.
    Update,
    /// The same, with the time and the tags of what it replaces.
    UpdateKeeping,
    Delete,
    /// One key of a delete of several.
    DeleteMany,
    /// A delete that returns what there was. Nobody repeats it.
    Take,
    /// The invalidation of a tag that the key has: a delete that leaves the value in the store.
    Invalidate,
    /// The removal of all keys of a writer that are in its namespace.
    Clear,
    /// A new version in the source, and then a delete of the key.
    Renew,
    /// The same with the invalidation of a tag.
    RenewByTag,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    Done,
    /// A condition did not hold, so nothing was written.
    Refused,
    /// It failed with this error: a write may have happened, and may still happen.
    Unknown(String),
    /// Nobody waited for it to end, be it that its process was killed. The same may be.
    Dropped,
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

    /// Tells whether it was there at some time from here to there.
    pub(crate) const fn was_there(&self, from: Nanos, until: Nanos) -> bool {
        self.start <= until && self.end >= from
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

/// The end of a process that was killed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Death {
    pub(crate) process: u32,
    pub(crate) at: Nanos,
}

impl Kind {
    /// Tells whether nothing is there after it, but for what is loaded since.
    pub(crate) const fn removes(self) -> bool {
        self.is_repeated() || matches!(self, Self::Take)
    }

    /// Tells whether a process repeats it if it has failed.
    pub(crate) const fn is_repeated(self) -> bool {
        let is_delete = matches!(self, Self::Delete | Self::DeleteMany | Self::Clear);
        is_delete || self.renews() || matches!(self, Self::Invalidate)
    }

    /// Tells whether its version is there to be loaded from its start on.
    pub(crate) const fn renews(self) -> bool {
        matches!(self, Self::Renew | Self::RenewByTag)
    }

    /// Tells whether it makes values absent that it leaves in the store.
    pub(crate) const fn is_of_tag(self) -> bool {
        matches!(self, Self::Invalidate | Self::RenewByTag)
    }

    /// Tells whether the store itself reads what is found.
    pub(crate) const fn reads_store(self) -> bool {
        matches!(
            self,
            Self::Swap | Self::Update | Self::UpdateKeeping | Self::Take
        )
    }

    /// Tells whether it is a read that answers "absent" where there is nothing.
    pub(crate) const fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::GetMany | Self::Last)
    }
}

impl Operation {
    pub(crate) fn is_done(&self) -> bool {
        self.outcome == Outcome::Done
    }

    /// Tells whether a write may take effect at any time after its start, or never.
    pub(crate) fn is_open(&self) -> bool {
        matches!(
            self.outcome,
            Outcome::Unknown(_) | Outcome::Dropped | Outcome::Hung
        )
    }

    /// Tells whether the version that it writes may come at any later time: what is loaded cannot, as a load
    /// that began before the next change is not stored.
    pub(crate) fn may_come_late(&self) -> bool {
        self.is_open() && !self.kind.renews()
    }
}
