//! The records of a mail domain: where mail programs find it, and that mail servers use TLS with it.

use super::{
    served::{Door, Served},
    zone::{Line, Record, quoted},
};
use crate::{certs::tlsa, protocol::Protocol};

/// RFC 6186 §3, RFC 8314 §5.1, RFC 5804 §1.8; implicit TLS comes first, as RFC 8314 §3 wants it.
const SERVICES: [(&str, Protocol, bool); 7] = [
    ("_submissions", Protocol::Submission, true),
    ("_submission", Protocol::Submission, false),
    ("_imaps", Protocol::Imap, true),
    ("_imap", Protocol::Imap, false),
    ("_pop3s", Protocol::Pop3, true),
    ("_pop3", Protocol::Pop3, false),
    ("_sieve", Protocol::Sieve, false),
];

/// A week: RFC 8461 §3.2 has no default, and asks for weeks or more once all is well.
const MAX_AGE: u32 = 604_800;

/// The records of this domain, of which we serve these hosts.
pub(super) fn lines(served: &Served<'_>, domain: &str, hosts: &[&str], lines: &mut Vec<Line>) {
    let own = served.hostname.as_str();
    let host = match hosts {
        _ if hosts.contains(&own) => own,
        [host] => host,
        [] if served.hosts.contains(own) => own,
        [] => {
            lines.push(Line::note(
                "no host for its mail is known: no certificate covers `hostname`",
            ));
            return;
        }
        several => {
            let text = format!(
                "which of {} is the host for its mail is not known; in place of HOST:",
                several.join(", ")
            );
            lines.push(Line::note(text));
            "HOST"
        }
    };
    services(served, domain, host, lines);
    strict_transport(served, domain, host, lines);
}

fn services(served: &Served<'_>, domain: &str, host: &str, lines: &mut Vec<Line>) {
    for (service, protocol, is_implicit) in SERVICES {
        let owner = format!("{service}._tcp.{domain}.");
        let is_it = |door: &&Door| (door.protocol, door.is_implicit) == (protocol, is_implicit);
        let mut ports: Vec<u16> = served.doors.iter().filter(is_it).map(|d| d.port).collect();
        let row = protocol.row();
        // The standard port, where it is one of several.
        ports.sort_by_key(|port| *port != row.port && !row.implicit_ports.contains(port));
        let Some(port) = ports.first() else {
            let note = "not served here; if nobody else serves it either (RFC 6186 §3.4)";
            lines.push(Line::Template(Record::new(owner, "SRV", "0 0 0 .", note)));
            continue;
        };
        let priority = if is_implicit { 0 } else { 10 };
        let record =
            |target: &str| Record::new(owner, "SRV", format!("{priority} 1 {port} {target}"), "");
        lines.push(match host {
            "HOST" => Line::Template(record("HOST.")),
            host => Line::Record(record(&format!("{host}."))),
        });
    }
}

/// MTA-STS (RFC 8461), and reports about it (RFC 8460).
fn strict_transport(served: &Served<'_>, domain: &str, host: &str, lines: &mut Vec<Line>) {
    if !served.doors.iter().any(|door| door.protocol == Protocol::Smtp) {
        return;
    }
    let policy =
        ["version: STSv1", "mode: testing", &format!("mx: {host}"), &format!("max_age: {MAX_AGE}")]
            .map(str::to_owned);
    let policy_host = format!("mta-sts.{domain}");
    let covered = if served.certificates(&policy_host).is_empty() {
        format!("no certificate here covers {policy_host}")
    } else {
        format!("a certificate here covers {policy_host}")
    };
    lines.push(Line::note(format!(
        "MTA-STS: this text is wanted at https://{policy_host}/.well-known/mta-sts.txt; {covered}"
    )));
    lines.extend(policy.iter().map(|line| Line::note(format!("    {line}"))));
    lines.push(Line::note(format!(
        "    mx has to be what MX records of {domain} say; once reports are fine, mode: enforce"
    )));
    // The same policy has the same id, and another one another: RFC 8461 §3.1.
    let id = tlsa::fingerprint(policy.join("\r\n").as_bytes());
    let data = quoted(&format!("v=STSv1; id={}", &id[..16]));
    let owner = format!("_mta-sts.{domain}.");
    let record = Record::new(owner, "TXT", data, "a new id with each change of the text");
    lines.push(match host {
        "HOST" => Line::Template(record),
        _ => Line::Record(record),
    });
    let owner = format!("_smtp._tls.{domain}.");
    let data = quoted("v=TLSRPTv1; rua=mailto:ADDRESS");
    let note = "ADDRESS gets the reports (RFC 8460)";
    lines.push(Line::Template(Record::new(owner, "TXT", data, note)));
}
