//! How the reference lists its keys.

use cache_conformance::TestValue;
use cache_core::{Cursor, Error, Page, Result, Scope};

use super::Bug;
use super::backend::Reference;

impl<V: TestValue> Reference<V> {
    pub(super) fn is_in(&self, scope: &Scope, key: &str) -> bool {
        match self.bug {
            Some(Bug::PrefixIsGlob) if scope.prefix().contains('*') => {
                let literal = scope.prefix().split('*').next().unwrap_or_default();
                key.starts_with(literal)
            }
            Some(Bug::ScanTooWide | Bug::ClearTooWide) => key.starts_with(scope.prefix()),
            _ => scope.contains(key),
        }
    }

    /// The keys of a scope in their order.
    fn listed(&self, scope: &Scope) -> Vec<String> {
        let slots = self.slots();
        let listed = slots.iter().filter(|(key, slot)| {
            let is_listed = match self.bug {
                Some(Bug::ScanListsExpired) => true,
                Some(Bug::ScanListsInvalidated) => !self.has_ended(slot),
                _ => self.is_live(slot),
            };
            is_listed && self.is_in(scope, key)
        });
        let mut listed: Vec<String> = listed.map(|(key, _)| key.clone()).collect();
        if self.has(Bug::TagKeysListed) {
            listed.extend(self.tag_keys(scope));
        }
        if self.has(Bug::CountersListed) {
            listed.extend(self.tally().keys().cloned());
        }
        listed
    }

    pub(super) fn check_scan(&self) -> Result<()> {
        let unsupported = Error::unsupported("scan");
        self.scans.then_some(()).ok_or(unsupported)
    }

    /// One page of the keys of a scope.
    pub(super) fn page(&self, scope: &Scope, cursor: Cursor, limit: usize) -> Page {
        let by_offset = self.has(Bug::ScanByOffset);
        let mut keys = self.listed(scope);
        let mut seen = 0;
        match cursor {
            Cursor::After(last) => keys.retain(|key| *key > last),
            Cursor::Position(at) => {
                seen = usize::try_from(at).expect("an offset fits").min(keys.len());
                keys.drain(..seen);
            }
            _ => {}
        }
        if keys.len() <= limit {
            return Page::new(keys, None);
        }
        let mut rest = keys.split_off(limit);
        if self.has(Bug::ScanSkipsBetweenPages) {
            keys.push(rest.remove(0));
            let last = keys.pop().expect("it was just pushed");
            return Page::new(keys, Some(Cursor::After(last)));
        }
        let next = match keys.last() {
            _ if by_offset => Cursor::Position((seen + limit) as u64),
            Some(last) => Cursor::After(last.clone()),
            None => Cursor::Start,
        };
        Page::new(keys, Some(next))
    }
}
