//! What a configuration must hold to.

use std::time::Duration;

use cache_core::{Error, Result};

use super::{MIB, RedisConfig, Servers};
use crate::keys::check_namespace;

impl RedisConfig {
    /// Refuses what cannot work, naming the option and its limit.
    pub(crate) fn check(&self) -> Result<()> {
        self.check_servers()?;
        self.check_credentials()?;
        if let Some(name) = &self.namespace {
            check_namespace(name)?;
        }
        if let Some(name) = &self.client_name
            && (name.is_empty() || name.bytes().any(|byte| !(b'!'..=b'~').contains(&byte)))
        {
            let problem = "may hold printable ASCII without spaces only, and at least 1 byte";
            return Err(Error::invalid("client_name", problem));
        }
        let milliseconds = [
            ("command_timeout", self.command_timeout),
            ("connect_timeout", self.connect_timeout),
            ("probe_interval", self.probe_interval),
            ("reconnect_delays", self.reconnect.shortest),
        ];
        for (field, duration) in milliseconds {
            check_milliseconds(field, duration)?;
        }
        if self.reconnect.longest < self.reconnect.shortest {
            return Err(Error::invalid(
                "reconnect_delays",
                "end below where they start",
            ));
        }
        check_milliseconds("reconnect_delays", self.reconnect.longest)?;
        check_count("pool_size", self.pool_size, 1, 256)?;
        check_count("queue_limit", self.queue_limit, 1, 10_000_000)?;
        check_count("max_key_bytes", self.max_key_bytes, 1, usize::MAX)?;
        check_count("max_value_bytes", self.max_value_bytes, 1, 512 * MIB)
    }

    fn check_servers(&self) -> Result<()> {
        let nodes = match &self.servers {
            Servers::Standalone(address) => std::slice::from_ref(address),
            Servers::Unix(path) if path.as_os_str().is_empty() => {
                return Err(Error::invalid("servers", "have an empty path"));
            }
            Servers::Unix(_) => return self.check_replicas(),
            Servers::Cluster(nodes) | Servers::Sentinel { nodes, .. } => nodes,
        };
        if nodes.is_empty() {
            return Err(Error::invalid("servers", "are none, the least is 1"));
        }
        for node in nodes {
            if node.host.is_empty() {
                return Err(Error::invalid("servers", "have an empty host name"));
            }
            if node.port == 0 {
                return Err(Error::invalid("servers", "have port 0, the least is 1"));
            }
        }
        if let Servers::Sentinel { service, .. } = &self.servers
            && service.is_empty()
        {
            return Err(Error::invalid("servers", "have an empty service name"));
        }
        if matches!(self.servers, Servers::Cluster(_)) && self.database != 0 {
            let problem = format!("is {}, a cluster has database 0 only", self.database);
            return Err(Error::invalid("database", problem));
        }
        self.check_replicas()
    }

    fn check_credentials(&self) -> Result<()> {
        if self.credentials.is_none() {
            return Ok(());
        }
        let problem = if self.username.is_some() || self.password.is_some() {
            "stand beside a user name or password; give one of the two"
        } else if matches!(self.servers, Servers::Sentinel { .. }) {
            "have no provider behind Sentinels; give a user name and password"
        } else {
            return Ok(());
        };
        Err(Error::invalid("credentials", problem))
    }

    fn check_replicas(&self) -> Result<()> {
        if self.read_from_replicas && !self.is_cluster() {
            let problem = "works with a cluster only";
            return Err(Error::invalid("read_from_replicas", problem));
        }
        Ok(())
    }
}

fn check_milliseconds(field: &'static str, duration: Duration) -> Result<()> {
    const HOUR: Duration = Duration::from_secs(3600);
    if duration < Duration::from_millis(1) || duration > HOUR {
        let problem = format!("is {duration:?}, allowed are 1 ms to 1 h");
        return Err(Error::invalid(field, problem));
    }
    Ok(())
}

fn check_count(field: &'static str, count: usize, least: usize, most: usize) -> Result<()> {
    if count < least || count > most {
        let problem = format!("is {count}, allowed are {least} to {most}");
        return Err(Error::invalid(field, problem));
    }
    Ok(())
}
