//! What a careful admin would want to know of a certificate before clients see it.

use std::{
    collections::HashMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{
    Code, Finding,
    chain::{Chain, End},
    date::{DAY, date},
    files::File,
    x509::{Parsed, SHORTEST_RSA},
};

/// So many days before its end, a certificate should have been renewed.
const SOON: i64 = 14 * DAY;

/// All that is to be said of a certificate with this key file and this chain.
pub(super) fn lint(
    (file, leaf): (&File, &Parsed),
    key: &File,
    chain: &Chain,
    reach: &Reach,
    now: i64,
) -> Vec<Finding> {
    let at = |code, text: String| Finding::new(code, &*file.path, text);
    let mut findings = Vec::new();
    findings.extend(end(leaf, chain).map(|(code, text)| at(code, text)));
    findings.extend(validity(leaf, now).map(|(code, text)| at(code, text)));
    for issuer in chain.issuers.iter().filter(|c| !c.is_valid_at(now)) {
        let text = format!(
            "{}, which is sent behind it, was valid until {}: clients will refuse it",
            issuer.subject.1,
            date(issuer.not_after)
        );
        findings.push(at(Code::Expired, text));
    }
    if key.is_exposed && reach.has(&key.path) {
        let text =
            format!("everybody on this machine can read the key: chmod 640 {}", key.path.display());
        findings.push(Finding::new(Code::KeyExposed, &*key.path, text));
    }
    let sent = || std::iter::once(leaf).chain(chain.issuers.iter().map(AsRef::as_ref));
    for certificate in sent() {
        if let Some(bits) = certificate.key.rsa_bits().filter(|bits| *bits < SHORTEST_RSA) {
            let name = &certificate.subject.1;
            let text =
                format!("the RSA key of {name} has {bits} bits, and clients want {SHORTEST_RSA}");
            findings.push(at(Code::WeakKey, text));
        }
    }
    for certificate in sent().filter(|c| c.has_weak_hash && chain.end != End::SelfSigned) {
        let text =
            format!("{} is signed with SHA-1 or MD5, which clients refuse", certificate.subject.1);
        findings.push(at(Code::Sha1, text));
    }
    if !leaf.has_san {
        let text = "it has no subject alternative name, and today's clients read nothing else (RFC 9525 §6.3)";
        findings.push(at(Code::NoSan, text.to_owned()));
    }
    for name in &leaf.others {
        findings.push(at(Code::NameUnusable, unusable(name)));
    }
    findings
}

fn end(leaf: &Parsed, chain: &Chain) -> Option<(Code, String)> {
    let last = chain.last(leaf);
    Some(match chain.end {
        End::Trusted => return None,
        End::SelfSigned => (
            Code::SelfSigned,
            "it is self-signed: clients accept it only if they have been told to".to_owned(),
        ),
        End::Private => (
            Code::PrivateAuthority,
            "it ends at a private authority: clients accept it if they have been given its root"
                .to_owned(),
        ),
        End::Unknown => (
            Code::PrivateAuthority,
            format!(
                "it ends at {}, which is not in this machine's trust store: a private authority, as it seems",
                last.issuer.1
            ),
        ),
        End::Missing => (Code::ChainIncomplete, incomplete(leaf, last)),
    })
}

fn incomplete(leaf: &Parsed, last: &Parsed) -> String {
    let is_leaf = last.der == leaf.der;
    let of = if is_leaf {
        format!("of {}", leaf.label())
    } else {
        format!("of {}, in the chain of {}", last.subject.1, leaf.label())
    };
    let issuer = &last.issuer.1;
    match &last.ca_issuers {
        // Public authorities say where their certificates are; private ones may issue with their root.
        None if is_leaf => format!(
            "the issuer {of}, {issuer}, is not at hand. If it is an intermediate, clients fail without it: put its certificate beside this one, or into `intermediates`. If it is the root of a private authority, which clients have been given, nothing is wrong: put it there as well, and this is not said again"
        ),
        url => {
            let whence =
                url.as_ref().map_or(String::new(), |url| format!(", it can be had from {url}"));
            format!(
                "the chain is not complete: the issuer {of}, {issuer}, is not at hand{whence}; put it beside the certificate, or into `intermediates`"
            )
        }
    }
}

/// What time alone makes wrong.
pub(super) fn validity(leaf: &Parsed, now: i64) -> Option<(Code, String)> {
    let (from, to) = (leaf.not_before, leaf.not_after);
    // A certificate for six days is renewed when two of them are left.
    let soon = SOON.min((to - from) / 3);
    if now < from {
        return Some((Code::NotYetValid, format!("it is not valid before {}", date(from))));
    }
    if now > to {
        let text = format!("it has expired on {}, and clients will refuse it: renew it", date(to));
        return Some((Code::Expired, text));
    }
    (to - now < soon).then(|| {
        let days = (to - now) / DAY;
        (Code::ExpiresSoon, format!("it expires in {days} days, on {}: renew it", date(to)))
    })
}

fn unusable(name: &str) -> String {
    let why = match name.strip_prefix("DNS:") {
        None if name.starts_with("IP:") => {
            "clients do not ask for addresses by SNI: certificate_by_address binds it to one"
        }
        None => "which no client asks for",
        Some(dns) if !dns.is_ascii() => {
            "which is not ASCII: in certificates, such names are written as xn--… (RFC 5890)"
        }
        Some(dns) if dns.len() > 253 => "which is longer than a name can be (RFC 1035 §2.3.4)",
        Some(_) => "which is no host name, nor a wildcard for one label (RFC 9525 §6.3)",
    };
    let shown: String = name.chars().take(80).collect();
    format!("it is for {shown}, {why}")
}

/// Whether others can come to a folder. Ten thousand keys lie below the same few.
#[derive(Debug, Default)]
pub(super) struct Reach(Mutex<HashMap<PathBuf, bool>>);

impl Reach {
    /// Whether nothing above a file keeps others from it.
    fn has(&self, file: &Path) -> bool {
        let folder = fs::canonicalize(file).ok().and_then(|real| Some(real.parent()?.to_owned()));
        folder.is_none_or(|folder| self.of(&folder))
    }

    fn of(&self, folder: &Path) -> bool {
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reach) = known().get(folder) {
            return *reach;
        }
        let is_open = fs::metadata(folder).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0);
        let reach = is_open && folder.parent().is_none_or(|above| self.of(above));
        known().insert(folder.to_owned(), reach);
        reach
    }
}
