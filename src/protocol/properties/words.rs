//! What a client of IMAP, POP3 or ManageSieve says: words, and literals.

use proptest::{collection::vec, prelude::*, sample::select};

/// What a client's octets are put together from: all that has a meaning to somebody.
const PIECES: &[&str] = &[
    "a ",
    "b ",
    "A\t",
    "* ",
    "+ ",
    "LOGIN ",
    "login ",
    "AUTHENTICATE ",
    "AUTHENTICATE PLAIN",
    "AUTH PLAIN",
    "AUTH",
    "AUTHENTICATE \"PLAIN\"",
    "CAPABILITY",
    "CAPA",
    "NOOP",
    "NOOP ",
    "FOO ",
    "USER ",
    "PASS ",
    "alice ",
    "secret",
    "ID ",
    "ID\t",
    "(",
    ")",
    "\"name\" ",
    "\"x-originating-ip\" ",
    "\"X-Session-ID\" ",
    "NIL",
    "STARTTLS",
    "STLS",
    "XCLIENT ADDR=1",
    "XCLIENT\tADDR=1",
    "xclient addr=1",
    "COMPRESS DEFLATE",
    "\"",
    "\\",
    " ",
    "  ",
    "\t",
    "*",
    "=",
    "QUJD",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    "\u{e9}",
    "~",
    "x",
    "LOGOUT",
    "QUIT",
    "{",
    "}",
    "{+}",
];

fn piece() -> impl Strategy<Value = Vec<u8>> {
    // A literal with a command in it, of the length that was announced, or almost.
    let inside = select(
        &["x ID (\"x-originating-ip\" \"1\")", "XCLIENT ADDR=1", "STARTTLS", "alice", ""][..],
    );
    let literal =
        (inside, any::<bool>(), any::<bool>(), 0..3_usize).prop_map(|(text, waits, ends, more)| {
            let end = if ends { "\r\n" } else { "" };
            let (text, plus) = (format!("{text}{end}"), if waits { "" } else { "+" });
            format!("{{{}{plus}}}\r\n{text}", text.len() + more).into_bytes()
        });
    prop_oneof![4 => select(PIECES).prop_map(|p| p.as_bytes().to_vec()), 1 => literal]
}

pub(super) fn client() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..30).prop_map(|pieces| pieces.concat())
}
