//! What servers have been seen to know of a client: the README's table says the same, word for word.

use std::collections::BTreeSet;

/// A server, and how it is told.
///
/// A row that no test observes is never constructed, which the compiler does not let pass.
#[derive(Clone, Copy)]
pub(crate) enum Row {
    Courier,
    Cyrus,
    CyrusPop3,
    DovecotProxyV1,
    DovecotProxyV2,
    DovecotImapId,
    DovecotXclient,
    Exim,
    OpenSmtpd,
    PostfixProxyV1,
    PostfixProxyV2,
    PostfixXclient,
}

/// The rows' first two columns, in the order of the rows.
const NAMES: [(&str, &str); 12] = [
    ("Courier (IMAP, POP3)", "none"),
    ("Cyrus (IMAP)", "imap-id"),
    ("Cyrus (POP3, ManageSieve)", "none"),
    ("Dovecot (IMAP, POP3, ManageSieve)", "proxy-v1"),
    ("Dovecot (IMAP, POP3, ManageSieve)", "proxy-v2"),
    ("Dovecot (IMAP)", "imap-id"),
    ("Dovecot (POP3, ManageSieve, submission)", "xclient"),
    ("Exim", "proxy-v2"),
    ("OpenSMTPD", "proxy-v2"),
    ("Postfix", "proxy-v1"),
    ("Postfix", "proxy-v2"),
    ("Postfix", "xclient"),
];

const README: &str = include_str!("../../README.md");

/// The client's address, TLS, and a name: what was seen of each, in the words of the table.
pub(crate) fn in_the_readme(row: Row, address: &str, tls: &str, name: &str) {
    let (server, identity) = NAMES[row as usize];
    let line = format!("| {server} | {identity} | {address} | {tls} | {name} |");
    assert!(README.lines().any(|l| l == line), "this was seen, and is not in the README:\n{line}");
}

/// For what a log says or does not.
pub(crate) fn yes(seen: bool) -> &'static str {
    if seen { "yes" } else { "no" }
}

#[test]
fn nothing_is_in_the_table_that_nobody_has_seen() {
    let table = README.split("| server | `identity` |").nth(1).expect("the table is there");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let said: Vec<(&str, &str)> = rows
        .map(|line| {
            let mut cells = line.split(" | ");
            let server = cells.next().expect("a cell").trim_start_matches("| ");
            (server, cells.next().expect("two cells"))
        })
        .collect();
    let unique: BTreeSet<_> = said.iter().collect();
    assert_eq!(unique, NAMES.iter().collect(), "{said:?}");
    assert_eq!(said.len(), NAMES.len(), "{said:?}");
}
