//! Somebody who looks into the store while a run goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::history::Observation;
use crate::topology::Eye;

const PERIOD: Duration = Duration::from_millis(25);

/// A thread that looks into a server again and again, past the library and its proxies.
#[derive(Debug)]
pub(crate) struct Observer {
    thread: JoinHandle<Vec<Observation>>,
    is_over: Arc<AtomicBool>,
}

impl Observer {
    pub(crate) fn start(address: String, keys: u32) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        Self {
            thread: std::thread::spawn(move || observe(&address, keys, &over)),
            is_over,
        }
    }

    pub(crate) fn stop(self) -> Vec<Observation> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("the observer does not panic")
    }
}

fn observe(address: &str, keys: u32, is_over: &AtomicBool) -> Vec<Observation> {
    let (mut seen, mut eye) = (Vec::new(), None::<Eye>);
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(PERIOD);
        // A server that is away is no finding: the faults do that.
        let Some(mut open) = eye.take().or_else(|| Eye::open(address).ok()) else {
            continue;
        };
        if let Ok(now) = open.look(keys) {
            seen.extend(now.into_iter().filter(|seen| seen.found.is_some()));
            eye = Some(open);
        }
    }
    seen
}
