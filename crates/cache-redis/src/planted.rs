//! Bugs that are planted, one at a time, to see that they are found.

/// Tells whether a bug is to be there; `cache-proof` has the list.
#[cfg(not(planted_bugs))]
#[inline]
pub(crate) const fn planted(_bug: &str) -> bool {
    false
}

#[cfg(planted_bugs)]
pub(crate) fn planted(bug: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("PLANTED_BUG").ok());
    CHOSEN.as_deref() == Some(bug)
}
