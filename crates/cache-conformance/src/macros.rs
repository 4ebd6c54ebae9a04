//! One macro call, one named test per promise.

/// Runs the whole suite on the backends of a fixture.
///
/// It expands to a module `$name` with one `#[test]` per promise, each on a multi-threaded
/// tokio runtime of its own, and each with a fixture of its own: the expression is evaluated once
/// per test, in the scope of the macro call.
///
/// | tests | run on |
/// |---|---|
/// | `$name::values::…`, `$name::expiry::…` and so on | the backend |
/// | `$name::erased::…` | the backend behind a [`DynBackend`](cache_core::DynBackend) |
/// | `$name::facade::…` | a [`Cache`](cache_core::Cache) over the backend |
/// | `$name::capabilities` | the fixture; prints the row of its [`Matrix`](crate::Matrix) |
///
/// Attributes in front of the name stand in front of each test:
/// `conformance_tests!(#[ignore = "slow"] on_disk, OnDisk::new())`. With `erased = false` at the end the tests
/// behind a `DynBackend` are left out: one fixture of a backend is enough for them.
///
/// See the [crate documentation](crate) for an example.
#[macro_export]
macro_rules! conformance_tests {
    ($(#[$attribute:meta])* $name:ident, $fixture:expr $(,)?) => {
        $crate::__suite!({$(#[$attribute])*} $name, $fixture, {
            mod erased {
                mod given {
                    pub(super) fn fixture() -> impl $crate::Fixture {
                        $crate::Erased::new(super::super::given::fixture())
                    }
                }

                $crate::__contract_tests!($(#[$attribute])*);
            }
        });
    };
    ($(#[$attribute:meta])* $name:ident, $fixture:expr, erased = false $(,)?) => {
        $crate::__suite!({$(#[$attribute])*} $name, $fixture, {});
    };
}

/// The module of a fixture, with what else is in it.
#[doc(hidden)]
#[macro_export]
macro_rules! __suite {
    ({$(#[$attribute:meta])*} $name:ident, $fixture:expr, {$($more:item)*}) => {
        mod $name {
            // In a module of its own, so that no other name of the expansion shadows one of
            // the caller's.
            mod given {
                #[allow(unused_imports, clippy::wildcard_imports)]
                use super::super::*;

                pub(super) fn fixture() -> impl $crate::Fixture {
                    $fixture
                }
            }

            $crate::__contract_tests!($(#[$attribute])*);
            $crate::__facade_tests!($(#[$attribute])*);
            $($more)*

            #[test]
            $(#[$attribute])*
            fn capabilities() {
                $crate::__private::print_matrix(::core::stringify!($name), &given::fixture());
            }
        }
    };
}

/// The tests of one module of the suite, with the fixture of the module around.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($attributes:tt $($module:ident)::+ as $name:ident: $($test:ident)*) => {
        mod $name {
            use $crate::suite::$($module)::+ as suite;

            $($crate::__test!($attributes $test, suite::$test(&super::given::fixture()));)*
        }
    };
}

/// One test, with the attributes of its suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __test {
    ({$(#[$attribute:meta])*} $test:ident, $run:expr) => {
        #[test]
        $(#[$attribute])*
        fn $test() {
            $crate::__private::run(
                ::core::concat!(::core::module_path!(), "::", ::core::stringify!($test)),
                $run,
            );
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __contract_tests {
    ($(#[$attribute:meta])*) => {
        $crate::__contract_tests!(@ {$(#[$attribute])*});
    };
    (@ $attributes:tt) => {
        $crate::__tests! { $attributes values as values:
            c01_get_returns_the_value_that_was_written_last
            c01_a_deleted_key_is_absent_until_it_is_written_again
            c01_empty_large_and_strange_values_come_back_whole
            c02_all_reads_agree_after_every_kind_of_write
            c03_read_now_agrees_with_get_or_would_wait
            c03_read_now_lasting_answers_for_what_has_the_time_left
            c04_no_character_of_a_key_is_special
            c04_long_keys_count_to_their_last_byte
        }
        $crate::__tests! { $attributes writes as writes:
            c05_set_replaces_the_value_and_the_expiry
            c05_the_old_deadline_is_gone_after_a_set
            c06_if_absent_writes_an_absent_key
            c06_if_absent_leaves_an_existing_entry_as_it_is
            c07_if_present_replaces_an_existing_entry
            c07_if_present_writes_nothing_for_an_absent_key
            c08_swap_returns_the_old_value_and_stores_the_new_entry
            c08_swap_of_an_absent_key_stores_and_returns_none
            c09_delete_tells_whether_there_was_an_entry
        }
        $crate::__tests! { $attributes expiry as expiry:
            c10_an_entry_is_absent_from_its_deadline_on
            c10_the_deadline_holds_whichever_call_has_set_it
            c12_an_entry_without_expiry_reports_never
            c12_the_remaining_time_shrinks_as_time_passes
            c12_an_entry_in_its_last_millisecond_has_time_left
            c13_set_expiry_changes_the_expiry_and_nothing_else
            c13_an_expiry_is_removed_once
            c13_set_expiry_of_an_absent_key_does_nothing
            c13_the_new_deadline_counts_and_not_the_old_one
            c14_one_millisecond_is_kept
            c14_times_are_kept_to_the_millisecond
            c14_a_century_is_kept
        }
        $crate::__tests! { $attributes expired as expired:
            c11_if_absent_succeeds_on_an_expired_entry
            c11_if_present_fails_on_an_expired_entry
            c11_swap_returns_none_for_an_expired_entry
            c11_delete_of_an_expired_entry_finds_nothing
            c11_set_expiry_does_not_revive_an_expired_entry
            c11_set_over_an_expired_entry_starts_anew
            c11_scan_and_clear_pass_over_expired_entries
        }
        $crate::__tests! { $attributes bulk as bulk:
            c15_get_many_answers_in_the_order_of_the_keys
            c15_get_many_answers_a_repeated_key_each_time
            c15_get_entries_tells_the_time_that_each_has_left
            c15_bulk_calls_take_more_keys_than_a_batch
            c16_set_many_writes_every_pair_with_the_expiry
            c16_the_last_pair_of_a_repeated_key_stays
            c17_delete_many_counts_the_entries_that_it_removed
            c17_a_repeated_key_counts_once
            c18_bulk_calls_with_nothing_do_nothing
        }
        $crate::__tests! { $attributes keyspace as keyspace:
            c19_a_scan_ends_and_returns_every_key
            c19_a_scan_returns_only_present_keys
            c19_keys_that_stay_are_found_while_others_come_and_go
            c20_the_prefix_of_a_scope_is_literal
            c20_a_scan_stays_in_its_namespace
            c21_clear_removes_its_scope_and_nothing_else
            c21_clear_keeps_to_the_prefix_of_its_scope
            c21_clear_counts_present_entries_once
            c21_a_backend_that_cannot_scan_refuses
        }
        $crate::__tests! { $attributes concurrency as concurrency:
            c22_one_of_concurrent_if_absent_writes_succeeds
            c22_one_of_concurrent_if_absent_writes_replaces_an_expired_entry
            c23_concurrent_swaps_form_a_chain
            c24_one_of_concurrent_deletes_finds_the_entry
        }
        $crate::__tests! { $attributes histories as histories:
            c01_the_history_of_a_key_is_linearizable
        }
        $crate::__tests! { $attributes cancellation as cancellation:
            c25_a_dropped_write_leaves_the_old_entry_or_the_new_one
            c25_a_dropped_read_changes_nothing
            c25_a_dropped_bulk_write_leaves_each_entry_old_or_new
        }
        $crate::__tests! { $attributes at_once as at_once:
            c53_set_now_writes_as_set_does_or_hands_the_value_back
            c53_set_now_refuses_what_never_fits
        }
        $crate::__tests! { $attributes capacity as capacity:
            c26_a_bounded_backend_never_holds_more_than_its_bound
            c26_the_bound_holds_while_many_tasks_write
            c26_an_entry_that_fits_is_held
            c27_what_never_fits_is_refused_and_the_old_entry_stays
        }
        $crate::__tests! { $attributes privacy as privacy:
            c28_debug_output_shows_no_keys_and_no_values
            c28_a_refusal_shows_no_key_and_no_value
        }
        $crate::__tests! { $attributes leases as leases:
            c29_one_of_concurrent_claims_is_granted
            c29_a_claim_finds_the_value_of_a_present_key
            c29_a_lease_ends_with_its_time
            c30_a_key_under_a_lease_is_absent
            c30_writes_find_nothing_under_a_lease
            c31_a_fill_stores_the_value_and_its_expiry
            c31_a_write_or_delete_revokes_the_lease
            c31_a_released_lease_is_over
        }
        $crate::__tests! { $attributes locks as locks:
            c50_one_of_concurrent_acquires_is_granted
            c50_a_lock_ends_with_its_time
            c50_the_history_of_a_lock_is_linearizable
            c51_an_extended_lock_lasts_for_its_new_time
            c51_a_released_lock_is_free
            c51_a_lock_of_somebody_else_stays_as_it_is
            c51_who_waits_is_told_of_a_release
            c52_a_lock_is_no_entry
        }
        $crate::__tests! { $attributes invalidated as invalidated:
            c32_an_invalidated_entry_is_absent_for_every_read
            c32_entries_without_the_tag_are_not_concerned
            c32_no_character_of_a_tag_is_special
            c32_tags_of_two_namespaces_are_apart
            c32_an_entry_with_two_tags_ends_with_either
            c32_several_tags_are_invalidated_in_one_call
            c32_if_absent_succeeds_on_an_invalidated_entry
            c32_if_present_fails_on_an_invalidated_entry
            c32_set_expiry_does_not_revive_an_invalidated_entry
            c32_swap_returns_none_for_an_invalidated_entry
            c32_delete_of_an_invalidated_entry_finds_nothing
            c32_scan_and_clear_pass_over_invalidated_entries
            c32_a_claim_of_an_invalidated_entry_is_granted
        }
        $crate::__tests! { $attributes tags as tags:
            c33_a_write_without_tags_drops_the_tags
            c33_a_write_with_tags_replaces_the_tags
            c33_a_write_after_the_invalidation_is_present
            c33_set_expiry_keeps_the_tags
            c33_a_write_with_tags_keeps_to_its_condition
            c33_an_entry_with_tags_has_its_expiry
            c33_a_fill_stores_the_tags
            c35_entries_are_read_with_their_tags
            c35_a_scan_returns_no_tags
            c35_a_clear_counts_no_tags
        }
        $crate::__tests! { $attributes tickets as tickets:
            c34_a_value_from_before_an_invalidation_is_absent
            c34_an_invalidation_ends_every_value_of_an_older_ticket
            c34_a_value_from_after_an_invalidation_is_present
            c34_a_fill_with_a_value_from_before_an_invalidation_is_absent
            c34_a_late_value_changes_nothing_where_its_condition_fails
            c34_no_read_gives_a_value_older_than_an_invalidation
        }
        $crate::__tests! { $attributes transactions as transactions:
            c36_a_watch_answers_as_get_many
            c36_a_commit_makes_all_its_writes
            c36_no_watch_sees_a_commit_in_part
            c37_a_change_of_a_watched_key_is_a_conflict
            c37_a_watched_absent_key_that_came_and_went_is_a_conflict
            c37_a_conflict_stops_all_writes
            c37_a_watched_key_that_expires_is_a_conflict
            c37_a_dropped_watch_changes_nothing
            c37_no_update_is_lost
        }
        $crate::__tests! { $attributes commits as commits:
            c36_what_commits_move_is_neither_lost_nor_made
            c26_a_commit_keeps_the_bound
            c27_a_commit_of_what_never_fits_changes_nothing
        }
        $crate::__tests! { $attributes versions as versions:
            c38_get_versioned_finds_the_entry_and_its_version
            c38_a_write_of_another_value_changes_the_version
            c38_set_expiry_leaves_the_version
            c39_a_write_over_the_present_version_takes_place
            c39_a_write_over_another_version_changes_nothing
            c39_an_invalidated_entry_has_no_version
            c40_one_of_concurrent_writes_over_a_version_takes_place
            c40_no_write_over_a_version_is_lost
            c41_take_removes_the_entry_and_returns_its_value
            c41_one_of_concurrent_takes_and_deletes_gets_the_entry
            c42_get_ex_returns_the_value_and_changes_the_expiry
            c42_get_ex_keeps_the_tags
            c43_a_kept_expiry_stays_under_a_new_value
            c43_a_kept_expiry_stays_under_new_tags
        }
        $crate::__tests! { $attributes counters as counters:
            c44_add_returns_the_count_and_the_time_left
            c44_get_answers_as_add_and_changes_nothing
            c44_no_two_names_are_one_counter
            c45_the_window_begins_with_the_first_add
            c45_a_counter_ends_with_its_window
            c45_the_shortest_and_the_longest_window_are_kept
            c46_a_count_stays_within_its_range
            c47_reset_makes_a_counter_absent
            c48_counters_are_no_entries
            c49_each_of_concurrent_adds_counts_once
            c49_the_history_of_a_counter_is_linearizable
        }
        mod model {
            $crate::__test!(
                $attributes random_operations_agree_with_the_model,
                $crate::__private::some_seeds_agree(super::given::fixture)
            );
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __facade_tests {
    ($(#[$attribute:meta])*) => {
        $crate::__facade_tests!(@ {$(#[$attribute])*});
    };
    (@ $attributes:tt) => {
        mod facade {
            mod given {
                pub(super) fn fixture() -> impl $crate::Fixture {
                    super::super::given::fixture()
                }
            }

            $crate::__tests! { $attributes facade::defaults as defaults:
                every_plain_write_takes_the_default_time_to_live
                a_plain_write_replaces_an_expiry_by_the_default
                a_time_of_its_own_overrides_the_default
                never_overrides_the_default
                the_longest_duration_is_never
                a_view_has_a_default_of_its_own
            }
            $crate::__tests! { $attributes facade::times as times:
                ttl_rounds_to_whole_seconds_as_redis_does
                less_than_a_millisecond_is_rounded_up_to_one
                expire_sets_a_new_time_and_tells_whether_the_key_was_there
                expire_with_zero_or_less_deletes
                persist_is_true_once
                an_expired_key_is_absent_for_every_read
                an_expired_key_is_absent_for_every_write
                an_absent_key_and_one_without_expiry_have_no_ttl
            }
            $crate::__tests! { $attributes facade::keys as keys:
                hostile_keys_and_namespaces_never_meet
                keys_are_sorted_and_without_duplicates
                a_prefix_is_taken_literally
                clear_counts_exactly_and_touches_its_own_namespace_only
                the_longest_key_and_namespace_are_taken
            }
            $crate::__tests! { $attributes facade::errors as errors:
                a_bad_key_is_invalid_input_for_every_verb
                a_bad_key_among_many_changes_nothing
                a_bad_time_to_live_is_invalid_input
                a_bad_default_is_refused_by_the_builder
                a_bad_namespace_is_invalid_input
                a_value_that_never_fits_is_too_large
            }
            $crate::__tests! { $attributes facade::idle as idle:
            a_read_gives_an_entry_its_time_again
            a_write_takes_the_time_to_idle
            an_entry_expires_when_nobody_reads_it
            an_expiry_stays_that_no_read_has_to_change
        }
        $crate::__tests! { $attributes facade::locks as locks:
                work_under_a_lock_is_done_by_one_at_a_time
                a_dropped_lock_is_given_back
                one_leads_until_it_resigns
                locks_belong_to_their_namespace
                a_bad_lock_is_invalid_input
            }
            $crate::__tests! { $attributes facade::many as many:
                mset_with_gives_a_time_to_live
                mset_with_counts_what_its_condition_lets_through
                mset_with_gives_tags
                mset_with_checks_all_before_it_writes
                scan_entries_returns_keys_with_their_values
                retain_deletes_what_is_refused_in_its_namespace_alone
            }
            $crate::__tests! { $attributes facade::stats as stats:
                hits_misses_sets_and_deletes_are_counted
                an_expired_key_is_a_miss
                clones_and_namespaces_share_the_counters
                refused_writes_and_questions_are_not_counted
            }
            $crate::__tests! { $attributes facade::counting as counting:
                eight_thousand_concurrent_adds_count_eight_thousand
                groups_and_namespaces_count_apart
                counters_outlive_a_clear
                a_bad_key_group_or_window_is_invalid_input
                a_backend_without_counters_refuses_them
            }
            $crate::__tests! { $attributes facade::tags as tags:
                a_tag_ends_all_its_entries_and_no_others
                a_kept_value_outlives_expire_by_tag_alone
                tags_of_two_namespaces_never_meet
                a_bad_tag_is_invalid_input_and_nothing_is_written
                the_longest_and_the_most_tags_are_taken
                a_value_whose_tag_is_deleted_during_the_load_is_not_stored
                a_backend_without_tags_refuses_them_and_does_all_else
            }
        }
    };
}
