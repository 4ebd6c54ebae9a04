//! What clients made a server do.

use std::collections::HashMap;
use std::time::Duration;

use crate::admin::ADMIN;
use crate::{Reply, Server};

impl Server {
    /// Returns how often clients called a command since the start or
    /// [`reset_stats`](Self::reset_stats); calls by the handle do not count, calls by scripts do.
    ///
    /// A command with subcommands is named as "config" or, for one of them, "config|get".
    #[must_use]
    pub fn calls(&self, command: &str) -> u64 {
        let command = command.to_ascii_lowercase();
        let counts = self.client_calls();
        let matching = counts.iter().filter(|(name, _)| {
            name.strip_prefix(&command)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('|'))
        });
        matching.map(|(_, calls)| calls).sum()
    }

    /// Returns how many commands clients called, as [`calls`](Self::calls) counts, without those
    /// of replication.
    #[must_use]
    pub fn total_calls(&self) -> u64 {
        let counts = self.client_calls();
        let clients = counts
            .iter()
            .filter(|(name, _)| !["replconf", "psync"].contains(&name.as_str()));
        clients.map(|(_, calls)| calls).sum()
    }

    /// Sets all counts to zero.
    pub fn reset_stats(&self) {
        self.command(&["CONFIG", "RESETSTAT"]).assert_ok();
        // The server counts the command after it ran it.
        self.admin().calls = HashMap::from([("config|resetstat".into(), 1)]);
    }

    /// Empties the log of slow commands and logs those that take this time from now on.
    pub fn log_slower_than(&self, time: Duration) {
        let micros = time.as_micros().to_string();
        self.command(&["CONFIG", "SET", "slowlog-log-slower-than", &micros])
            .assert_ok();
        self.command(&["SLOWLOG", "RESET"]).assert_ok();
    }

    /// Returns the slowest logged command of a client with the time it took.
    #[must_use]
    pub fn slowest_command(&self) -> Option<(Duration, Vec<String>)> {
        self.logged_commands()
            .into_iter()
            .max_by_key(|(time, _)| *time)
    }

    /// Returns the logged commands of clients with the times they took, the last first. The server keeps the last
    /// 128, or as many as `slowlog-max-len` says.
    #[must_use]
    pub fn logged_commands(&self) -> Vec<(Duration, Vec<String>)> {
        let log = self.command(&["SLOWLOG", "GET", "-1"]);
        let entries = log.array().iter().map(Reply::array);
        let entries = entries.filter(|entry| entry[5].text() != ADMIN);
        let timed = entries.map(|entry| {
            let micros = u64::try_from(entry[2].integer()).unwrap_or_default();
            let arguments = entry[3].array().iter().map(Reply::text).collect();
            (Duration::from_micros(micros), arguments)
        });
        timed.collect()
    }

    fn client_calls(&self) -> HashMap<String, u64> {
        let info = self.command(&["INFO", "commandstats"]).text();
        let mut own = self.admin().calls.clone();
        // The server counts a command after it ran it, so this INFO is not in its answer.
        own.entry("info".into()).and_modify(|calls| *calls -= 1);
        let lines = info.lines().filter_map(|line| {
            let (name, fields) = line.strip_prefix("cmdstat_")?.split_once(':')?;
            let calls = fields.strip_prefix("calls=")?.split(',').next()?;
            let calls: u64 = calls.parse().ok()?;
            let own = own.get(name).copied().unwrap_or_default();
            Some((name.to_owned(), calls.saturating_sub(own)))
        });
        lines.collect()
    }
}
