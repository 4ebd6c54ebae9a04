//! What permits to load a key, and to store what was loaded.

use tokio::time::Instant;

use super::flights::Lead;
use super::lead::{Leading, is_of_caller};
use super::leased::Leased;
use crate::{CacheBackend, Error, LoadReason, Result, TagTicket, Version};

/// What the store permits.
pub(super) enum Grant<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> {
    /// Load, and store what the fence lets pass.
    Load(Fence<V, B>),
    /// Load, and store nothing: nobody knows who else loads the key, or has deleted it meanwhile.
    PastOutage,
    /// Another process has loaded it.
    Found(V),
}

/// What tells, when a value is stored, whether its key was changed since the loader began.
pub(super) enum Fence<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> {
    /// The lease of a key that was absent: a change of the key takes it away.
    Lease(Leased<V, B>),
    /// The entry that was there.
    Entry(Origin),
    /// That the key is absent: of changes that left it so, those of this process alone are known. It is for
    /// stores without leases.
    Absence,
    /// Nothing does, so nothing is stored.
    Nothing,
    /// It is not known what stands under the key, so nothing is stored either.
    Unknown(Error),
}

impl<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> Fence<V, B> {
    /// Tells whether a change by another process would go unnoticed.
    pub(super) const fn is_blind(&self) -> bool {
        matches!(self, Self::Nothing | Self::Unknown(_))
    }

    /// Returns the version of the entry that was there, expired or not.
    pub(super) fn was_there(&self) -> Result<Option<Version>> {
        match self {
            Self::Entry(origin) => Ok(Some(origin.version.clone())),
            Self::Unknown(error) => Err(error.clone()),
            _ => Ok(None),
        }
    }

    /// Returns the version of the entry that was there unless that has expired by itself since.
    pub(super) fn is_there(&self, now: u64) -> Option<Version> {
        match self {
            Self::Entry(origin) if now < origin.ends => Some(origin.version.clone()),
            _ => None,
        }
    }
}

/// The entry that was there before the loader ran. The loaded value replaces that entry alone: a value that
/// another process has set meanwhile is newer, and a key that it has deleted stays deleted.
pub(super) struct Origin {
    version: Version,
    /// When it expires, by the clock of the cache.
    ends: u64,
}

/// What permits to store what was loaded.
pub(super) struct Rights<V: Clone + Send + Sync + 'static, B: CacheBackend<V>> {
    pub(super) fence: Fence<V, B>,
    /// Taken before the loader ran, if the backend keeps tags.
    pub(super) ticket: Result<Option<TagTicket>>,
}

impl<V, B> Leading<V, B>
where
    V: Clone + Send + Sync + 'static,
    B: CacheBackend<V>,
{
    /// Returns the permission to load, or what somebody has stored since the key was found absent.
    pub(super) async fn grant(&self, lead: &Lead<V>) -> Result<Grant<V, B>> {
        if self.before.is_outage {
            return Ok(Grant::Load(Fence::Nothing));
        }
        // Whoever asks for a new value gets none that others have begun to load before.
        let is_for_new = self.before.reason == LoadReason::Refresh;
        // It may be there since the key was found absent. A claim would tell.
        let may_have_come = is_for_new && self.cache.lease_terms(&self.options).is_none();
        if (self.before.is_present || may_have_come)
            && let Some(fence) = self.entry(lead).await
        {
            return Ok(Grant::Load(fence));
        }
        let grant = match is_for_new {
            true => self.cache.claim_now(lead, &self.options).await,
            false => self.cache.claim(lead, &self.options, self.deadline).await,
        };
        match grant {
            Err(error) if is_of_caller(&error) => Err(error),
            // Refused or not answered: by the time that the value is there, it may be too old.
            Err(error) => {
                let passed = self.cache.go_past_outage(&self.options, error);
                passed.map(|()| Grant::PastOutage)
            }
            // It came after the key was found absent, and is replaced as one that was there.
            Ok(Grant::Found(_)) if is_for_new => {
                let fence = self.entry(lead).await;
                Ok(Grant::Load(fence.unwrap_or(Fence::Nothing)))
            }
            Ok(Grant::Load(Fence::Absence)) if lead.is_late => {
                Ok(match self.cache.shared.backend.get(lead.key()).await {
                    Ok(Some(value)) => Grant::Found(value),
                    _ => Grant::Load(Fence::Absence),
                })
            }
            Ok(grant) => Ok(grant),
        }
    }

    /// Returns what stands under a key that is loaded although it may be there.
    async fn entry(&self, lead: &Lead<V>) -> Option<Fence<V, B>> {
        let (shared, asked) = (&self.cache.shared, Instant::now());
        let found = match shared.backend.get_versioned(lead.key()).await {
            Ok(found) => found,
            Err(error) => return Some(Fence::Unknown(error)),
        };
        let version = found.version?;
        if self.cache.lease_terms(&self.options).is_some() {
            // A change by another process is found out when the value is stored, which is too late for those
            // who have joined by then.
            lead.was_current_at(asked);
        }
        let left = found.entry.and_then(|entry| entry.expiry.remaining());
        let ends = left.map_or(u64::MAX, |left| shared.clock.deadline_nanos(left));
        Some(Fence::Entry(Origin { version, ends }))
    }

    /// Returns a ticket for the tags of what will be loaded. Of a cache that has failed none is asked for.
    pub(super) async fn ticket(&self) -> Result<Option<TagTicket>> {
        if self.before.is_outage {
            return Ok(None);
        }
        self.cache.tag_ticket(&self.options).await
    }
}
