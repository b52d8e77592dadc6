//! What DNS promises of our certificates: TLSA records (RFC 6698, RFC 7671, RFC 7672).
//!
//! A mail server that finds such records for us delivers to nobody who shows anything else. So what
//! has been published can be declared, and is compared with what is served.

mod next;
mod record;
mod zone;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::Path,
};

use rustls::pki_types::CertificateDer;

pub use next::{NextKey, next_key};
pub use record::{Record, Service};
pub use zone::{Zone, parse as parse_zone};

use record::Usage;

use super::{
    digest::{hex, sha256},
    x509::Parsed,
};

/// The largest zone file that is read: a hundred thousand records fit.
const LARGEST: u64 = 32 << 20;

/// Records that have been published.
///
/// Ten thousand certificates are held against ten thousand of them, so they are found by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// By the service that they are about; those of one host stand together.
    services: BTreeMap<Service, Vec<Record>>,
    /// The hosts that a wildcard for this domain covers.
    below: BTreeMap<String, BTreeSet<String>>,
}

impl Records {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The services that have records, and these.
    pub fn iter(&self) -> impl Iterator<Item = (&Service, &[Record])> {
        self.services.iter().map(|(service, records)| (service, records.as_slice()))
    }

    /// Why a certificate with these names must not be served with this chain, the leaf first: some
    /// service at one of the names has records, and none of them agrees with the chain. `None`:
    /// nothing speaks against it.
    ///
    /// Only records that clients can use count (RFC 7672 §3.1.3); of usage 0 we cannot know what
    /// the client trusts, so it speaks against nothing.
    #[must_use]
    pub fn uncovered(&self, names: &[String], chain: &[CertificateDer<'_>]) -> Option<String> {
        let hosts: BTreeSet<&str> = names.iter().flat_map(|name| self.hosts(name)).collect();
        let services = hosts.into_iter().flat_map(|host| self.of_host(host));
        let mut uncovered = services.filter(|(_, records)| is_contradicted(records, chain));
        let (service, records) = uncovered.next()?;
        let published: Vec<String> = records.iter().map(Record::content).collect();
        let needed = chain.first().and_then(key_of).map_or_else(String::new, |spki| {
            let record = Record::of_key(service.clone(), &spki);
            format!(
                "; publish \"{record}\" and wait for the TTL of the old ones before it is served"
            )
        });
        let others = match uncovered.count() {
            0 => String::new(),
            1 => ", nor does one at one more service".to_owned(),
            n => format!(", nor does one at {n} more services"),
        };
        Some(format!(
            "none of the TLSA records at {service} ({}) agrees with it{others}{needed}",
            published.join(", ")
        ))
    }

    /// The first service at one of these names that has records by leaf, and none for this
    /// SubjectPublicKeyInfo (DER). `None`: a leaf with this key may be served, as far as that can be
    /// known without the leaf.
    #[must_use]
    pub fn unknown_key(&self, names: &[String], spki: &[u8]) -> Option<&Service> {
        let hosts: BTreeSet<&str> = names.iter().flat_map(|name| self.hosts(name)).collect();
        let mut services = hosts.into_iter().flat_map(|host| self.of_host(host));
        let is_unknown = |records: &[Record]| {
            let mut usable = records.iter().filter(|record| record.is_usable()).peekable();
            usable.peek().is_some()
                && !usable.any(|record| record.usage != Usage::DaneEe || record.is_of_key(spki))
        };
        services.find(|(_, records)| is_unknown(records)).map(|(service, _)| service)
    }

    /// The hosts that a certificate's name covers: RFC 9525 §6.3.
    fn hosts<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        match name.strip_prefix("*.") {
            None => vec![name],
            Some(parent) => {
                self.below.get(parent).into_iter().flatten().map(String::as_str).collect()
            }
        }
    }

    fn of_host(&self, host: &str) -> impl Iterator<Item = (&Service, &Vec<Record>)> {
        let service = |port| Service { host: host.to_owned(), port };
        self.services.range(service(0)..=service(u16::MAX))
    }
}

/// Whether clients that go by these records would turn away from this chain.
#[must_use]
pub fn is_contradicted(records: &[Record], chain: &[CertificateDer<'_>]) -> bool {
    let mut usable = records.iter().filter(|record| record.is_usable()).peekable();
    usable.peek().is_some()
        && !usable.any(|record| record.usage == Usage::PkixTa || record.matches(chain))
}

impl FromIterator<Record> for Records {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut all = Self::default();
        all.extend(records);
        all
    }
}

impl Extend<Record> for Records {
    fn extend<I: IntoIterator<Item = Record>>(&mut self, records: I) {
        for record in records {
            let host = &record.service.host;
            if let Some((_, parent)) = host.split_once('.') {
                self.below.entry(parent.to_owned()).or_default().insert(host.clone());
            }
            let known = self.services.entry(record.service.clone()).or_default();
            if !known.contains(&record) {
                known.push(record);
            }
        }
    }
}

/// The SubjectPublicKeyInfo (DER) of a certificate. `None`: it cannot be read.
#[must_use]
pub fn key_of(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    Some(Parsed::new(&certificate.clone().into_owned()).ok()?.spki)
}

/// SHA-256 of these octets, in hexadecimal.
#[must_use]
pub fn fingerprint(octets: &[u8]) -> String {
    hex(&sha256(octets))
}

/// Reads the TLSA records of a zone file. The error says why it cannot be read.
pub fn read_zone(path: &Path) -> Result<Zone, String> {
    let failed = |e: std::io::Error| format!("{}: it cannot be read: {e}", path.display());
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("{}: it is not a file", path.display()));
    }
    let (mut octets, file) = (Vec::new(), fs::File::open(path).map_err(failed)?);
    file.take(LARGEST + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() as u64 > LARGEST {
        return Err(format!("{}: it is longer than 32 MiB", path.display()));
    }
    let text = String::from_utf8(octets)
        .map_err(|_| format!("{}: it is not text in UTF-8", path.display()))?;
    Ok(parse_zone(&text))
}

#[cfg(test)]
mod tests;
