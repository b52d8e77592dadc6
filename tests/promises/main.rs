//! One file per promise that the front makes; the file's name is the promise.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests may panic, and explain themselves"
)]

mod authority;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod office;
mod openssl;
mod pool;
mod stage;

mod a_backend_in_trouble_is_no_riddle;
mod a_backend_without_an_end_costs_no_memory;
mod a_certificate_is_made_as_servers_need_it;
mod a_cross_signed_root_works_with_both_anchors;
mod a_first_start_needs_no_certificate;
mod a_front_before_us_says_who_calls;
mod a_handshake_ends_in_time;
mod a_key_that_dns_does_not_know_is_not_served;
mod a_name_leads_to_its_own_server;
mod a_new_intermediate_is_asked_for_by_name;
mod a_pool_survives_its_members;
mod a_preset_knows_its_server;
mod a_probe_finds_what_is_wrong;
mod a_probe_sees_what_can_be_smuggled;
mod a_probe_sees_what_clients_see;
mod a_refused_certificate_is_explained;
mod a_reload_changes_all_or_nothing;
mod a_request_says_what_was_asked;
mod a_revoked_certificate_goes;
mod a_service_manager_is_told;
mod a_session_is_resumed_where_it_may_be;
mod a_signal_may_come_too_early;
mod a_slow_peer_costs_no_memory;
mod clients_prove_who_they_are;
mod dns_is_told_what_is_served;
mod every_end_reaches_the_other_side;
mod it_goes_politely_and_comes_back;
mod it_is_explained_who_gets_which_certificate;
mod limits_hold;
mod no_secret_is_logged;
mod nothing_from_before_tls_survives;
mod one_bad_certificate_takes_nobody_down;
mod only_a_whole_certificate_is_imported;
mod only_the_trusted_log_in_in_clear;
mod open_files_run_out_and_come_back;
mod revoked_clients_stay_out;
mod starttls_is_granted_by_the_book;
mod the_authority_may_change;
mod the_authority_may_err;
mod the_authority_may_forget;
mod the_authority_says_when;
mod the_backend_is_told_in_one_line;
mod the_backend_is_told_who_calls;
mod the_certificate_follows_the_name;
mod the_certificates_are_listed;
mod the_tls_of_a_front_before_us_counts;
mod tls_goes_on_to_the_backend;
mod tls_is_spoken_as_of_today;
mod who_speaks_something_else_is_not_kept_waiting;
