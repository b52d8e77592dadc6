//! Sessions with the filter between, as transcripts.

use super::*;
use crate::protocol::transcript::{After, Turn::*, session};

const CLEAR: Offer = Offer { starttls: true, proceed: true, login: false };

fn inside_tls() -> Filter {
    Filter::new(Offer::TLS, BareNewline::StrictEod, &[])
}

fn pipelining() -> Filter {
    Filter::new(Offer::TLS, BareNewline::StrictEod, &[b"PIPELINING".to_vec(), b"CHUNKING".to_vec()])
}

/// In a transaction with a recipient.
fn receiving() -> Filter {
    Filter { in_transaction: true, has_recipient: true, ..pipelining() }
}

#[test]
fn s8_s9_s11_s14_what_ends_at_the_front_is_refused_and_not_shown() {
    session(
        inside_tls,
        &[
            Client("EHLO me\r\nSTARTTLS\r\nXCLIENT ADDR=1\r\nxforward a=b\r\n"),
            ToBackend("EHLO me\r\n"),
            Backend("250-mx\r\n250-STARTTLS\r\n250-AUTH PLAIN\r\n250 XCLIENT ADDR\r\n"),
            ToClient(
                "250-mx\r\n250 AUTH PLAIN\r\n503 5.5.1 TLS is active\r\n502 5.5.1 Command not implemented\r\n502 5.5.1 Command not implemented\r\n",
            ),
            Client("EHLO me\r\n"),
            ToBackend("EHLO me\r\n"),
            Backend("250 mx\r\n"),
            ToClient("250 mx\r\n"),
        ],
        After::Filtered,
    );
}

#[test]
fn s18_s20_s24_a_message_is_content_and_the_next_command_is_none_of_it() {
    session(
        pipelining,
        &[
            Client(
                "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSTARTTLS\r\nXCLIENT\r\n.\r\nXCLIENT ADDR=1\r\nMAIL FROM:<e@f>\r\n",
            ),
            ToBackend("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
            Backend("250 ok\r\n250 ok\r\n"),
            ToClient("250 ok\r\n250 ok\r\n"),
            Backend("354 go\r\n"),
            ToClient("354 go\r\n"),
            ToBackend("STARTTLS\r\nXCLIENT\r\n.\r\n"),
            Backend("250 queued\r\n"),
            ToClient("250 queued\r\n502 5.5.1 Command not implemented\r\n"),
            ToBackend("MAIL FROM:<e@f>\r\n"),
        ],
        After::Filtered,
    );
}

#[test]
fn a_refused_data_turns_no_message_into_commands() {
    session(
        pipelining,
        &[
            Client("DATA\r\nXCLIENT ADDR=1\r\n.\r\n"),
            ToBackend("DATA\r\n"),
            Backend("503 no\r\n"),
            ToClient(
                "503 no\r\n502 5.5.1 Command not implemented\r\n500 5.5.2 This is no command\r\n",
            ),
        ],
        After::Filtered,
    );
}

#[test]
fn s16_s20_credentials_are_no_commands_and_commands_no_credentials() {
    session(
        inside_tls,
        &[
            Client("AUTH LOGIN\r\nXCLIENT ADDR=1\r\n"),
            ToBackend("AUTH LOGIN\r\n"),
            Backend("535 no\r\n"),
            ToClient("535 no\r\n502 5.5.1 Command not implemented\r\n"),
            Client("AUTH LOGIN\r\n"),
            ToBackend("AUTH LOGIN\r\n"),
            Backend("334 VXNlcg==\r\n"),
            ToClient("334 VXNlcg==\r\n"),
            Client("XCLIENT\r\nUVVJVA==\r\n"),
            ToBackend("XCLIENT\r\n"),
            Backend("334 UGFzcw==\r\n"),
            ToClient("334 UGFzcw==\r\n"),
            ToBackend("UVVJVA==\r\n"),
            Backend("235 in\r\n"),
            ToClient("235 in\r\n"),
        ],
        After::Filtered,
    );
}

#[test]
fn s19_chunks_are_content_to_the_octet() {
    session(
        receiving,
        &[
            Client("BDAT 10\r\nSTARTTLS\r\nBDAT 0 LAST\r\nNOOP\r\n"),
            ToBackend("BDAT 10\r\nSTARTTLS\r\nBDAT 0 LAST\r\nNOOP\r\n"),
        ],
        After::Filtered,
    );
    let ended = After::Ended(Refusal::Unframeable);
    session(pipelining, &[Client("BDAT 10 FIRST\r\n")], ended);
    session(pipelining, &[Client("BDAT 4294967306\r\n")], ended);
    session(inside_tls, &[Client("BDAT 10\r\n")], ended);
}

/// A Dovecot that waits for a login lists CHUNKING, refuses BDAT, and hears XCLIENT in the chunk.
#[test]
fn s14_s19_without_a_recipient_a_chunk_goes_nowhere() {
    const REFUSED: &str = "503 5.5.1 No recipient has been accepted\r\n";
    session(
        pipelining,
        &[
            Client("BDAT 16 LAST\r\nXCLIENT ADDR=1\r\nNOOP\r\n"),
            ToClient(REFUSED),
            ToBackend("NOOP\r\n"),
        ],
        After::Filtered,
    );
    session(
        pipelining,
        &[
            Client(
                "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 9\r\nXCLIENT\r\nBDAT 9 LAST\r\nXCLIENT\r\n",
            ),
            ToBackend("MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"),
            Backend("250 ok\r\n550 no\r\n"),
            ToClient(
                "250 ok\r\n550 no\r\n503 5.5.1 No recipient has been accepted\r\n503 5.5.1 No recipient has been accepted\r\n",
            ),
            Client("RCPT TO:<e@f>\r\nBDAT 9 LAST\r\nXCLIENT\r\nBDAT 1 LAST\r\nx"),
            ToBackend("RCPT TO:<e@f>\r\n"),
            Backend("250 ok\r\n"),
            ToClient("250 ok\r\n"),
            ToBackend("BDAT 9 LAST\r\nXCLIENT\r\n"),
            Backend("250 queued\r\n"),
            ToClient("250 queued\r\n503 5.5.1 No recipient has been accepted\r\n"),
        ],
        After::Filtered,
    );
}

#[test]
fn s19_a_message_in_chunks_has_nothing_else_in_it() {
    session(
        receiving,
        &[
            Client("BDAT 0\r\nBDAT 1\r\nxNOOP\r\nVRFY a\r\n"),
            ToClient("501 5.5.4 An empty chunk is the last one or none\r\n"),
            ToBackend("BDAT 1\r\nxNOOP\r\n"),
            Backend("250 ok\r\n250 ok\r\n"),
            ToClient("250 ok\r\n250 ok\r\n503 5.5.1 The message has chunks to come\r\n"),
            Client("RSET x\r\n"),
            ToClient("503 5.5.1 The message has chunks to come\r\n"),
            Client("RSET\r\nVRFY a\r\n"),
            ToBackend("RSET\r\nVRFY a\r\n"),
        ],
        After::Filtered,
    );
}

#[test]
fn s19_what_ehlo_has_listed_holds_until_the_next_hello() {
    for (hello, answer) in [("HELO me\r\n", "250 mx\r\n"), ("EHLO\r\n", "501 no\r\n")] {
        session(
            pipelining,
            &[
                Client(hello),
                ToBackend(hello),
                Client("BDAT 9\r\nXCLIENT\r\n"),
                Backend(answer),
                ToClient(answer),
            ],
            After::Ended(Refusal::Unframeable),
        );
    }
}

#[test]
fn without_pipelining_commands_are_fed_one_at_a_time() {
    session(
        inside_tls,
        &[
            Client("NOOP\r\nVRFY a\r\n"),
            ToBackend("NOOP\r\n"),
            Backend("250 ok\r\n"),
            ToClient("250 ok\r\n"),
            ToBackend("VRFY a\r\n"),
        ],
        After::Filtered,
    );
}

#[test]
fn s15_s26_in_clear_no_credentials_and_tls_only_between_messages() {
    session(
        || Filter::new(CLEAR, BareNewline::StrictEod, &[]),
        &[
            Client("AUTH PLAIN x\r\nMAIL FROM:<a@b>\r\nSTARTTLS\r\n"),
            ToClient("530 5.7.0 Must issue a STARTTLS command first\r\n"),
            ToBackend("MAIL FROM:<a@b>\r\n"),
            Backend("250 ok\r\n"),
            ToClient("250 ok\r\n503 5.5.1 Not inside a mail transaction\r\n"),
            Client("RSET\r\nSTARTTLS\r\n"),
            ToBackend("RSET\r\n"),
            Backend("250 ok\r\n"),
            ToClient("250 ok\r\n220 2.0.0 Ready to start TLS\r\n"),
            ToBackend("QUIT\r\n"),
        ],
        After::StartTls,
    );
}

/// The end of one message does not end the next one, which has begun behind it.
#[test]
fn s26_in_a_pipeline_each_reply_is_its_own_commands() {
    session(
        || Filter { offer: CLEAR, ..receiving() },
        &[
            Client("BDAT 0 LAST\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<c@d>\r\nSTARTTLS\r\n"),
            ToBackend("BDAT 0 LAST\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<c@d>\r\n"),
            Backend("250 queued\r\n250 ok\r\n503 nested\r\n"),
            ToClient(
                "250 queued\r\n250 ok\r\n503 nested\r\n503 5.5.1 Not inside a mail transaction\r\n",
            ),
        ],
        After::Filtered,
    );
}

#[test]
fn s21_a_smuggled_end_ends_the_session_before_the_backend_sees_it() {
    session(
        inside_tls,
        &[
            Client("DATA\r\n"),
            ToBackend("DATA\r\n"),
            Backend("354 go\r\n"),
            ToClient("354 go\r\n"),
            Client("a\r\n.\nMAIL FROM:<x@y>\r\n"),
            ToBackend("a\r\n"),
        ],
        After::Ended(Refusal::BareNewline),
    );
}

/// Postfix skips and takes for a space what others take for a part of the verb.
#[test]
fn s14_a_verb_is_one_word_for_everybody_or_none() {
    for command in
        [" XCLIENT ADDR=1", "\tXCLIENT ADDR=1", "XCLIENT\tADDR=1", "BDAT\t117", " DATA", "", "."]
    {
        session(
            pipelining,
            &[
                Client(format!("{command}\r\n").leak()),
                ToClient("500 5.5.2 This is no command\r\n"),
            ],
            After::Filtered,
        );
    }
}

#[test]
fn a_question_that_nobody_asked_for_ends_the_session() {
    session(
        pipelining,
        &[Client("XODD\r\nBDAT 26\r\n"), ToBackend("XODD\r\n"), Backend("334 Go on\r\n")],
        After::Ended(Refusal::BackendGarbage),
    );
}

#[test]
fn a_bare_lf_behind_a_command_is_made_a_line_end_for_everybody() {
    session(inside_tls, &[Client("NOOP\n"), ToBackend("NOOP\r\n")], After::Filtered);
    session(
        inside_tls,
        &[Client("NOOP\rQUIT\r\n"), ToClient("500 5.5.2 This is no command\r\n")],
        After::Filtered,
    );
}
