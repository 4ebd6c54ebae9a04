//! What makes things go wrong.

mod network;
mod servers;

use std::time::Duration;

use fastrand::Rng;
use rustix::process::Signal;
use tokio::time::{Instant, sleep, sleep_until};

use crate::fleet::Worker;
use crate::history::{FaultSpan, Loss, name_of, now};
use crate::topology::Topology;
use crate::{Fault, Plan};

/// The longest time for which a worker stands still.
const LONGEST_FREEZE: Duration = Duration::from_secs(3);

/// The longest time for which nobody is in the place of a worker that was killed.
const LONGEST_DEATH: Duration = Duration::from_secs(2);

/// What went wrong.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    pub(crate) faults: Vec<FaultSpan>,
    pub(crate) losses: Vec<Loss>,
}

/// One fault, with what it needs.
struct Strike<'a> {
    fault: Fault,
    topology: &'a Topology,
    workers: &'a [Worker],
    random: Rng,
    time: Duration,
    keys: u32,
}

/// Makes things go wrong until the time of the plan is over; then all is healed.
pub(crate) async fn rage(plan: &Plan, topology: &Topology, workers: &[Worker]) -> Damage {
    let mut random = Rng::with_seed(plan.seed);
    let possible = plan.faults.iter().copied();
    let possible = possible.filter(|fault| fault.is_possible(plan.mode, plan.setup));
    let possible: Vec<Fault> = possible.collect();
    let mut damage = Damage::default();
    let end = Instant::now() + plan.faulty;
    loop {
        let next = Instant::now() + Duration::from_millis(random.u64(plan.pause_ms.clone()));
        sleep_until(next.min(end)).await;
        if next >= end || possible.is_empty() {
            sleep_until(end).await;
            return damage;
        }
        let (first, second) = choose(&possible, &mut random);
        let mut strike = |fault| {
            let time = Duration::from_millis(random.u64(plan.fault_ms.clone()));
            Strike {
                fault,
                topology,
                workers,
                random: random.fork(),
                time: time.min(end.saturating_duration_since(next)),
                keys: plan.keys,
            }
        };
        let first = strike(first).run();
        if let Some(second) = second {
            let (first, second) = tokio::join!(first, strike(second).run());
            damage.add([first, second]);
        } else {
            damage.add([first.await]);
        }
    }
}

/// Chooses one fault or two that can be at the same time.
fn choose(possible: &[Fault], random: &mut Rng) -> (Fault, Option<Fault>) {
    let mut pick = || possible[random.usize(..possible.len())];
    let (first, second) = (pick(), pick());
    let is_alike = |of: fn(Fault) -> bool| of(first) && of(second);
    let fits = second != first && !is_alike(Fault::is_of_server) && !is_alike(Fault::is_of_worker);
    (first, (fits && random.bool()).then_some(second))
}

impl Damage {
    fn add<const N: usize>(&mut self, done: [(FaultSpan, Option<Loss>); N]) {
        for (fault, loss) in done {
            self.faults.push(fault);
            self.losses.extend(loss);
        }
    }
}

impl Strike<'_> {
    /// Makes the fault, heals it when its time is over, and tells what that was.
    async fn run(mut self) -> (FaultSpan, Option<Loss>) {
        let start = now();
        let mut loss = None;
        match self.fault {
            Fault::FreezeWorker => self.freeze_worker().await,
            Fault::KillWorker => self.kill_worker().await,
            fault if fault.is_of_server() => loss = self.strike_server().await,
            _ => self.strike_network().await,
        }
        let fault = FaultSpan {
            name: name_of(self.fault),
            start,
            end: now(),
        };
        (fault, loss)
    }

    async fn freeze_worker(&mut self) {
        let worker = &self.workers[self.random.usize(..self.workers.len())];
        worker.signal(Signal::STOP);
        sleep(self.time.min(LONGEST_FREEZE)).await;
        worker.signal(Signal::CONT);
    }

    async fn kill_worker(&mut self) {
        let worker = &self.workers[self.random.usize(..self.workers.len())];
        worker.kill();
        sleep(self.time.min(LONGEST_DEATH)).await;
        worker.replace();
        worker.wait_until_ready().await;
    }
}
