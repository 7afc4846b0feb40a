//! The words of this program, and the tests that fail where a word loses its meaning.
//!
//! A test is named by its module and function, those beside the code by the module's path,
//! in `crates/` with the name of the crate before it.
//!
//! | word | what holds | tests |
//! |---|---|---|
//! | target | it goes its own way: one that hangs delays no other | `embedded::round_trip::one_target_that_hangs_delays_no_other` |
//! | mailbox | is one for each protocol, host, port and user | `embedded::mailbox::another_user_or_another_port_is_another_mailbox`, `real::postfix_dovecot::mail_of_others_stays_as_it_is_flags_included` |
//! | mailbox | folders are the union of those of its targets; else they describe it alike | `embedded::mailbox::folders_of_a_shared_mailbox_are_the_union`, `config::tests::every_bad_file_has_its_exact_messages` |
//! | watch | one a mailbox, and one session at a time | `real::shared_mailbox::two_hundred_targets_share_one_login_a_period`, `embedded::mailbox::many_targets_share_one_mailbox_and_one_login` |
//! | watch | re-opened with back-off | `embedded::mailbox::a_watch_that_breaks_is_opened_again_with_back_off` |
//! | token | 32 random hex digits without dashes | `mail::test_mail::tests::tokens_are_random_and_32_hex_digits`, `mail::test_mail::tests::only_32_hex_digits_are_a_token` |
//! | instance | made with its `state_dir` and kept there | `store::tests::the_instance_is_made_once_and_kept_private` |
//! | check | a fresh login, in place of the session before | `embedded::round_trip::one_login_a_period_and_never_two_sessions_at_once`, `real::postfix_dovecot::the_mailbox_is_left_empty_and_is_entered_once_a_period` |
//! | check | one in the shortest period of the mailbox's targets | `embedded::mailbox::a_shared_mailbox_is_checked_once_in_the_shortest_period` |
//! | check | reads a header if mail is there | `embedded::mailbox::a_check_reads_a_header_if_there_is_mail`, `embedded::faults::a_maildrop_in_which_no_mail_can_be_read_fails_the_check` |
//! | check | tells the ability of every target of the mailbox | `embedded::mailbox::a_check_that_fails_tells_the_ability_of_every_target_of_the_mailbox` |
//! | check | and nothing else does: a look that fails is a failure | `ledger::ledger::tests::a_look_that_fails_does_not_touch_the_receive_ability`, `embedded::round_trip::a_session_that_breaks_while_a_mail_is_under_way_is_opened_again` |
//! | look | reads what is new only | `embedded::mailbox::foreign_mail_stays_as_it_is_and_costs_nothing` |
//! | look | into the inbox each time, into other folders once a minute | `embedded::mailbox::folders_beside_the_inbox_are_looked_into_once_a_minute`, `embedded::mailbox::a_mail_is_found_in_the_folder_where_it_lies` |
//! | sending | known before it goes out | `account::tests::a_mail_is_in_the_file_before_it_goes_out`, `ledger::ledger::tests::a_mail_may_arrive_before_the_server_says_that_it_took_it`, `real::crashes::killed_before_the_data` |
//! | refused | counted as sent, and forgotten | `ledger::ledger::tests::a_refused_mail_is_forgotten` |
//! | doubtful | without a reply after the data, and never outstanding | `ledger::ledger::tests::a_doubtful_mail_is_never_outstanding_and_may_return`, `embedded::round_trip::a_mail_without_a_reply_is_doubtful_and_returns` |
//! | doubtful | without a recorded reply after a restart | `ledger::ledger::tests::a_mail_without_a_recorded_reply_is_doubtful_after_a_restart`, `real::crashes::killed_after_the_final_dot_and_before_the_reply` |
//! | accepted | in exactly one place: outstanding, received, bounced, lost, or left with an outage | `ledger::ledger::tests::the_account_always_adds_up` |
//! | outstanding | accepted and not yet seen, over restarts as well | `ledger::ledger::tests::a_mail_that_arrives_is_received_with_its_delay`, `ledger::ledger::tests::an_outstanding_mail_is_outstanding_again_and_received_with_its_whole_delay`, `real::crashes::killed_while_the_mail_is_held_in_the_queue` |
//! | received | seen, late or not | `ledger::ledger::tests::a_mail_that_arrives_is_received_with_its_delay`, `embedded::round_trip::a_late_mail_that_comes_is_received` |
//! | late | counted once, when it becomes late | `ledger::ledger::tests::late_is_counted_when_it_becomes_late_and_only_once`, `config::tests::defaults_are_those_of_the_documentation` |
//! | lost | not seen for `lost_after` | `ledger::ledger::tests::a_lost_mail_leaves_outstanding_and_may_return`, `ledger::ledger::tests::late_and_lost_go_on_over_a_restart_and_are_counted_once` |
//! | bounced | a bounce for it has come: counted once, no longer waited for | `ledger::ledger::tests::a_bounce_ends_the_wait_and_is_counted_once`, `ledger::ledger::tests::a_bounced_mail_that_comes_after_all_is_returned` |
//! | max_outstanding | beyond it the oldest are lost | `ledger::ledger::tests::beyond_max_outstanding_the_oldest_are_lost` |
//! | returned | a doubtful or lost mail that turns up: removed, and counted there alone | `embedded::round_trip::a_mail_is_late_then_lost_then_returned`, `embedded::round_trip::a_mail_without_a_reply_is_doubtful_and_returns`, `ledger::ledger::tests::a_lost_mail_leaves_outstanding_and_may_return` |
//! | duplicate | another copy of one that was received: counted, removed, remembered for `lost_after` | `embedded::round_trip::further_copies_are_duplicates_and_removed`, `ledger::ledger::tests::late_and_lost_go_on_over_a_restart_and_are_counted_once` |
//! | failed removal | the same UID or UIDL again | `embedded::mailbox::a_removal_that_the_server_only_pretends_is_a_failure`, `embedded::faults::a_removal_that_fails_is_counted_at_its_step_and_tried_again` |
//! | round trip | the mean of the newest period with arrivals among the last two, then none | `ledger::ledger::tests::the_round_trip_is_that_of_the_newest_two_periods_and_then_none`, `ledger::ledger::tests::the_round_trip_is_the_mean_over_the_mails_of_the_period` |
//! | ability to send | the accepted share of a period's mails | `ledger::ledger::tests::the_share_of_accepted_mails_is_the_ability`, `real::postfix_dovecot::of_several_mails_a_period_one_that_is_refused_does_not_stop_the_next` |
//! | ours | by a live token in its own header (1) | `mail::test_mail::tests::it_is_known_again_by_its_mark`, `mail::test_mail::tests::a_token_that_nobody_knows_is_foreign` |
//! | ours | where that is missing, by our Message-ID (2) or a Subject from our sender (3) | `embedded::mailbox::a_mail_is_known_without_its_own_header`, `mail::test_mail::tests::without_the_mark_the_message_id_or_the_subject_tells` |
//! | ours | the header says whose, since when and until when | `mail::test_mail::tests::the_mail_is_complete_and_loop_safe` |
//! | never ours | another's header, whatever the Subject says | `mail::test_mail::tests::a_mark_of_somebody_else_is_not_overruled_by_the_subject` |
//! | never ours | replies, vacation answers, bounces | `mail::test_mail::tests::answers_are_never_ours`, `embedded::mailbox::foreign_mail_stays_as_it_is_and_costs_nothing` |
//! | never ours | forwards and attachments with our header inside | `mail::test_mail::tests::a_forward_with_our_header_inside_is_not_ours` |
//! | left-over | goes when its `expires` and the server's date + `lost_after` have passed | `embedded::mailbox::a_left_over_goes_when_its_time_has_passed_by_both_clocks`, `embedded::mailbox::another_exporter_on_the_same_mailbox_is_left_alone` |
//! | passive | down is NaN, a failure nowhere, and counted as not applicable | `ledger::ledger::tests::a_passive_target_that_is_down_reads_nothing_and_counts_no_failure`, `embedded::passive::both_sides_down_measure_nothing_and_then_like_any_other` |
//! | passive | each side for itself; outstanding and round trip with either | `ledger::ledger::tests::the_sides_of_a_passive_target_go_each_for_itself`, `embedded::passive::each_side_is_down_for_itself` |
//! | passive | mails under way leave uncounted, and are neither late nor lost meanwhile | `ledger::ledger::tests::mails_outstanding_when_a_passive_node_goes_down_leave_uncounted`, `ledger::ledger::tests::a_mail_that_nobody_can_look_for_is_neither_late_nor_lost`, `embedded::passive::mails_under_way_leave_with_an_outage` |
//! | passive | an active target counts the same outage, also on the same mailbox | `ledger::ledger::tests::an_active_target_that_is_down_reads_0_and_counts`, `embedded::passive::a_target_that_is_not_passive_shows_zero_for_the_same_outage`, `real::shared_mailbox::an_active_and_a_passive_target_on_one_mailbox_go_each_by_its_own_rule` |
//! | down | no address, no connection | `embedded::faults::nobody_there_is_down` |
//! | down | closed or silent before the greeting, or the service's own word; nothing else | `embedded::passive::down_is_not_applicable_and_everything_else_is_a_real_zero`, `embedded::faults::a_service_says_that_it_is_not_there_in_its_own_words`, `embedded::faults::under_implicit_tls_silence_before_the_handshake_is_down_and_an_alert_is_not` |

use std::fs;
use std::path::Path;

/// The tests that the table names.
fn named() -> impl Iterator<Item = &'static str> {
    let table = include_str!("definitions.rs").lines().filter(|line| line.starts_with("//! | "));
    table.flat_map(|row| row.split('`').skip(1).step_by(2)).filter(|name| name.contains("::"))
}

/// The texts in which a test of this module may stand: in a file of this folder, or beside the code, in
/// the exporter or in the crate that the name begins with.
fn texts(module: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = module.trim_end_matches("::tests").replace("::", "/");
    let read = |path: String| fs::read_to_string(root.join(path)).ok();
    let with_tests = |stem: String| {
        let beside = read(format!("{stem}.rs"));
        // A file of tests that its module does not name is never run.
        let is_named = beside.as_ref().is_some_and(|text| text.contains("\nmod tests;"));
        [beside, is_named.then(|| read(format!("{stem}/tests.rs"))).flatten()]
    };
    let in_crate = code.split_once('/').map(|(name, rest)| format!("crates/{name}/src/{rest}"));
    let beside = [Some(format!("src/{code}")), in_crate].into_iter().flatten().flat_map(with_tests);
    beside.chain([read(format!("tests/it/{code}.rs"))]).flatten().collect()
}

/// Whether the text has this function, and it is a test.
fn has_test(text: &str, function: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim_start).collect();
    lines.windows(2).any(|pair| {
        let is_test = pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test");
        let signature = pair[1].trim_start_matches("async ").strip_prefix("fn ");
        let rest = signature.and_then(|signature| signature.strip_prefix(function));
        is_test && rest.is_some_and(|rest| rest.starts_with('('))
    })
}

#[test]
fn every_definition_has_its_tests() {
    assert!(named().count() > 60, "the table was not read: {} names", named().count());
    let missing: Vec<&str> = named()
        .filter(|name| {
            let (module, function) = name.rsplit_once("::").unwrap();
            !texts(module).iter().any(|text| has_test(text, function))
        })
        .collect();
    assert!(missing.is_empty(), "the table names tests that are not there: {missing:#?}");
}
