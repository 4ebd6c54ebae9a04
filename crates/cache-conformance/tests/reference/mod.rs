//! A reference backend and the ways to break it.

mod backend;
mod fixture;
mod leases;
mod scan;
mod tags;
mod transactions;
mod variants;

pub(crate) use self::fixture::ReferenceFixture;
pub(crate) use self::variants::{RealTime, Waiting};

/// One broken promise each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    CenturyIsNever,
    ClaimNotAtomic,
    ClearCountsExpired,
    ClearCountsTags,
    ClearTooWide,
    CommitIgnoresChanges,
    CommitIgnoresExpiry,
    CommitInParts,
    CommitKeepsDeleted,
    CommitNotAtomic,
    CommitStopsHalfWay,
    DebugShowsKeys,
    DeleteAlwaysTrue,
    DeleteCountsLeases,
    DeleteFindsExpired,
    DeleteFindsInvalidated,
    DeleteManyCountsRepeats,
    DeleteNotAtomic,
    DropsOldEntryFirst,
    EmptyBulkFails,
    ExpireRevivesExpired,
    ExpiredBlocksIfAbsent,
    FirstTagCounts,
    GetEntryForgetsExpiry,
    GetEntriesForgetsExpiry,
    GetEntriesForgetsTags,
    GetManyDropsRepeats,
    GetManySorts,
    IfAbsentNotAtomic,
    IfAbsentSeesInvalidated,
    IfAbsentTouchesExpiry,
    IfPresentAlwaysWrites,
    IfPresentNotAtomic,
    IfPresentRevivesExpired,
    IgnoresCase,
    InvalidationEndsAllTags,
    MillisecondsAsSeconds,
    OneOverTheBound,
    PersistAlwaysTrue,
    PrefixIsGlob,
    PresentAtDeadline,
    ReadNowIgnoresExpiry,
    ReadNowIgnoresTags,
    ReportsZeroAtTheEnd,
    ScanByOffset,
    ScanListsExpired,
    ScanListsInvalidated,
    ScanSkipsBetweenPages,
    ScanTooWide,
    SetExpiryDropsTags,
    SetKeepsFirstValue,
    SetKeepsOldExpiry,
    SetManyKeepsFirst,
    SwapKeepsOldExpiry,
    SwapKeepsTags,
    SwapNotAtomic,
    SwapReturnsExpired,
    TagKeysListed,
    TaggedWriteIgnoresCondition,
    TagsAddUp,
    TagsEndForGood,
    TicketCheckedTooEarly,
    TicketIgnored,
    TooLargeLosesOldEntry,
    UnusedTagsStayValid,
    WholeSeconds,
    WritesKeepLeases,
}
