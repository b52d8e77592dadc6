//! The front before web servers: nginx and a small one in Python, curl, h2load and a browser before it,
//! and peers that write each octet themselves.
//!
//! Missing programs fail the test that needs them, and the failure says which Debian package to install.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "tests may panic, and explain themselves"
)]

#[path = "../common/mod.rs"]
mod common;
mod curl;
mod h2;
mod raw;
mod recorder;
mod servers;
mod stage;

mod a_broken_answer_is_never_taken_for_whole;
mod a_browser_feels_at_home;
mod a_client_in_trouble_costs_only_itself;
mod a_login_stays_with_its_client;
mod connections_leave_http_and_come_back;
mod floods_cost_nobody_else;
mod http2_comes_down_as_one_request;
mod http2_goes_on_where_it_is_spoken;
mod load_is_carried;
mod mail_programs_are_told_what_is_served;
mod one_request_is_one_request_behind;
mod pages_pass_in_both_versions;
mod port_80_sends_everybody_to_https;
mod the_backend_knows_the_client_by_fields;
mod trailers_are_fields_of_a_body;
mod who_traces_the_way_learns_of_us;
