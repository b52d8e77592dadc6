//! What it costs to read an SMTP session along: its commands, and the octets of its messages.
//!
//! `cargo bench --bench dialogue`
#![expect(clippy::expect_used, reason = "without its surroundings there is nothing to measure")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vestibule::{
    protocol::{
        Filter, Offer, Out, Side, Verdict,
        smtp::{self, Found, Scanner},
    },
    values::BareNewline,
};

/// What the relay reads at once.
const BLOCK: usize = 16 << 10;
const MESSAGE: usize = 16 << 20;

criterion_group!(benches, scanner, commands);
criterion_main!(benches);

/// The scanner for the end of data, over what mail is made of.
fn scanner(criterion: &mut Criterion) {
    let base64 = "TG9yZW0gaXBzdW0gZG9sb3Igc2l0IGFtZXQsIGNvbnNlY3RldHVyIGFkaXBpc2NpbmcgZWxpdCwg\r\n";
    let text =
        "A line of text, as people write it. It has a sentence or two. And 3.14 of them.\r\n";
    let dots = "..............................................................................\r\n";
    let mut group = criterion.benchmark_group("scanner");
    group.throughput(Throughput::Bytes(MESSAGE as u64));
    for (what, line) in [("base64", base64), ("text", text), ("nothing but dots", dots)] {
        let message = line.repeat(MESSAGE / line.len() + 1);
        for (name, policy) in
            [("strict-eod", BareNewline::StrictEod), ("reject", BareNewline::Reject)]
        {
            group.bench_function(format!("{what}, {name}"), |b| {
                b.iter(|| scan(policy, &message.as_bytes()[..MESSAGE]));
            });
        }
    }
    group.finish();
}

/// As the relay does it: block by block, what is held back before the next one.
fn scan(policy: BareNewline, message: &[u8]) -> usize {
    let mut scanner = Scanner::new(policy);
    let mut at = 0;
    while at < message.len() {
        let block = &message[at..message.len().min(at + BLOCK)];
        match scanner.scan(black_box(block)) {
            Found::More(taken) if taken > 0 => at += taken,
            _ => break,
        }
    }
    at
}

/// A message's commands, pipelined as most servers send them, through the filter and back.
fn commands(criterion: &mut Criterion) {
    const SAID: [(Side, &str); 6] = [
        (Side::Client, "EHLO client.example.org\r\n"),
        (
            Side::Backend,
            "250-mx.example.org\r\n250-PIPELINING\r\n250-SIZE 10240000\r\n250 CHUNKING\r\n",
        ),
        (Side::Client, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"),
        (Side::Backend, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"),
        (Side::Client, "Subject: hello\r\n\r\nhello\r\n.\r\n"),
        (Side::Backend, "250 2.0.0 Ok: queued\r\n"),
    ];
    criterion.bench_function("commands of a message", |b| {
        b.iter(|| {
            let mut filter = smtp::Filter::new(Offer::TLS, BareNewline::StrictEod, &[]);
            for (side, octets) in SAID {
                read_along(&mut filter, side, octets.as_bytes());
            }
            filter
        });
    });
}

fn read_along(filter: &mut smtp::Filter, side: Side, mut octets: &[u8]) {
    let mut out = Out::default();
    while !octets.is_empty() {
        let (taken, verdict) = filter.push(side, black_box(octets), &mut out);
        assert!(taken > 0, "{verdict:?}: {}", std::str::from_utf8(octets).expect("text"));
        assert!(matches!(verdict, Verdict::Pass | Verdict::Replace), "{verdict:?}");
        octets = &octets[taken..];
    }
}
