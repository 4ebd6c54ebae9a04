//! The handle's own way to its server.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::{Client, Reply};

/// The user by which the handle speaks to its server, so that tests are free to lock out others.
pub(crate) const ADMIN: &str = "testbed";
pub(crate) const ADMIN_PASSWORD: &str = "testbed-secret";

/// The handle's own connection, and what it called since the statistics were reset.
#[derive(Debug, Default)]
pub(crate) struct Admin {
    pub(crate) client: Option<Client>,
    pub(crate) calls: HashMap<String, u64>,
}

impl Admin {
    pub(crate) fn command(
        &mut self,
        socket: &Path,
        arguments: &[impl AsRef<[u8]>],
    ) -> io::Result<Reply> {
        let kept = self.client.take();
        if let Some(mut client) = kept {
            match client.command(arguments) {
                Ok(reply) => {
                    self.client = Some(client);
                    self.count(arguments, &reply);
                    return Ok(reply);
                }
                // A test may have closed all connections. A silent server is another matter.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => {}
            }
        }
        let mut client = self.connect(socket)?;
        let reply = client.command(arguments)?;
        self.client = Some(client);
        self.count(arguments, &reply);
        Ok(reply)
    }

    fn connect(&mut self, socket: &Path) -> io::Result<Client> {
        let mut client = Client::connect_unix(socket)?;
        let hello = [
            "HELLO",
            "2",
            "AUTH",
            ADMIN,
            ADMIN_PASSWORD,
            "SETNAME",
            ADMIN,
        ];
        let reply = client.command(&hello)?;
        if reply.is_error() {
            return Err(io::Error::other(reply.text()));
        }
        self.count(&hello, &reply);
        Ok(client)
    }

    fn count(&mut self, arguments: &[impl AsRef<[u8]>], reply: &Reply) {
        // A refused command is not among the calls of the server either.
        if reply.is_error() {
            return;
        }
        let mut names = arguments
            .iter()
            .take(2)
            .map(|argument| String::from_utf8_lossy(argument.as_ref()).to_ascii_lowercase());
        let command = names.next().unwrap_or_default();
        if let Some(second) = names.next() {
            *self.calls.entry(format!("{command}|{second}")).or_default() += 1;
        }
        *self.calls.entry(command).or_default() += 1;
    }
}
