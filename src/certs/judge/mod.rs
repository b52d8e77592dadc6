//! Judges the certificates that some server has sent, as its clients would.

mod reference;
mod remarks;
mod way;

use rustls::pki_types::CertificateDer;
use serde::Serialize;

pub use reference::Reference;
pub use remarks::Remark;
pub use way::End;

use super::{
    Anchors,
    date::{DAY, date},
    x509::{Details, Parsed, Signature},
};
use way::{Sent, Way};

/// No chain comes near it; who sends more does not make us verify thousands of signatures.
const MOST: usize = 32;

/// What is to be thought of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// What was sent, in the order in which it was sent.
    pub certificates: Vec<Presented>,
    /// The chain: positions among what was sent, from the leaf on and without the root.
    pub path: Vec<usize>,
    /// Where it ends.
    pub end: End,
    /// Whether it is for the one who was asked for.
    pub name: NameCheck,
    /// What is worth a word, the worst first.
    #[serde(skip)]
    pub remarks: Vec<Remark>,
}

/// One certificate of those that were sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Presented {
    /// Its place, from 0.
    pub position: usize,
    /// Its part in the chain.
    pub role: Role,
    /// Whom it is about. Empty where it cannot be read, as all that follows.
    pub subject: String,
    /// Who vouches for that.
    pub issuer: String,
    /// Its DNS names and addresses.
    pub names: Vec<String>,
    /// `RSA 2048`, `ECDSA P-256`, …
    pub key: String,
    /// The signature's algorithm, as RFCs call it.
    pub signature: String,
    /// Who made the signature.
    pub signer: Signer,
    /// The first day on which it is valid, in UTC.
    pub not_before: String,
    /// The last one.
    pub not_after: String,
    /// Whole days from now to its end; negative: it has expired.
    pub days_left: i64,
}

/// A certificate's part in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Role {
    /// Not needed here: another way on from a certificate of the chain, such as a cross-signed one.
    Alternative,
    /// Sent before.
    Duplicate {
        /// Where.
        of: usize,
    },
    /// On the way to the root.
    Intermediate,
    /// The server's own.
    Leaf,
    /// The authority that the chain ends in: clients have it or do not trust it.
    Root,
    /// It has signed nothing here.
    Unrelated,
    /// It cannot be read.
    Unreadable,
}

/// Who has signed a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Signer {
    /// Its own key: it is self-signed.
    Itself,
    /// Another one that was sent.
    Sent {
        /// Its place.
        position: usize,
        /// Not so: its algorithm is not known here, and names and key ids agree.
        verified: bool,
    },
    /// An authority that is trusted here.
    Trusted,
    /// Somebody who was not sent.
    Unknown,
    /// Not the one who should have.
    Wrong,
}

/// Whether a certificate is for the one who was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NameCheck {
    /// The name or address.
    pub asked: String,
    /// The name or wildcard that covers it.
    pub covered_by: Option<String>,
}

/// Judges a chain: is it whole, in order, valid `now` (seconds since 1970), for this name, and
/// does it end where clients trust?
///
/// `knows_private`: `anchors` has the private authorities, too, that are meant.
#[must_use]
pub fn judge(
    presented: &[CertificateDer<'static>],
    asked: &Reference,
    now: i64,
    anchors: &Anchors,
    knows_private: bool,
) -> Judgement {
    let most = &presented[..presented.len().min(MOST)];
    let certificates: Vec<Option<Parsed>> = most.iter().map(|der| Parsed::new(der).ok()).collect();
    let sent = Sent { certificates: &certificates, anchors, now, knows_private };
    let way = sent.way();
    let details: Vec<Option<Details>> =
        certificates.iter().map(|c| c.as_ref()?.details().ok()).collect();
    let described: Vec<Presented> =
        (0..most.len()).map(|n| describe(n, &sent, &details, &way)).collect();
    let covered_by = certificates.first().and_then(Option::as_ref).and_then(|leaf| {
        // RFC 9525 §2: the common name is for people.
        let names = if leaf.has_san { leaf.names.as_slice() } else { &[] };
        let addresses = details.first()?.as_ref()?.addresses.as_slice();
        asked.found_in(names, addresses)
    });
    let name = NameCheck { asked: asked.to_string(), covered_by };
    let remarks =
        remarks::remarks(&sent, &details, &way, &described, asked, &name, presented.len());
    Judgement { certificates: described, path: way.path, end: way.end, name, remarks }
}

/// The public key in a certificate, as those need it who verify a handshake by it.
#[derive(Debug)]
pub struct PublicKey {
    /// SubjectPublicKeyInfo as DER.
    pub spki: Vec<u8>,
    /// What is in its BIT STRING.
    pub octets: Vec<u8>,
    /// Of an RSA key: its length.
    pub rsa_bits: Option<usize>,
}

/// The public key in this certificate; the error says why there is none.
pub fn public_key(certificate: &CertificateDer<'_>) -> Result<PublicKey, String> {
    let parsed = Parsed::new(&certificate.clone().into_owned())?;
    let octets = parsed.details()?.key_octets;
    let rsa_bits = parsed.key.rsa_bits();
    Ok(PublicKey { spki: parsed.spki, octets, rsa_bits })
}

fn describe(n: usize, sent: &Sent<'_>, details: &[Option<Details>], way: &Way) -> Presented {
    let certificate = sent.certificates.get(n).and_then(Option::as_ref);
    let (Some(certificate), Some(details)) = (certificate, details.get(n).and_then(Option::as_ref))
    else {
        return Presented {
            position: n,
            role: Role::Unreadable,
            subject: String::new(),
            issuer: String::new(),
            names: Vec::new(),
            key: String::new(),
            signature: String::new(),
            signer: Signer::Unknown,
            not_before: String::new(),
            not_after: String::new(),
            days_left: 0,
        };
    };
    let addresses = details.addresses.iter().map(ToString::to_string);
    Presented {
        position: n,
        role: role(n, certificate, sent, way),
        subject: certificate.subject.1.clone(),
        issuer: certificate.issuer.1.clone(),
        names: certificate.names.iter().cloned().chain(addresses).collect(),
        key: certificate.key.to_string(),
        signature: details.signature.clone(),
        signer: signer(n, certificate, sent),
        not_before: date(certificate.not_before),
        not_after: date(certificate.not_after),
        days_left: (certificate.not_after.saturating_sub(sent.now)).div_euclid(DAY),
    }
}

fn role(n: usize, certificate: &Parsed, sent: &Sent<'_>, way: &Way) -> Role {
    let is_same = |other: &Option<Parsed>| other.as_ref().is_some_and(|o| o.der == certificate.der);
    if let Some(of) = sent.certificates.iter().take(n).position(is_same) {
        return Role::Duplicate { of };
    }
    match n {
        0 => Role::Leaf,
        _ if way.path.contains(&n) => Role::Intermediate,
        _ if !way.reached.contains(&n) => Role::Unrelated,
        _ if certificate.is_self_signed() => Role::Root,
        _ => Role::Alternative,
    }
}

fn signer(n: usize, certificate: &Parsed, sent: &Sent<'_>) -> Signer {
    if certificate.is_self_signed() {
        return match certificate.signature_by(certificate) {
            Signature::Wrong => Signer::Wrong,
            _ => Signer::Itself,
        };
    }
    let mut is_wrong = sent.anchors.has_named_issuer_of(certificate);
    for (position, issuer) in sent.certificates.iter().enumerate().filter(|(i, _)| *i != n) {
        let Some(issuer) = issuer.as_ref().filter(|i| i.is_named_issuer_of(certificate)) else {
            continue;
        };
        match certificate.signature_by(issuer) {
            Signature::Wrong => is_wrong = true,
            signature => {
                return Signer::Sent { position, verified: signature == Signature::Right };
            }
        }
    }
    match is_wrong {
        _ if sent.anchors.has_signed(certificate) => Signer::Trusted,
        true => Signer::Wrong,
        false => Signer::Unknown,
    }
}

#[cfg(test)]
mod tests;
