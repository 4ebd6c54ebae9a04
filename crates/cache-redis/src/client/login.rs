//! Logs in with credentials that change.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fred::error::{Error as FredError, ErrorKind as FredKind};
use fred::interfaces::ClientLike;
use fred::types::config::{CredentialProvider, Server};
use fred::types::{ClusterHash, CustomCommand, Value};

use super::Lane;
use super::commands::Answer;
use super::connection::Connection;
use super::settings::credential;
use crate::config::{BoxError, Credentials, Protocol, Provider};

/// How long to wait before a provider is asked again whose credentials were refused, or that has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// A provider as fred asks it, for each new connection.
#[derive(Debug)]
pub(super) struct Logins {
    pub(super) provider: Arc<Provider>,
    pub(super) protocol: Protocol,
}

#[async_trait]
impl CredentialProvider for Logins {
    async fn fetch(
        &self,
        _: Option<&Server>,
    ) -> Result<(Option<String>, Option<String>), FredError> {
        let credentials = self.provider.credentials().await;
        let credentials = credentials.map_err(|error| refused(&error))?;
        let quoted = |text: &str| credential(text, self.protocol);
        let Credentials {
            username, password, ..
        } = &credentials;
        Ok((username.as_deref().map(quoted), Some(quoted(&password.0))))
    }
}

/// Returns what fred tells of a provider that has failed.
fn refused(error: &BoxError) -> FredError {
    let text = format!("the provider of credentials has failed: {error}");
    FredError::new(FredKind::Auth, text)
}

/// Has the connections log in again before the credentials that they have expire.
pub(super) async fn renew(lanes: Box<[Arc<Lane>]>, provider: Arc<Provider>) {
    loop {
        let is_renewed = match provider.renewed().await {
            Ok(credentials) => log_in_all(&lanes, &credentials).await,
            Err(error) => {
                tracing::warn!(%error, "the provider of credentials has failed");
                false
            }
        };
        if !is_renewed {
            provider.ask_again_after(PAUSE);
        }
    }
}

/// Has the connections log in again, and tells whether all did. Those that do not go on as they are, for as long as
/// the servers let them.
async fn log_in_all(lanes: &[Arc<Lane>], credentials: &Credentials) -> bool {
    let mut all = true;
    for lane in lanes {
        let connection = lane.connection.load_full();
        if let Err(failure) = connection.log_in(credentials).await {
            tracing::warn!(
                cause = failure.text(),
                "a connection could not log in again"
            );
            all = false;
        }
    }
    all
}

impl Connection {
    /// Logs in again at each server.
    async fn log_in(&self, credentials: &Credentials) -> Answer<()> {
        let mut arguments: Vec<Value> = Vec::new();
        arguments.extend(credentials.username.as_deref().map(Value::from));
        arguments.push(Value::from(credentials.password.0.as_str()));
        // A slot of its own would take the place of the server's.
        let command = CustomCommand::new_static("AUTH", ClusterHash::FirstKey, false);
        for server in self.servers() {
            let client = self.at(server.as_ref())?;
            let _: Value = client.custom(command.clone(), arguments.clone()).await?;
        }
        Ok(())
    }
}
