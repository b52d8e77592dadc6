//! What is worth a word about a chain that was sent, and what to do about it.

use std::cmp::Reverse;

use super::{
    NameCheck, Presented, Reference, Role, Signer,
    way::{End, Sent, Way},
};
use crate::certs::{
    Code, Severity,
    date::DAY,
    x509::{Details, Parsed},
};

/// Something to say about what a server has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// What it is, if it has a code.
    pub code: Option<Code>,
    /// How bad it is for clients.
    pub severity: Severity,
    /// What is wrong, and what to do about it.
    pub text: String,
}

/// From here on a renewal is due, unless the certificate is made for less: then in the last third
/// of its life.
const SOON: i64 = 14 * DAY;

pub(super) fn remarks(
    sent: &Sent<'_>,
    details: &[Option<Details>],
    way: &Way,
    described: &[Presented],
    asked: &Reference,
    name: &NameCheck,
    total: usize,
) -> Vec<Remark> {
    let mut list = List(Vec::new());
    list.end(way, described, sent.knows_private);
    list.order(way, described, total);
    for certificate in described {
        let n = certificate.position;
        if let Some(parsed) = sent.certificates.get(n).and_then(Option::as_ref)
            && (way.path.contains(&n) || certificate.role == Role::Alternative)
        {
            list.validity(parsed, certificate, sent.now);
            if way.path.contains(&n) {
                list.strength(parsed, certificate);
            }
        }
    }
    if let Some(leaf) = sent.certificates.first().and_then(Option::as_ref) {
        let addresses = details.first().and_then(Option::as_ref).map(|d| d.addresses.len());
        list.name(leaf, addresses.unwrap_or_default(), asked, name);
    }
    list.0.sort_by_key(|remark| Reverse(remark.severity));
    list.0
}

struct List(Vec<Remark>);

impl List {
    fn say(&mut self, severity: Severity, code: impl Into<Option<Code>>, text: String) {
        self.0.push(Remark { code: code.into(), severity, text });
    }

    fn end(&mut self, way: &Way, described: &[Presented], knows_private: bool) {
        let last = way.path.last().and_then(|&n| described.get(n)).map(called).unwrap_or_default();
        let (severity, code, text) = match &way.end {
            End::Trusted { .. } | End::Unreadable => return,
            End::Private { root, sent, url } => {
                let known = if knows_private {
                    "the trust store, nor in --trust"
                } else {
                    "the trust store"
                };
                let mut text = format!(
                    "the chain ends in {root}, which is not in {known}: a private authority, as it seems. Clients that have its root accept the chain, the others do not"
                );
                if !knows_private {
                    text.push_str("; --trust FILE looks as one that has it");
                }
                if !sent && let Some(url) = url {
                    text.push_str(&format!(". If it is a public one, its certificate is missing in the chain; it can be had at {url}"));
                }
                (Severity::Warning, Code::PrivateAuthority, text)
            }
            End::SelfSigned => (
                Severity::Warning,
                Code::SelfSigned,
                format!(
                    "{last} is self-signed: only clients that were given this very certificate accept it"
                ),
            ),
            End::Missing { issuer, url, certain } => {
                let place = url.as_ref().map_or_else(
                    || "who issued the certificate has it".to_owned(),
                    |url| format!("it can be had at {url}"),
                );
                let mut text = format!(
                    "the certificate of {issuer}, which issued {last}, was not sent: clients that do not have it by chance cannot verify the server. Add it to the server's chain; {place}"
                );
                if !certain {
                    text.push_str(". It need not be sent if it is a private root that clients have: --trust FILE looks as one of them");
                }
                let severity = if *certain { Severity::Error } else { Severity::Warning };
                (severity, Code::ChainIncomplete, text)
            }
            End::Broken { issuer, position } => {
                let place =
                    position.map_or_else(|| "in the trust store".to_owned(), |n| format!("#{n}"));
                (
                    Severity::Error,
                    Code::SignatureWrong,
                    format!(
                        "{last} bears a signature that the key of its issuer {issuer} ({place}) did not make: one of the two is damaged or from another time. Take both from the authority anew"
                    ),
                )
            }
        };
        self.say(severity, code, text);
    }

    fn order(&mut self, way: &Way, described: &[Presented], total: usize) {
        if !way.path.is_sorted() {
            let order: Vec<String> = way.path.iter().map(|n| format!("#{n}")).collect();
            let text = format!(
                "the chain is sent out of order; right is {}, each one's issuer behind it (RFC 5246 §7.4.2). Some clients cannot put it right",
                order.join(" ")
            );
            self.say(Severity::Warning, None, text);
        }
        if total > described.len() {
            let text = format!(
                "{total} certificates were sent; only the first {} were looked at",
                described.len()
            );
            self.say(Severity::Warning, None, text);
        }
        for certificate in described {
            let it = called(certificate);
            match certificate.role {
                Role::Unreadable => self.say(
                    Severity::Error,
                    Code::Damaged,
                    format!("#{} cannot be read as a certificate, and clients end the handshake: take it from the authority anew", certificate.position),
                ),
                Role::Duplicate { of } => self.say(
                    Severity::Warning,
                    None,
                    format!("{it} is sent twice, first as #{of}: take it out of the server's chain once"),
                ),
                Role::Unrelated => self.say(
                    Severity::Warning,
                    None,
                    format!("{it} does not belong to the chain: it has signed nothing in it. Take it out of the server's chain"),
                ),
                Role::Root => self.say(
                    Severity::Note,
                    None,
                    format!("{it} is the root, which need not be sent: clients have it, or do not trust it (RFC 8446 §4.4.2)"),
                ),
                Role::Alternative => self.say(
                    Severity::Note,
                    None,
                    format!("{it} is another way on, for clients that trust its issuer {} instead", certificate.issuer),
                ),
                Role::Leaf | Role::Intermediate => {}
            }
            if certificate.signer == (Signer::Wrong)
                && matches!(certificate.role, Role::Alternative)
            {
                self.say(
                    Severity::Warning,
                    Code::SignatureWrong,
                    format!("{it} bears a wrong signature"),
                );
            }
        }
    }

    fn validity(&mut self, certificate: &Parsed, described: &Presented, now: i64) {
        let it = called(described);
        let is_needed = described.role != Role::Alternative;
        let worst = if is_needed { Severity::Error } else { Severity::Warning };
        let left = certificate.not_after.saturating_sub(now);
        let life = certificate.not_after.saturating_sub(certificate.not_before);
        if left < 0 {
            let mut text =
                format!("{it} has expired on {}, {} ago", described.not_after, days(-left / DAY));
            text.push_str(if is_needed {
                ": renew it"
            } else {
                ": the chain does without it, but some clients stop there"
            });
            self.say(worst, Code::Expired, text);
        } else if certificate.not_before > now {
            let text =
                format!("{it} is not valid before {}: is a clock wrong?", described.not_before);
            self.say(worst, Code::NotYetValid, text);
        } else if is_needed && left < SOON.min(life / 3) {
            let text = format!(
                "{it} expires on {}, in {}: renew it",
                described.not_after,
                days(left / DAY)
            );
            self.say(Severity::Warning, Code::ExpiresSoon, text);
        }
    }

    fn strength(&mut self, certificate: &Parsed, described: &Presented) {
        let it = called(described);
        if let Some(bits) = certificate.key.rsa_bits().filter(|bits| *bits < 2048) {
            let text = format!(
                "{it} has an RSA key of {bits} bits, which clients of today refuse: 2048 is the least (RFC 9325 §4.5)"
            );
            self.say(Severity::Error, Code::WeakKey, text);
        }
        if certificate.has_weak_hash && described.signer != Signer::Itself {
            let text = format!(
                "{it} is signed with {}, over MD5 or SHA-1, which clients of today refuse (RFC 9155 §2)",
                described.signature
            );
            self.say(Severity::Error, Code::Sha1, text);
        }
    }

    fn name(&mut self, leaf: &Parsed, addresses: usize, asked: &Reference, name: &NameCheck) {
        if !leaf.has_san {
            let text = "the certificate has no subject alternative name; clients of today do not look at the common name (RFC 9525 §2)";
            self.say(Severity::Error, Code::NoSan, text.to_owned());
        }
        if name.covered_by.is_some() || !leaf.has_san {
            return;
        }
        let names = some(&leaf.names);
        let (severity, text) = match asked {
            Reference::Name(asked) => (
                Severity::Error,
                format!(
                    "the certificate is for {names}, and not for {asked}: clients that look for that name refuse it"
                ),
            ),
            // Who asks by address has mostly just no name at hand.
            Reference::Address(asked) if addresses == 0 => (
                Severity::Warning,
                format!(
                    "the certificate is for {names}, and for no address: clients that look for {asked} refuse it. --sni NAME looks for a name"
                ),
            ),
            Reference::Address(asked) => (
                Severity::Error,
                format!(
                    "the certificate is for {names} and {addresses} addresses, and not for {asked}: clients that look for that refuse it"
                ),
            ),
        };
        self.say(severity, Code::NameNotCovered, text);
    }
}

fn called(certificate: &Presented) -> String {
    format!("#{} {}", certificate.position, certificate.subject)
}

fn days(number: i64) -> String {
    if number == 1 { "1 day".to_owned() } else { format!("{number} days") }
}

/// A few of these names.
fn some(names: &[String]) -> String {
    const FEW: usize = 5;
    match names {
        [] => "no name".to_owned(),
        names if names.len() <= FEW => names.join(", "),
        names => format!("{}, and {} more", names[..FEW].join(", "), names.len() - FEW),
    }
}
