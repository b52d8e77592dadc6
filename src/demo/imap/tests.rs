//! Transcripts: what a client sends, and what it must be told.

use super::*;
use crate::demo::session::Session;

fn session(store: &Store) -> Imap {
    let mut imap = Imap::new(store.clone(), Peer { address: None, tls: None });
    assert!(say(&mut imap, "l LOGIN demo demo").starts_with("l OK [CAPABILITY IMAP4rev1 "));
    imap
}

fn say(imap: &mut Imap, command: &str) -> String {
    let mut out = Vec::new();
    let _ = imap.command(format!("{command}\r\n").as_bytes(), &mut out);
    String::from_utf8(out).unwrap()
}

/// Says each command and checks that the answer has each of the lines, in any order.
fn talk(imap: &mut Imap, transcript: &[(&str, &[&str])]) {
    for (command, lines) in transcript {
        let answer = say(imap, command);
        for line in *lines {
            assert!(answer.contains(line), "{command}: {answer}");
        }
    }
}

const MIME: &str = "From: \"A. B\" <a@b.test>\r\nSubject: parts\r\n\
    Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\n\
    Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--x--\r\n";

fn append(mailbox: &str, message: &str) -> String {
    format!(
        "p APPEND {mailbox} (\\Seen) \"01-Feb-2020 10:00:00 +0100\" {{{}}}\r\n{message}",
        message.len()
    )
}

#[test]
fn nothing_is_told_before_login() {
    let mut imap = Imap::new(Store::new(), Peer { address: None, tls: None });
    talk(
        &mut imap,
        &[
            ("a SELECT INBOX", &["a BAD "]),
            ("b LOGIN demo wrong", &["b NO [AUTHENTICATIONFAILED] "]),
            ("c AUTHENTICATE PLAIN", &["+ \r\n"]),
            ("*", &["c BAD "]),
            ("d AUTHENTICATE PLAIN", &["+ \r\n"]),
            ("AGRlbW8AZGVtbw==", &["d OK [CAPABILITY "]),
            ("e LOGIN demo demo", &["e BAD "]),
            ("f IDLE extra", &["f BAD "]),
            ("g", &["* BAD "]),
        ],
    );
    let mut imap = Imap::new(Store::new(), Peer { address: None, tls: None });
    talk(&mut imap, &[("a AUTHENTICATE PLAIN AGRlbW8AZGVtbw==", &["a OK "])]);
}

#[test]
fn a_message_goes_in_and_comes_out() {
    let mut imap = session(&Store::new());
    talk(
        &mut imap,
        &[
            ("a CREATE Box/Sub/", &["a OK"]),
            (&append("Box/None", MIME), &["p NO [TRYCREATE]"]),
            (&append("\"Box/Sub\"", MIME), &["p OK [APPENDUID "]),
            ("b SELECT Box/Sub", &["* 1 EXISTS", "* 1 RECENT", "[UIDNEXT 2]", "[READ-WRITE]"]),
            ("c FETCH 1 (RFC822.SIZE INTERNALDATE)", &["1-Feb-2020 09:00:00 +0000\")"]),
            ("d UID FETCH 1:* (FLAGS)", &["* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent))"]),
            ("e FETCH 1 BODY.PEEK[1]", &["BODY[1] {3}\r\none)"]),
            ("e FETCH 1 BODY.PEEK[2.1]", &["BODY[2.1] {3}\r\ntwo)"]),
            ("e FETCH 1 BODY.PEEK[2.TEXT]<1.1>", &["BODY[2.TEXT]<1> {1}\r\nw)"]),
            ("e FETCH 1 BODY.PEEK[1.1]", &["BODY[1.1] NIL)"]),
            ("e FETCH 1 BODY.PEEK[3]", &["BODY[3] NIL)"]),
            (
                "f FETCH 1 BODY[HEADER.FIELDS (subject)]",
                &["BODY[HEADER.FIELDS (subject)] {18}\r\nSubject: parts\r\n\r\n)"],
            ),
            ("g FETCH 1 ENVELOPE", &["(NIL \"parts\" ((\"A. B\" NIL \"a\" \"b.test\")) (("]),
            (
                "h FETCH 1 BODY",
                &["BODY ((\"text\" \"plain\" NIL NIL NIL \"7bit\" 3 0)(\"message\" \"rfc822\" NIL"],
            ),
            ("i FETCH 2 FLAGS", &["i BAD"]),
            ("j UID FETCH 7 FLAGS", &["j OK"]),
        ],
    );
}

#[test]
fn flags_and_expunges_reach_other_sessions() {
    let store = Store::new();
    let (mut one, mut two) = (session(&store), session(&store));
    talk(&mut one, &[("a SELECT INBOX", &["* 1 EXISTS", "* 1 RECENT", "[UNSEEN 1]"])]);
    talk(&mut two, &[("a SELECT inbox", &["* 1 EXISTS", "* 0 RECENT"]), ("b IDLE", &["+ "])]);
    talk(
        &mut one,
        &[("b STORE 1 +FLAGS (\\Deleted $Mine)", &["FLAGS ($Mine \\Deleted \\Recent)"])],
    );
    let mut out = Vec::new();
    two.wake(&mut out);
    assert_eq!(out, b"* 1 FETCH (UID 1 FLAGS ($Mine \\Deleted))\r\n");
    talk(&mut two, &[("DONE", &["b OK"]), ("c EXAMINE INBOX", &["c OK [READ-ONLY]"])]);
    talk(&mut two, &[("d STORE 1 FLAGS ()", &["d NO"]), ("e EXPUNGE", &["e NO"])]);
    store.deliver(b"\r\nnew".to_vec()).unwrap();
    talk(&mut one, &[("c EXPUNGE", &["* 1 EXPUNGE\r\n* 1 EXISTS"])]);
    // The other's numbers stay until a command that does not use numbers.
    assert_eq!(say(&mut two, "f FETCH 1:* UID"), "* 2 EXISTS\r\n* 0 RECENT\r\nf OK Fetched\r\n");
    talk(&mut two, &[("g NOOP", &["* 1 EXPUNGE\r\ng OK"]), ("h FETCH 1 UID", &["(UID 2)"])]);
}

#[test]
fn messages_are_copied_moved_and_found() {
    let mut imap = session(&Store::new());
    talk(
        &mut imap,
        &[
            (&append("INBOX", MIME), &["p OK"]),
            ("a SELECT INBOX", &["* 2 EXISTS"]),
            ("b SEARCH OR SUBJECT PARTS UID 7", &["* SEARCH 2\r\n"]),
            ("b UID SEARCH NOT (SEEN) 1:*", &["* SEARCH 1\r\n"]),
            ("b SEARCH SINCE 1-Feb-2020 BEFORE 2-Feb-2020", &["* SEARCH 2\r\n"]),
            ("b SEARCH CHARSET UTF-8 TEXT \"picked the\"", &["* SEARCH 1\r\n"]),
            ("b SEARCH CHARSET X ALL", &["b NO [BADCHARSET"]),
            (&format!("b SEARCH {}ALL", "NOT ".repeat(2000)), &["b NO [LIMIT]"]),
            ("c COPY 1:2 None", &["c NO [TRYCREATE]"]),
            ("d CREATE Box", &["d OK"]),
            ("e COPY 1:2 Box", &[" 1:2 1:2] Copied"]),
            ("f UID MOVE 1 Box", &["* OK [COPYUID ", " 1 3] Moved\r\n* 1 EXPUNGE\r\nf OK"]),
            ("g STATUS Box (MESSAGES UNSEEN UIDNEXT)", &["(MESSAGES 3 UNSEEN 2 UIDNEXT 4)"]),
            ("h UID STORE 2 +FLAGS.SILENT (\\Deleted)", &["h OK"]),
            ("i UID EXPUNGE 1", &["i OK"]),
            ("j CLOSE", &["j OK"]),
            ("k STATUS INBOX (MESSAGES)", &["(MESSAGES 0)"]),
            ("l FETCH 1 FLAGS", &["l BAD"]),
            ("m LIST \"\" %", &["* LIST (\\HasNoChildren) \"/\" \"Box\"\r\n", "\"INBOX\""]),
        ],
    );
}
