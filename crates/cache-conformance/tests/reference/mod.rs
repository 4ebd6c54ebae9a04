//! A reference backend and the ways to break it.

mod backend;
mod fixture;
mod leases;
mod variants;

pub(crate) use self::fixture::ReferenceFixture;
pub(crate) use self::variants::{RealTime, Waiting};

/// One broken promise each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    CenturyIsNever,
    ClaimNotAtomic,
    ClearCountsExpired,
    ClearTooWide,
    DebugShowsKeys,
    DeleteAlwaysTrue,
    DeleteCountsLeases,
    DeleteFindsExpired,
    DeleteManyCountsRepeats,
    DeleteNotAtomic,
    DropsOldEntryFirst,
    EmptyBulkFails,
    ExpireRevivesExpired,
    ExpiredBlocksIfAbsent,
    GetEntryForgetsExpiry,
    GetEntriesForgetsExpiry,
    GetManyDropsRepeats,
    GetManySorts,
    IfAbsentNotAtomic,
    IfAbsentTouchesExpiry,
    IfPresentAlwaysWrites,
    IfPresentNotAtomic,
    IfPresentRevivesExpired,
    IgnoresCase,
    MillisecondsAsSeconds,
    OneOverTheBound,
    PersistAlwaysTrue,
    PrefixIsGlob,
    PresentAtDeadline,
    ReadNowIgnoresExpiry,
    ReportsZeroAtTheEnd,
    ScanByOffset,
    ScanListsExpired,
    ScanSkipsBetweenPages,
    ScanTooWide,
    SetKeepsFirstValue,
    SetKeepsOldExpiry,
    SetManyKeepsFirst,
    SwapKeepsOldExpiry,
    SwapNotAtomic,
    SwapReturnsExpired,
    TooLargeLosesOldEntry,
    WholeSeconds,
    WritesKeepLeases,
}
