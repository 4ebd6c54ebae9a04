//! How values are loaded, how long they are kept, and when they are loaded again.

use std::time::Duration;

use crate::{Error, Result, Ttl};

/// The limits of a lease: long enough to be extended in time, short enough to wait for.
const MIN_LEASE: Duration = Duration::from_millis(100);
const MAX_LEASE: Duration = Duration::from_secs(3600);

/// How a value is loaded and kept: for one call, or as the default of a cache.
///
/// What a call leaves out is taken from the [defaults of the cache](crate::CacheBuilder::load_options).
/// Without any of these a load has the default time to live and all the time that it takes, and its
/// error goes to those who wait for it.
///
/// `docs/loading.md` shows which of them to choose.
///
/// ```
/// use std::time::Duration;
///
/// use cache_core::LoadOptions;
///
/// let options = LoadOptions::new()
///     .ttl(60)
///     .ttl_jitter(0.1)
///     .stale_while_revalidate(Duration::from_secs(30))
///     .fail_safe(Duration::from_secs(3600), Duration::from_secs(5))
///     .soft_timeout(Duration::from_millis(100))
///     .hard_timeout(Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[must_use]
pub struct LoadOptions {
    pub(crate) ttl: Option<Ttl>,
    pub(crate) ttl_jitter: Option<f64>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) fail_safe: Option<FailSafe>,
    pub(crate) refresh_ahead: Option<f64>,
    pub(crate) early_refresh: Option<f64>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) hard_timeout: Option<Duration>,
    pub(crate) absent_ttl: Option<Duration>,
    pub(crate) fail_on_outage: Option<bool>,
    pub(crate) lease_ttl: Option<Duration>,
    pub(crate) allow_tags: Option<bool>,
}

/// How old a value may be that is served when the loader has failed, and for how long the loader
/// is left alone then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailSafe {
    pub(crate) max_stale: Duration,
    pub(crate) throttle: Duration,
}

impl LoadOptions {
    /// Leaves everything to the defaults of the cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores what is loaded with this time to live.
    pub fn ttl(mut self, ttl: impl Into<Ttl>) -> Self {
        self.ttl = Some(ttl.into());
        self
    }

    /// Shortens each time to live by a random part of up to `share` of it, from 0 to 1.
    ///
    /// Values that were stored together then do not end together. It never makes one longer.
    pub const fn ttl_jitter(mut self, share: f64) -> Self {
        self.ttl_jitter = Some(share);
        self
    }

    /// Serves the last value for this long after it has ended, and loads a new one in the background.
    ///
    /// A load that fails is not tried again for a second, or for the throttle of
    /// [`fail_safe`](Self::fail_safe).
    ///
    /// It takes a cache that [keeps](crate::CacheBuilder::keep_stale) ended values.
    pub const fn stale_while_revalidate(mut self, at_most: Duration) -> Self {
        self.stale_while_revalidate = Some(at_most);
        self
    }

    /// Serves the last value when the loader fails or takes too long, if it has not ended more than
    /// `max_stale` ago. After a failure the loader is left alone for `throttle`.
    ///
    /// It takes a cache that [keeps](crate::CacheBuilder::keep_stale) ended values.
    pub const fn fail_safe(mut self, max_stale: Duration, throttle: Duration) -> Self {
        self.fail_safe = Some(FailSafe {
            max_stale,
            throttle,
        });
        self
    }

    /// Loads a value again in the background when it is asked for after this share of its time to
    /// live, from 0 to 1.
    ///
    /// The time to live is the one that the loader [gave](crate::Loaded::ttl), and otherwise that of the
    /// options. This process remembers those of loaders, for up to 65,536 keys of up to 1,024 bytes, until
    /// the key is written. A value that was written, or that another process has stored, is loaded again
    /// when as little of it is left as of a value with the time to live of the options.
    ///
    /// A load that fails is not tried again for a second. On a store with [leases](crate::LoadLeases) a load that
    /// takes longer than its value has left is not stored: another process may have deleted the key meanwhile.
    pub const fn refresh_ahead(mut self, share: f64) -> Self {
        self.refresh_ahead = Some(share);
        self
    }

    /// Loads a value again in the background at a random time before it ends: the more probable
    /// the less it has left, and the longer loads take here. 1 is a good `beta`; more is earlier.
    ///
    /// Many processes then do not all load a key at the moment at which it ends. On a store with
    /// [leases](crate::LoadLeases) a load that takes longer than its value has left is not stored, as of
    /// [`refresh_ahead`](Self::refresh_ahead); a larger `beta` makes that rarer.
    pub const fn early_refresh(mut self, beta: f64) -> Self {
        self.early_refresh = Some(beta);
        self
    }

    /// Serves the last value when the loader takes longer than this; it goes on in the background,
    /// and what it brings is stored.
    ///
    /// Without a last value that [`fail_safe`](Self::fail_safe) permits, nothing is cut short.
    pub const fn soft_timeout(mut self, after: Duration) -> Self {
        self.soft_timeout = Some(after);
        self
    }

    /// Ends the wait for a value after this time, with [`LoadTimeout`](crate::ErrorKind::LoadTimeout).
    ///
    /// A loader that takes longer is dropped, and another caller may try its own. The time that the
    /// cache itself takes for reads and writes is limited by its backend.
    pub const fn hard_timeout(mut self, after: Duration) -> Self {
        self.hard_timeout = Some(after);
        self
    }

    /// Does not ask the loader again for this long when there was nothing to load.
    ///
    /// This process remembers it, for up to 65,536 keys of up to 1,024 bytes. A write or a delete of
    /// the key forgets it.
    pub const fn absent_ttl(mut self, ttl: Duration) -> Self {
        self.absent_ttl = Some(ttl);
        self
    }

    /// Says what to do when the cache itself cannot be read: fail, or, as it is the default, load
    /// without storing and count it in [`LoadStats::past_outage`](crate::LoadStats::past_outage).
    pub const fn fail_on_outage(mut self, fail: bool) -> Self {
        self.fail_on_outage = Some(fail);
        self
    }

    /// Sets for how long other processes wait for one that has died while it loaded, 5 seconds unless
    /// it is set. With zero each process loads for itself.
    ///
    /// A store that is [shared](crate::CacheBackend::abilities) has one load of a key for all processes.
    /// The right to it is extended while the loader runs, for as long as that takes. Without it, what was loaded
    /// before another process has deleted the key may be stored after that.
    pub const fn lease_ttl(mut self, ttl: Duration) -> Self {
        self.lease_ttl = Some(ttl);
        self
    }

    /// Says whether loaders may give [tags](crate::Loaded::tags), which they may unless it is set.
    ///
    /// Without them a load on Redis is one small read cheaper, and tags of a loader are an error that
    /// names them.
    pub const fn allow_tags(mut self, allow: bool) -> Self {
        self.allow_tags = Some(allow);
        self
    }

    /// Takes what is left out from `defaults`.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        Self {
            ttl: self.ttl.or(defaults.ttl),
            ttl_jitter: self.ttl_jitter.or(defaults.ttl_jitter),
            stale_while_revalidate: self
                .stale_while_revalidate
                .or(defaults.stale_while_revalidate),
            fail_safe: self.fail_safe.or(defaults.fail_safe),
            refresh_ahead: self.refresh_ahead.or(defaults.refresh_ahead),
            early_refresh: self.early_refresh.or(defaults.early_refresh),
            soft_timeout: self.soft_timeout.or(defaults.soft_timeout),
            hard_timeout: self.hard_timeout.or(defaults.hard_timeout),
            absent_ttl: self.absent_ttl.or(defaults.absent_ttl),
            fail_on_outage: self.fail_on_outage.or(defaults.fail_on_outage),
            lease_ttl: self.lease_ttl.or(defaults.lease_ttl),
            allow_tags: self.allow_tags.or(defaults.allow_tags),
        }
    }

    /// Returns how old a value may be that is served when the loader has failed, and for how long the loader is
    /// left alone then.
    #[must_use]
    pub fn get_fail_safe(&self) -> Option<(Duration, Duration)> {
        self.fail_safe.map(|safe| (safe.max_stale, safe.throttle))
    }

    /// Returns after which time the last value is served.
    #[must_use]
    pub const fn get_soft_timeout(&self) -> Option<Duration> {
        self.soft_timeout
    }

    /// Returns after which time the wait for a value ends.
    #[must_use]
    pub const fn get_hard_timeout(&self) -> Option<Duration> {
        self.hard_timeout
    }

    /// Checks the limits, for a cache that [keeps](crate::CacheBuilder::keep_stale) values that have ended for
    /// this long. [`CacheBuilder::build`](crate::CacheBuilder::build) does it too.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use cache_core::LoadOptions;
    ///
    /// let minute = Duration::from_secs(60);
    /// let options = LoadOptions::new().stale_while_revalidate(minute);
    /// assert!(options.check(Some(minute)).is_ok());
    /// let refused = options.check(None).unwrap_err();
    /// assert_eq!(refused.to_string(), "stale_while_revalidate is 60s, but the cache has keep_stale of 0ns");
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the option, for one outside its limits and for one
    /// that needs values to be kept for longer.
    pub fn check(&self, keep_stale: Option<Duration>) -> Result<()> {
        if let Some(ttl) = self.ttl {
            // A default is checked where it is set.
            ttl.resolve(Ttl::NEVER)?;
        }
        share("ttl_jitter", self.ttl_jitter)?;
        share("refresh_ahead", self.refresh_ahead)?;
        if let Some(beta) = self.early_refresh
            && !(beta.is_finite() && beta >= 0.0)
        {
            let problem = format!("is {beta}, the least is 0");
            return Err(Error::invalid("early_refresh", problem));
        }
        if let Some(ttl) = self.lease_ttl
            && !ttl.is_zero()
            && !(MIN_LEASE..=MAX_LEASE).contains(&ttl)
        {
            let problem =
                format!("is {ttl:?}, the least is {MIN_LEASE:?} and the most {MAX_LEASE:?}");
            return Err(Error::invalid("lease_ttl", problem));
        }
        let max_stale = self.fail_safe.map(|fail_safe| fail_safe.max_stale);
        kept(
            "stale_while_revalidate",
            self.stale_while_revalidate,
            keep_stale,
        )?;
        kept("fail_safe", max_stale, keep_stale)
    }

    /// Tells whether a hit has to know how much time it has left.
    pub(crate) const fn looks_ahead(&self) -> bool {
        self.refresh_ahead.is_some() || self.early_refresh.is_some()
    }
}

fn share(field: &'static str, share: Option<f64>) -> Result<()> {
    match share {
        Some(share) if !(0.0..=1.0).contains(&share) => {
            let problem = format!("is {share}, the least is 0 and the most is 1");
            Err(Error::invalid(field, problem))
        }
        _ => Ok(()),
    }
}

fn kept(field: &'static str, asked: Option<Duration>, keep: Option<Duration>) -> Result<()> {
    let keep = keep.unwrap_or_default();
    match asked {
        Some(asked) if asked > keep => {
            let problem = format!("is {asked:?}, but the cache has keep_stale of {keep:?}");
            Err(Error::invalid(field, problem))
        }
        _ => Ok(()),
    }
}
