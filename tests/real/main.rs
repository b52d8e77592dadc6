//! The front between real components: Dovecot and Postfix behind it, the clients that people use before it.
//!
//! Missing programs fail the test that needs them, and the failure says which Debian package to install.
#![expect(
    clippy::expect_used,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "tests may panic, and explain themselves"
)]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod courier;
mod cyrus;
mod dialogue;
mod dovecot;
mod exim;
mod haproxy;
mod harness;
mod jail;
mod knot;
mod known;
mod mail_comes_out;
mod mail_goes_in;
mod mailroom;
mod opensmtpd;
mod ordering;
mod pebble;
mod plan;
mod postfix;
mod postfix_harness;
mod scripted;
mod senders;
mod smtp;
mod stage;
mod tap;

mod a_backends_certificate_is_verified;
mod a_balancer_before_us_is_believed;
mod a_message_is_read_back_on_every_port;
mod a_misconfigured_backend_is_told_apart;
mod a_probe_agrees_with_openssl;
mod a_refused_name_is_explained;
mod a_reload_disturbs_nobody;
mod a_script_is_kept;
mod capabilities_are_the_backends_own;
mod certificates_are_ordered_by_hand;
mod certificates_are_renewed_unseen;
mod certificates_change_with_the_configuration;
mod certificates_come_by_themselves;
mod compression_passes;
mod courier_is_behind_the_front;
mod cyrus_sees_the_client;
mod each_dialect_says_what_it_can;
mod exim_sees_the_client;
mod idle_flows_both_ways;
mod mail_comes_in_on_every_port;
mod mail_is_not_touched;
mod nobody_relays_for_strangers;
mod nobody_sends_mail_as_the_front;
mod nobody_smuggles_mail;
mod nobody_speaks_as_the_front;
mod nothing_is_lost_by_being_killed;
mod nothing_stays_in_dns;
mod opensmtpd_sees_the_client;
mod passwords_are_the_backends_affair;
mod postfix_sees_the_client;
mod smtp_backends_keep_their_words;
mod smtp_in_clear_goes_on;
mod smtp_octets_are_not_touched;
mod smtp_offers_are_the_backends_own;
mod smtp_says_good_bye_when_it_goes;
mod smtp_tls_begins_by_the_book;
mod ten_lines_get_certificates_for_every_port;
mod the_backend_is_reached_in_tls;
mod the_backend_sees_the_client;
mod the_certificate_fits_the_client;
mod the_chain_is_whole_on_every_port;
mod the_demo_does_what_it_says;
mod the_lines_for_a_backend_are_its_own;
mod what_a_backend_knows_is_in_the_readme;
mod who_refuses_the_probe_may_serve_others;
