//! Each bug is caught by the clause that names it.

use cache_conformance::{Fixture, model, suite};

use crate::reference::{Bug, ReferenceFixture, Waiting};

/// Runs a test of the suite on a backend with a bug and returns the message of its failure.
async fn failure(name: &str, run: impl Future<Output = ()> + Send + 'static) -> String {
    let failed = tokio::spawn(run).await;
    let error = failed.expect_err(&format!("{name} passes on a broken backend"));
    let message = error.into_panic();
    message
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| message.downcast_ref::<&str>().map(ToString::to_string))
        .expect("a panic with a message")
}

/// For each bug: the test that must fail, with a message that names its clause.
macro_rules! caught {
    ($($bug:ident by $module:ident::$test:ident)*) => {
        mod caught {
            $(
                #[expect(non_snake_case, reason = "a test has the name of its bug")]
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $bug() {
                    let test = stringify!($test);
                    let message = super::failure(test, async {
                        let fixture = super::broken(super::Bug::$bug);
                        let _ = super::suite::$module::$test(&fixture).await;
                    })
                    .await;
                    let clause = test[..3].to_uppercase();
                    assert!(message.contains(&clause), "names {clause}: {message}");
                }
            )*
        }
    };
}

fn broken(bug: Bug) -> impl Fixture {
    ReferenceFixture::<String>::correct().with_bug(bug)
}

caught! {
    SetKeepsFirstValue by values::c01_get_returns_the_value_that_was_written_last
    IfPresentNotAtomic by histories::c01_the_history_of_a_key_is_linearizable
    GetEntryForgetsExpiry by values::c02_all_reads_agree_after_every_kind_of_write
    ReadNowLastingIgnoresExpiry by values::c03_read_now_lasting_answers_for_what_has_the_time_left
    ReadNowIgnoresExpiry by values::c03_read_now_agrees_with_get_or_would_wait
    IgnoresCase by values::c04_no_character_of_a_key_is_special
    SetKeepsOldExpiry by writes::c05_set_replaces_the_value_and_the_expiry
    IfAbsentTouchesExpiry by writes::c06_if_absent_leaves_an_existing_entry_as_it_is
    IfPresentAlwaysWrites by writes::c07_if_present_writes_nothing_for_an_absent_key
    SwapKeepsOldExpiry by writes::c08_swap_returns_the_old_value_and_stores_the_new_entry
    DeleteAlwaysTrue by writes::c09_delete_tells_whether_there_was_an_entry
    PresentAtDeadline by expiry::c10_an_entry_is_absent_from_its_deadline_on
    ExpiredBlocksIfAbsent by expired::c11_if_absent_succeeds_on_an_expired_entry
    IfPresentRevivesExpired by expired::c11_if_present_fails_on_an_expired_entry
    SwapReturnsExpired by expired::c11_swap_returns_none_for_an_expired_entry
    DeleteFindsExpired by expired::c11_delete_of_an_expired_entry_finds_nothing
    ExpireRevivesExpired by expired::c11_set_expiry_does_not_revive_an_expired_entry
    ClearCountsExpired by expired::c11_scan_and_clear_pass_over_expired_entries
    ReportsZeroAtTheEnd by expiry::c12_an_entry_in_its_last_millisecond_has_time_left
    PersistAlwaysTrue by expiry::c13_an_expiry_is_removed_once
    MillisecondsAsSeconds by expiry::c14_one_millisecond_is_kept
    WholeSeconds by expiry::c14_times_are_kept_to_the_millisecond
    CenturyIsNever by expiry::c14_a_century_is_kept
    GetManySorts by bulk::c15_get_many_answers_in_the_order_of_the_keys
    GetEntriesForgetsExpiry by bulk::c15_get_entries_tells_the_time_that_each_has_left
    GetManyDropsRepeats by bulk::c15_get_many_answers_a_repeated_key_each_time
    SetManyKeepsFirst by bulk::c16_the_last_pair_of_a_repeated_key_stays
    DeleteManyCountsRepeats by bulk::c17_a_repeated_key_counts_once
    EmptyBulkFails by bulk::c18_bulk_calls_with_nothing_do_nothing
    ScanSkipsBetweenPages by keyspace::c19_a_scan_ends_and_returns_every_key
    ScanListsExpired by keyspace::c19_a_scan_returns_only_present_keys
    ScanByOffset by keyspace::c19_keys_that_stay_are_found_while_others_come_and_go
    PrefixIsGlob by keyspace::c20_the_prefix_of_a_scope_is_literal
    ScanTooWide by keyspace::c20_a_scan_stays_in_its_namespace
    ClearTooWide by keyspace::c21_clear_removes_its_scope_and_nothing_else
    IfAbsentNotAtomic by concurrency::c22_one_of_concurrent_if_absent_writes_succeeds
    SwapNotAtomic by concurrency::c23_concurrent_swaps_form_a_chain
    DeleteNotAtomic by concurrency::c24_one_of_concurrent_deletes_finds_the_entry
    DropsOldEntryFirst by cancellation::c25_a_dropped_write_leaves_the_old_entry_or_the_new_one
    OneOverTheBound by capacity::c26_a_bounded_backend_never_holds_more_than_its_bound
    TooLargeLosesOldEntry by capacity::c27_what_never_fits_is_refused_and_the_old_entry_stays
    DebugShowsKeys by privacy::c28_debug_output_shows_no_keys_and_no_values
    ClaimNotAtomic by leases::c29_one_of_concurrent_claims_is_granted
    SetNowKeepsOldExpiry by at_once::c53_set_now_writes_as_set_does_or_hands_the_value_back
    SetNowWritesTooLate by at_once::c53_set_now_writes_as_set_does_or_hands_the_value_back
    LockNotAtomic by locks::c50_one_of_concurrent_acquires_is_granted
    ReleaseNotAtomic by locks::c50_the_history_of_a_lock_is_linearizable
    LockTokensRepeat by locks::c50_one_of_concurrent_acquires_is_granted
    LocksNeverEnd by locks::c50_a_lock_ends_with_its_time
    LocksNotExtended by locks::c51_an_extended_lock_lasts_for_its_new_time
    LocksNotReleased by locks::c51_a_released_lock_is_free
    LocksOfAnybody by locks::c51_a_lock_of_somebody_else_stays_as_it_is
    LocksOfThePast by locks::c51_a_lock_of_somebody_else_stays_as_it_is
    ClearEndsLocks by locks::c52_a_lock_is_no_entry
    DeleteCountsLeases by leases::c30_writes_find_nothing_under_a_lease
    WritesKeepLeases by leases::c31_a_write_or_delete_revokes_the_lease
    ReadNowIgnoresTags by invalidated::c32_an_invalidated_entry_is_absent_for_every_read
    InvalidationEndsAllTags by invalidated::c32_entries_without_the_tag_are_not_concerned
    FirstTagCounts by invalidated::c32_an_entry_with_two_tags_ends_with_either
    IfAbsentSeesInvalidated by invalidated::c32_if_absent_succeeds_on_an_invalidated_entry
    DeleteFindsInvalidated by invalidated::c32_delete_of_an_invalidated_entry_finds_nothing
    ScanListsInvalidated by invalidated::c32_scan_and_clear_pass_over_invalidated_entries
    SwapKeepsTags by tags::c33_a_write_without_tags_drops_the_tags
    TagsAddUp by tags::c33_a_write_with_tags_replaces_the_tags
    TagsEndForGood by tags::c33_a_write_after_the_invalidation_is_present
    SetExpiryDropsTags by tags::c33_set_expiry_keeps_the_tags
    TaggedWriteIgnoresCondition by tags::c33_a_write_with_tags_keeps_to_its_condition
    TicketIgnored by tickets::c34_a_value_from_before_an_invalidation_is_absent
    UnusedTagsStayValid by tickets::c34_a_value_from_before_an_invalidation_is_absent
    TicketCheckedTooEarly by tickets::c34_no_read_gives_a_value_older_than_an_invalidation
    GetEntriesForgetsTags by tags::c35_entries_are_read_with_their_tags
    TagKeysListed by tags::c35_a_scan_returns_no_tags
    ClearCountsTags by tags::c35_a_clear_counts_no_tags
    CommitKeepsDeleted by transactions::c36_a_commit_makes_all_its_writes
    CommitInParts by transactions::c36_no_watch_sees_a_commit_in_part
    CommitIgnoresChanges by transactions::c37_a_change_of_a_watched_key_is_a_conflict
    CommitStopsHalfWay by transactions::c37_a_conflict_stops_all_writes
    CommitForgetsAbsence by transactions::c37_a_watched_absent_key_that_came_and_went_is_a_conflict
    CommitEvictsItsOwn by commits::c26_a_commit_keeps_the_bound
    CommitWeighsTooLate by commits::c27_a_commit_of_what_never_fits_changes_nothing
    CommitIgnoresExpiry by transactions::c37_a_watched_key_that_expires_is_a_conflict
    CommitNotAtomic by transactions::c37_no_update_is_lost
    VersionStays by versions::c38_a_write_of_another_value_changes_the_version
    VersionOfExpiry by versions::c38_set_expiry_leaves_the_version
    IfVersionIsIfPresent by versions::c39_a_write_over_another_version_changes_nothing
    DeleteIgnoresVersion by versions::c39_a_write_over_another_version_changes_nothing
    IfVersionNotAtomic by versions::c40_no_write_over_a_version_is_lost
    TakeLeavesTheEntry by versions::c41_take_removes_the_entry_and_returns_its_value
    TakeNotAtomic by versions::c41_one_of_concurrent_takes_and_deletes_gets_the_entry
    GetExForgetsExpiry by versions::c42_get_ex_returns_the_value_and_changes_the_expiry
    KeptExpiryIsReplaced by versions::c43_a_kept_expiry_stays_under_a_new_value
    AddForgetsTime by counters::c44_add_returns_the_count_and_the_time_left
    AddStartsAtOne by counters::c44_add_returns_the_count_and_the_time_left
    GetCounts by counters::c44_get_answers_as_add_and_changes_nothing
    CountsIgnoreCase by counters::c44_no_two_names_are_one_counter
    AddMovesWindow by counters::c45_the_window_begins_with_the_first_add
    CountOutlivesWindow by counters::c45_a_counter_ends_with_its_window
    CountHasNoLimit by counters::c46_a_count_stays_within_its_range
    RefusedAddBegins by counters::c46_a_count_stays_within_its_range
    ResetAlwaysTrue by counters::c47_reset_makes_a_counter_absent
    ResetKeepsWindow by counters::c47_reset_makes_a_counter_absent
    CountersListed by counters::c48_counters_are_no_entries
    ClearEndsCounters by counters::c48_counters_are_no_entries
    AddNotAtomic by counters::c49_each_of_concurrent_adds_counts_once
    ResetNotAtomic by counters::c49_the_history_of_a_counter_is_linearizable
}

#[tokio::test]
async fn the_model_catches_what_a_single_task_can_see_and_prints_its_seed() {
    let visible = [
        Bug::SetKeepsOldExpiry,
        Bug::SwapReturnsExpired,
        Bug::PresentAtDeadline,
        Bug::PersistAlwaysTrue,
        Bug::DeleteManyCountsRepeats,
        Bug::SetManyKeepsFirst,
        Bug::GetManySorts,
        Bug::ScanTooWide,
        Bug::PrefixIsGlob,
        Bug::ClearTooWide,
        Bug::ClearCountsExpired,
    ];
    for bug in visible {
        let message = failure(&format!("the model with {bug:?}"), async move {
            model::agrees_with_the_model(&broken(bug), 7, 500).await;
        })
        .await;
        assert!(message.contains("seed 7, step"), "{bug:?}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn recorded_histories_show_each_race() {
    for bug in [
        Bug::IfAbsentNotAtomic,
        Bug::SwapNotAtomic,
        Bug::DeleteNotAtomic,
    ] {
        let message = failure(&format!("the history with {bug:?}"), async move {
            let fixture = broken(bug);
            suite::histories::c01_the_history_of_a_key_is_linearizable(&fixture).await;
        })
        .await;
        assert!(
            message.contains("no order explains it"),
            "{bug:?}: {message}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_wait_hide_no_bug() {
    let message = failure("the deadline", async {
        let fixture = ReferenceFixture::correct().with_bug(Bug::PresentAtDeadline);
        suite::expiry::c10_an_entry_is_absent_from_its_deadline_on(&Waiting(fixture)).await;
    })
    .await;
    assert!(message.contains("C10"), "names C10: {message}");
}
