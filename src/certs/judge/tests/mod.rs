//! Every shape of chain that servers send.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::pki_types::CertificateDer;

use super::{End, Judgement, MOST, Reference, Role, Signer, judge};
use crate::certs::{Anchors, Code, Severity, x509::Parsed};

mod names;
mod shape;
mod time;
mod trust;

const NAME: &str = "mail.example.org";
/// 2026-06-01
const NOW: i64 = 1_780_272_000;

/// A certificate with its key, which may issue others.
struct Made {
    params: CertificateParams,
    key: KeyPair,
    der: CertificateDer<'static>,
}

fn ecdsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn params(name: &str, is_ca: bool) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2027, 1, 1);
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

fn root(name: &str) -> Made {
    let (params, key) = (params(name, true), ecdsa());
    let der = params.self_signed(&key).unwrap().der().clone();
    Made { params, key, der }
}

impl Made {
    fn sign(&self, params: CertificateParams, key: KeyPair) -> Made {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().clone();
        Made { params, key, der }
    }

    fn authority(&self, name: &str) -> Made {
        self.sign(params(name, true), ecdsa())
    }

    fn leaf(&self) -> Made {
        self.leaf_with(|_| {})
    }

    fn leaf_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Made {
        let mut leaf = params(NAME, false);
        leaf.subject_alt_names = vec![rcgen::SanType::DnsName(NAME.try_into().unwrap())];
        change(&mut leaf);
        self.sign(leaf, ecdsa())
    }
}

fn trusting(roots: &[&Made]) -> Anchors {
    let mut anchors = Anchors::default();
    for root in roots {
        anchors.add(&Parsed::new(&root.der).unwrap());
    }
    anchors
}

fn judged(sent: &[&Made], trusted: &[&Made]) -> Judgement {
    asked(sent, trusted, NAME)
}

fn asked(sent: &[&Made], trusted: &[&Made], name: &str) -> Judgement {
    let presented: Vec<_> = sent.iter().map(|made| made.der.clone()).collect();
    let name = Reference::new(name).unwrap();
    judge(&presented, &name, NOW, &trusting(trusted), false)
}

fn said(judgement: &Judgement) -> Vec<(Severity, Option<Code>)> {
    judgement.remarks.iter().map(|r| (r.severity, r.code)).collect()
}

fn roles(judgement: &Judgement) -> Vec<Role> {
    judgement.certificates.iter().map(|c| c.role).collect()
}

/// An authority information access with a CA-Issuers URL: RFC 5280 §4.2.2.1.
fn ca_issuers(url: &str) -> CustomExtension {
    let tlv = |tag: u8, value: &[u8]| [&[tag, u8::try_from(value.len()).unwrap()], value].concat();
    let method = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2];
    let description = tlv(0x30, &[&method, tlv(0x86, url.as_bytes()).as_slice()].concat());
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], tlv(0x30, &description))
}

const ERROR: Severity = Severity::Error;
const WARNING: Severity = Severity::Warning;
const NOTE: Severity = Severity::Note;
