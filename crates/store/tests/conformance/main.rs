//! What every backend has to do, written against the two traits alone. A later backend adds its `open` functions and
//! a line for each suite.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where by failing there")]

mod audit;
mod endings;
mod expiry;
mod figures;
mod fixture;
mod inbox;
mod mending;
mod once;
mod packing;
mod past;
mod payloads;
mod platform;
mod registry;
mod replay_jobs;
mod replays;
mod tokens;

/// What holds after every check.
mod afterwards {
    pub(crate) async fn platform(store: &impl hookit_store::platform::Store) {
        crate::figures::agree_with_the_rows(store).await;
    }

    pub(crate) async fn inbox(_: &impl hookit_store::inbox::Store) {}
}

/// Runs a suite's checks, each as a test of its own on a store of its own.
macro_rules! suite {
    ($backend:ident, $half:ident, $checks:ident, $open:path, [$($check:ident),* $(,)?]) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $check() {
                    let (store, _folder) = $open();
                    super::$checks::$check(&store).await;
                    super::afterwards::$half(&store).await;
                    hookit_store::$half::Store::close(&store).await;
                }
            )*
        }
    };
}

/// The platform's checks, for one backend.
macro_rules! platform_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            platform,
            $open,
            [
                a_new_order_has_the_fields_that_the_platform_owns,
                an_id_is_kept_where_it_is_free,
                of_many_changes_in_one_each_has_its_outcome_and_a_refused_one_stops_none,
                a_record_that_cannot_be_an_order_is_refused_by_its_field_and_leaves_nothing,
                an_order_moves_as_the_table_says,
                a_cancellation_keeps_its_reason,
                a_cart_edit_replaces_fields_until_the_order_has_ended,
                a_cart_edit_may_not_take_an_order_elsewhere,
                a_clock_that_steps_back_does_not_make_a_later_state_look_older,
                an_order_of_several_brands_is_delivered_for_each,
                a_delivery_carries_the_records_bytes_and_keeps_them,
                an_attempt_moves_its_delivery_on_once,
                attempts_that_do_not_count_are_logged_and_kept_apart,
                a_delivery_that_was_tried_often_is_told_with_its_newest_attempts,
                a_delivery_can_be_given_up_without_an_attempt,
                large_orders_do_not_share_a_delivery_that_nobody_takes,
                a_cart_cannot_make_a_record_grow_without_end,
                a_high_id_uses_up_no_others,
                a_backlog_is_read_in_pages_in_the_order_of_commits,
                deliveries_are_found_by_what_they_are,
                orders_are_listed_by_id,
                a_businesss_orders_are_found_by_when_and_where_they_were_created,
                counts_say_what_is_there,
                hints_name_every_new_delivery_and_every_endpoint_that_changed,
                of_many_moves_at_once_each_is_checked_against_the_one_before,
                a_closed_store_is_busy,
            ]
        );
    };
}

/// The platform's checks of replays of many deliveries, for one backend.
macro_rules! replay_jobs_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            replay_jobs,
            $open,
            [
                what_a_filter_names_is_sent_again_in_the_order_of_commits,
                with_new_ids_each_order_is_told_of_once_as_it_stands,
                what_a_registration_missed_is_sent_though_it_came_later,
                what_goes_to_a_more_specific_registration_is_not_missed_by_the_general_one,
                nothing_of_a_paused_replay_is_in_line_until_it_is_resumed,
                a_cancelled_replay_takes_back_what_was_not_sent,
                a_large_replay_goes_in_small_steps_and_leaves_none_out,
                replays_are_listed_newest_first_and_only_so_many_are_open,
            ]
        );
    };
}

/// The platform's checks of what is removed for its age, for one backend.
macro_rules! expiry_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            expiry,
            $open,
            [
                what_ended_long_ago_goes_and_everything_else_stays,
                a_record_goes_with_the_last_that_refers_to_it,
                a_large_expiry_goes_in_small_steps_between_which_changes_are_made,
                what_was_tried_often_goes_in_steps_that_are_no_longer_for_it,
                what_was_removed_is_not_missed,
                a_record_that_was_answered_with_stays_as_long_as_its_key,
            ]
        );
    };
}

/// The platform's checks of what an attempt is made of, for one backend.
macro_rules! payloads_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            payloads,
            $open,
            [
                a_payload_carries_the_registration_as_it_is_when_it_is_asked_for,
                what_ended_before_it_was_asked_for_is_not_sent,
                a_registration_that_coalesces_from_now_on_passes_over_what_was_committed_before,
            ]
        );
    };
}

/// The platform's checks of replays, for one backend.
macro_rules! replays_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            replays,
            $open,
            [
                what_has_ended_is_sent_again_with_its_id_and_bytes,
                replays_stand_in_a_line_of_their_own_in_the_order_in_which_they_were_asked_for,
                a_replay_goes_where_its_registration_points_now_and_moves_with_it,
            ]
        );
    };
}

/// The platform's checks of partners, registrations and hierarchies, for one backend.
macro_rules! registry_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            registry,
            $open,
            [
                a_registered_hierarchy_is_asked_of_orders_and_registrations,
                the_most_specific_registration_of_each_partner_gets_the_event,
                a_registration_takes_its_backlog_along_to_another_url,
                an_endpoint_is_held_and_let_go,
                of_several_registrations_of_one_url_the_strictest_counts,
                a_registration_may_ask_for_smaller_deliveries_than_others,
                a_revoked_partner_still_gets_deliveries,
                partners_are_kept_and_changed,
                a_webhook_secret_to_come_is_told_beside_the_present_one,
                what_posting_to_a_registration_needs_is_told_until_it_is_removed,
                a_registration_exists_once_for_each_tuple,
                partners_are_listed_a_page_at_a_time_from_either_end,
                registrations_are_listed_a_page_at_a_time_by_whose_they_are_and_what_they_are_for,
            ]
        );
    };
}

/// The platform's checks of operator tokens, for one backend.
macro_rules! tokens_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            tokens,
            $open,
            [
                a_token_is_found_by_its_hash_and_says_when_it_was_revoked,
                a_name_is_in_use_once_and_so_many_tokens_are,
                tokens_are_listed_a_page_at_a_time_from_either_end,
            ]
        );
    };
}

/// The platform's checks of how people look at it: orders by name and by time, and the figures of the past.
macro_rules! past_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            past,
            $open,
            [
                an_order_is_found_by_its_names_and_by_how_they_begin,
                the_orders_that_changed_last_come_first_and_once,
                what_happened_to_an_order_is_told_with_its_records,
                minutes_add_up_and_are_forgotten_when_no_chart_shows_them,
            ]
        );
    };
}

/// The platform's checks of deliveries that end without being sent, for one backend.
macro_rules! endings_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            endings,
            $open,
            [
                the_dead_are_told_by_endpoint_and_reason_and_any_delivery_has_its_bytes,
                what_waits_is_passed_over_for_the_newest_of_its_order,
                a_delivery_of_several_orders_is_passed_over_when_all_of_them_wait_anew,
                nothing_is_passed_over_for_another_registrations_brands_or_replays_sake,
                the_late_end_of_an_attempt_is_logged_and_does_not_bring_its_delivery_back,
                an_attempt_that_outlives_its_deliverys_place_is_logged,
                a_delivery_is_taken_back_by_name_and_can_be_replayed,
                a_removed_registration_sends_nothing_and_its_backlog_is_taken_back_in_steps,
                a_step_of_a_removal_is_bounded,
                what_was_sent_for_a_removed_registration_stays_as_it_was,
            ]
        );
    };
}

/// The platform's checks of what is done in somebody's name, for one backend. They share the store with whoever acts.
macro_rules! audit_suite {
    ($backend:ident, $open:path, [$($check:ident),* $(,)?]) => {
        mod $backend {
            $(
                #[tokio::test]
                async fn $check() {
                    let (store, _folder) = $open();
                    let store = std::sync::Arc::new(store);
                    super::audit::$check(store.clone()).await;
                    super::afterwards::platform(&*store).await;
                    hookit_store::platform::Store::close(&*store).await;
                }
            )*
        }
    };
}

/// The platform's checks of what is done once for a key, for one backend.
macro_rules! once_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            once,
            $open,
            [
                a_change_under_a_key_is_made_once_and_answered_alike,
                what_was_refused_is_refused_alike_whatever_happened_since,
                a_record_that_is_none_leaves_no_key,
                a_key_is_an_operators_own_for_a_day_and_its_record_stays_as_long,
            ]
        );
    };
}

/// The figures' checks, for one backend.
macro_rules! figures_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            platform,
            figures,
            $open,
            [
                every_end_and_every_attempt_is_counted_once,
                a_backlog_that_moves_is_counted_where_it_is,
                the_oldest_is_the_first_in_line_among_what_is_fresh_or_among_replays,
                ticks_tell_how_much_they_wrote_and_how_long_it_took,
            ]
        );
    };
}

/// The inbox's checks, for one backend.
macro_rules! inbox_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            inbox,
            inbox,
            $open,
            [
                a_delivery_renews_the_view_and_the_history,
                a_version_that_jumps_is_noticed,
                a_repeat_changes_nothing,
                a_test_of_a_registration_is_received_and_is_no_trouble,
                of_the_same_delivery_many_times_at_once_one_counts,
                an_older_state_never_overwrites_a_newer_one,
                what_was_seen_before_tells_what_is_old_where_the_view_lacks_it,
                a_cancellation_stays_unless_something_newer_says_otherwise,
                an_order_twice_in_one_envelope_is_applied_in_order,
                what_cannot_be_read_is_kept_aside_and_does_not_hinder_its_neighbours,
                orders_and_quarantine_are_read_in_pages,
                a_page_ends_before_it_has_too_many_bytes_and_one_that_is_larger_comes_alone,
                a_history_is_read_in_pages_from_either_end,
                orders_are_found_by_filters_that_combine,
                what_cannot_be_read_anew_stays_in_quarantine,
                what_is_discarded_leaves_the_quarantine_and_its_delivery_stays,
                what_is_old_goes_and_the_view_stays,
                much_that_is_old_goes_in_short_steps,
                each_renewal_of_the_view_is_a_change_and_nothing_else_is,
                a_piece_of_the_line_is_bounded_in_bytes_and_never_empty,
                a_delivery_is_kept_with_where_it_came_from,
                a_sink_begins_where_it_wants_to_and_goes_on_where_it_was,
                a_sinks_position_moves_over_all_that_has_ended,
                a_sink_may_be_ahead_of_its_position_by_any_number_in_so_many_stretches,
                what_has_ended_ahead_is_there_when_a_sink_comes_back_and_goes_with_its_changes,
                what_a_sink_gives_up_is_kept_until_it_is_handed_on_after_all,
                a_closed_inbox_is_busy,
            ]
        );
    };
}

/// The inbox's checks of reconciling and moves, for one backend.
macro_rules! mending_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            inbox,
            mending,
            $open,
            [
                what_the_view_lacks_is_healed_and_the_run_says_why_it_was_missing,
                what_was_refused_is_told_apart_from_what_never_came,
                a_state_that_came_after_the_comparison_is_left_as_it_is,
                reconciling_goes_on_where_it_was_and_its_runs_are_kept,
                a_move_is_kept_until_it_has_ended_and_its_key_stands_for_it_alone,
                so_many_moves_may_be_pending_and_no_more,
            ]
        );
    };
}

/// The inbox's checks of packing, for one backend.
macro_rules! packing_suite {
    ($backend:ident, $open:path) => {
        suite!(
            $backend,
            inbox,
            packing,
            $open,
            [
                what_is_packed_reads_as_it_came,
                only_what_has_come_to_rest_is_packed_and_in_short_steps,
                what_is_packed_goes_when_it_is_old,
            ]
        );
    };
}

expiry_suite!(sqlite_expiry, crate::fixture::sqlite_platform);
payloads_suite!(sqlite_payloads, crate::fixture::sqlite_platform);
replays_suite!(sqlite_replays, crate::fixture::sqlite_platform);
replay_jobs_suite!(sqlite_replays_jobs, crate::fixture::sqlite_platform);
platform_suite!(sqlite_platform, crate::fixture::sqlite_platform);
registry_suite!(sqlite_registry, crate::fixture::sqlite_platform);
once_suite!(sqlite_once, crate::fixture::sqlite_platform);
past_suite!(sqlite_past, crate::fixture::sqlite_platform);
tokens_suite!(sqlite_tokens, crate::fixture::sqlite_platform);
endings_suite!(sqlite_endings, crate::fixture::sqlite_platform);
audit_suite!(
    sqlite_audit,
    crate::fixture::sqlite_platform,
    [
        what_is_done_is_noted_once_and_what_changes_nothing_is_not,
        an_order_and_a_replay_that_stand_as_they_are_asked_to_leave_no_entry,
    ]
);
figures_suite!(sqlite_figures, crate::fixture::sqlite_platform);
inbox_suite!(sqlite_inbox, crate::fixture::sqlite_inbox);
mending_suite!(sqlite_mending, crate::fixture::sqlite_inbox);
packing_suite!(sqlite_packing, crate::fixture::sqlite_inbox);
