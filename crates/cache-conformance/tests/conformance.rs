//! The suite on a backend that keeps the contract, in each form that a fixture can have.

#[expect(dead_code, reason = "the bugs are for the tests of the suite")]
mod reference;

#[path = "reference/minimal.rs"]
mod minimal;

use bytes::Bytes;
use cache_conformance::conformance_tests;
use minimal::{Minimal, MinimalStore};
use reference::{RealTime, ReferenceFixture, Waiting};

conformance_tests!(text, ReferenceFixture::<String>::correct());
conformance_tests!(
    of_bytes,
    ReferenceFixture::<Bytes>::correct(),
    erased = false
);
conformance_tests!(
    no_scan,
    ReferenceFixture::<String>::correct().without_scan(),
    erased = false
);
conformance_tests!(
    no_tags,
    ReferenceFixture::<String>::correct().without_tags(),
    erased = false
);
conformance_tests!(five_methods, Minimal(ReferenceFixture::correct()));
conformance_tests!(
    five_methods_of_bytes,
    MinimalStore(ReferenceFixture::correct()),
    erased = false
);
conformance_tests!(
    no_counters,
    ReferenceFixture::<String>::correct().without_counters(),
    erased = false
);
conformance_tests!(waiting, Waiting(ReferenceFixture::correct()));
conformance_tests!(real_time, RealTime, erased = false);
