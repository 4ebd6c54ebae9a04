//! The process of a server.

use std::fs;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};

/// A process, which ends with [`kill`](Self::kill) or with this process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Running,
    Paused,
    Dead,
}

impl Process {
    pub(crate) fn signal(&self, signal: Signal) {
        assert_ne!(self.state, State::Dead, "the server was killed");
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    pub(crate) fn kill(&mut self) {
        // Both fail only for a process that has ended.
        self.child.kill().ok();
        self.child.wait().ok();
        self.state = State::Dead;
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()));
        // "pid (name) state …"
        stat.is_ok_and(|stat| stat.contains(") T "))
    }
}
