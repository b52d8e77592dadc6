//! A client of SMTP, and a server.
//!
//! The server has the worst of all habits at once. It ends a message at any dot that looks alone;
//! forgets CHUNKING with each EHLO and HELO; takes the chunk of a BDAT that it refuses for commands, and
//! refuses it without a recipient, as Dovecot does before its login; counts a chunk in 32 bits; and
//! within a message in chunks it hears nothing but RSET once it has been sent anything but BDAT and
//! NOOP. The last two are Exim's.

use proptest::{collection::vec, prelude::*, sample::select};

use super::{Mode, Model, Said, line};

const COMMANDS: &[&str] = &[
    "EHLO x",
    "EHLO x",
    "ehlo x",
    "HELO x",
    "EHLO",
    "MAIL FROM:<a@b>",
    "RCPT TO:<c@d>",
    "rCPT\tTO:<c@d>",
    "DATA",
    "data ",
    "DATA\t",
    "BDAT",
    "BDAT 0",
    "BDAT\t9",
    "BDAT 9 LAST x",
    "AUTH PLAIN",
    "auth LOGIN QUJD",
    "*",
    "QUJD",
    "RSET",
    "RSET x",
    "QUIT x",
    "NOOP",
    "VRFY x",
    "XODD",
    "QUIT",
    "STARTTLS",
    "starttls x",
    "XCLIENT ADDR=1",
    "XCLIENT\tADDR=1",
    "xclient addr=1",
    "XFORWARD NAME=a",
    "X-EXPS GSSAPI",
    "X-ANONYMOUSTLS",
    "XEXCH50 1 2",
    "XPROXY x",
    "TURN",
    "ATRN",
    "\u{e9}",
    ".",
    "",
];

/// What is content here and a command there.
const INSIDE: &[&str] =
    &["", "XCLIENT ADDR=1\r\n", "RSET\r\nXCLIENT ADDR=1\r\n", "STARTTLS\n", "AUTH PLAIN\r\n", "x"];

/// What stands before and behind a dot.
const ENDS: &[&str] = &["\r\n", "\r\n", "\n", "\r", "\r\r\n", "\n\r", "\0\r\n", " ", ""];

fn piece() -> impl Strategy<Value = String> {
    let command =
        (select(&["", "", "", "", " ", "\t"][..]), select(COMMANDS), select(&["\r\n", "\n"][..]))
            .prop_map(|(blank, command, end)| format!("{blank}{command}{end}"));
    let chunk = (
        select(INSIDE),
        0..3_u64,
        select(&["", "", " LAST", "  last", " FIRST"][..]),
        select(&[0, 0, 0, 1_u64 << 32][..]),
    )
        .prop_map(|(text, more, last, over)| {
            format!("BDAT {}{last}\r\n{text}", text.len() as u64 + more + over)
        });
    let message =
        (select(&["", "DATA\r\n"][..]), select(INSIDE), select(ENDS), select(ENDS), select(INSIDE))
            .prop_map(|(data, text, before, after, behind)| {
                format!("{data}{text}{before}.{after}{behind}")
            });
    let odd = select(&["\r\n", "\n", "\r", "\0", " ", "\t", "x", "NOOP "][..]);
    prop_oneof![6 => command, 2 => chunk, 2 => message, 1 => odd.prop_map(str::to_owned)]
}

pub(super) fn client() -> impl Strategy<Value = Vec<u8>> {
    vec(piece(), 0..20).prop_map(|pieces| pieces.concat().into_bytes())
}

/// What becomes of the next BDAT.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum Chunking {
    #[default]
    Unlisted,
    Listed,
    /// Within a message in chunks.
    Open,
    /// The same, after something else than BDAT.
    Stuck,
}

pub(super) fn backend(model: &mut Model, input: &[u8]) -> Option<Said> {
    match model.mode {
        Mode::Message => {
            let taken = end_of_data(input)?;
            (model.mode, model.recipient) = (Mode::Command, false);
            return Some(Said(taken, "250 queued\r\n".to_owned()));
        }
        Mode::Over => return None,
        Mode::Chunk { left, .. } if input.len() < left => return None,
        Mode::Chunk { left, last } => {
            model.mode = Mode::Command;
            model.chunking = if last { Chunking::Listed } else { Chunking::Open };
            model.recipient &= !last;
            return Some(Said(left, "250 ok\r\n".to_owned()));
        }
        _ => {}
    }
    let (text, taken) = line(input)?;
    let is_credential = matches!(model.mode, Mode::Credential(_));
    model.mode = Mode::Command;
    let answer = if is_credential {
        question(model, "535 no\r\n")
    } else {
        model.commands.push(text.bytes().collect());
        let words: Vec<String> = text.split_whitespace().map(str::to_ascii_uppercase).collect();
        command(model, &words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    Some(Said(taken, answer))
}

fn command(model: &mut Model, words: &[&str]) -> String {
    if let ["EHLO" | "HELO", _, ..] | ["RSET"] = words {
        model.recipient = false;
    }
    let answer = match (model.chunking, words) {
        (Chunking::Open | Chunking::Stuck, ["RSET"]) => {
            model.chunking = Chunking::Listed;
            "250 ok\r\n"
        }
        (Chunking::Listed, ["BDAT", ..]) if !model.recipient => "503 no\r\n",
        (Chunking::Listed | Chunking::Open, ["BDAT", size, last @ ..]) => {
            // Zero is no chunk, unless it is the last.
            match (size.parse::<u64>().map(|size| size as u32 as usize), last) {
                (Err(_), _) => "501 no\r\n",
                (Ok(0), []) => {
                    model.chunking = Chunking::Stuck;
                    "504 no\r\n"
                }
                (Ok(left), last) => {
                    model.mode = Mode::Chunk { left, last: last == ["LAST"] };
                    ""
                }
            }
        }
        (_, ["QUIT"]) => {
            model.mode = Mode::Over;
            "221 bye\r\n"
        }
        (_, ["NOOP", ..]) => "250 ok\r\n",
        (Chunking::Open | Chunking::Stuck, _) => {
            model.chunking = Chunking::Stuck;
            "503 no\r\n"
        }
        (_, ["EHLO", _, ..]) => {
            let pipelining = if model.consents() { "250-PIPELINING\r\n" } else { "" };
            model.chunking = if model.consents() { Chunking::Listed } else { Chunking::Unlisted };
            let chunking = if model.chunking == Chunking::Listed { "250-CHUNKING\r\n" } else { "" };
            return format!(
                "250-mx\r\n{pipelining}250-STARTTLS\r\n{chunking}250-XCLIENT ADDR\r\n250 AUTH PLAIN\r\n"
            );
        }
        (_, ["EHLO"]) => {
            model.chunking = Chunking::Unlisted;
            "501 no\r\n"
        }
        (_, ["HELO", ..]) => {
            model.chunking = Chunking::Unlisted;
            "250 mx\r\n"
        }
        (_, ["DATA", ..]) if model.consents() => {
            model.mode = Mode::Message;
            "354 go\r\n"
        }
        (_, ["AUTH", ..]) => return question(model, "535 no\r\n"),
        (_, ["RCPT", ..]) if model.consents() => {
            model.recipient = true;
            "250 ok\r\n"
        }
        (_, ["RCPT", ..]) => "550 no\r\n",
        (_, ["MAIL" | "RSET" | "VRFY", ..]) => "250 ok\r\n",
        (_, ["BDAT" | "DATA" | "QUIT", ..]) => "503 no\r\n",
        _ => return question(model, "500 no\r\n"),
    };
    answer.to_owned()
}

/// Asks for a line that is no command, or does not.
fn question(model: &mut Model, otherwise: &str) -> String {
    if !model.consents() {
        return otherwise.to_owned();
    }
    model.mode = Mode::Credential(String::new());
    "334 \r\n".to_owned()
}

/// Where a message ends by anybody's reading.
fn end_of_data(input: &[u8]) -> Option<usize> {
    let is_end = |b: u8| matches!(b, b'\r' | b'\n');
    let dot = (0..input.len()).find(|at| {
        input[*at] == b'.'
            && at.checked_sub(1).is_none_or(|before| is_end(input[before]))
            && input.get(at + 1).is_some_and(|after| is_end(*after))
    })?;
    Some(dot + if input[dot + 1..].starts_with(b"\r\n") { 3 } else { 2 })
}
