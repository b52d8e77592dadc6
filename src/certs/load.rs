//! Files and folders → certificates that can be served.
//!
//! What lies together belongs together: the files of one folder are a group, keys are matched to
//! leafs by the public key, and chains are built from what is beside a leaf, then from the pool.

use std::{
    collections::{BTreeSet, HashSet},
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    SignatureAlgorithm,
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::PrivateKeyDer,
    sign::{CertifiedKey, SigningKey},
};

use super::{
    Code, Finding,
    chain::{self, Missing},
    now,
    pem::{self, Found},
    x509::Parsed,
};

/// How deep folders are searched.
const DEEPEST: usize = 8;

/// The kind of a key, as far as clients care. In the order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA or EdDSA: small and fast.
    Ecdsa,
    /// RSA: what old clients need.
    Rsa,
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ecdsa => "ecdsa",
            Self::Rsa => "rsa",
        })
    }
}

/// A certificate that can be served.
#[derive(Debug)]
pub struct Certificate {
    /// The names that it covers, in lower case.
    pub names: Vec<String>,
    /// The file that its leaf came from.
    pub file: PathBuf,
    /// The kind of its key.
    pub kind: KeyKind,
    /// From when to when it is valid, in seconds since 1970.
    pub valid: (i64, i64),
    /// Chain and key, as they are shown to clients.
    pub certified: Arc<CertifiedKey>,
    /// The file or folder whose business it is.
    place: PathBuf,
}

impl Certificate {
    /// The name that it goes by in logs.
    #[must_use]
    pub fn label(&self) -> &str {
        self.names.first().map_or("(no name)", String::as_str)
    }
}

/// All that was found in the configured files and folders.
#[derive(Debug, Default)]
pub struct Store {
    /// What can be served, in the order in which it was found.
    pub certificates: Vec<Arc<Certificate>>,
    /// What is wrong, the worst included.
    pub findings: Vec<Finding>,
}

/// Loads everything from `sources`, and completes chains from `intermediates`.
///
/// Where a place cannot be used as it is now, what `previous` had from there goes on being served:
/// a certificate and its key are two files, and we may look between the two writes.
#[must_use]
pub fn load(sources: &[PathBuf], intermediates: &[PathBuf], previous: Option<&Store>) -> Store {
    let mut findings = Vec::new();
    let groups = find(sources, &mut findings);
    let pool = find(intermediates, &mut findings);
    // A place that cannot be read now must not take its authorities from others.
    let is_unreadable = |place: &Path| groups.iter().any(|g| !g.is_readable && g.place == place);
    let remembered: Vec<Parsed> = previous
        .map_or(&[][..], |p| &p.certificates)
        .iter()
        .filter(|c| is_unreadable(&c.place))
        .flat_map(|c| c.certified.cert.iter().skip(1))
        .filter_map(|der| Parsed::new(der).ok())
        .collect();
    let found = pool.iter().chain(&groups).flat_map(|g| &g.certificates).map(|(_, c)| c);
    // Ten thousand leafs of one authority come with ten thousand copies of its certificate, and to
    // verify each leaf against each of them would take hours.
    let mut known = HashSet::new();
    let pool = found.chain(&remembered).filter(|c| c.is_ca && known.insert(c.der.as_ref()));
    let pool: Vec<&Parsed> = pool.collect();

    let mut store = Store { certificates: Vec::new(), findings };
    for group in &groups {
        let (fresh, mut findings) = group.certificates(&pool, &groups);
        let is_broken =
            !group.is_readable || findings.iter().any(|f| f.severity == super::Severity::Error);
        let old =
            previous.map_or(&[][..], |p| &p.certificates).iter().filter(|c| c.place == group.place);
        let mut certificates = Vec::new();
        for new in fresh {
            match old.clone().find(|old| new.is_step_back_from(old)) {
                None => certificates.push(new.certificate),
                Some(old) => {
                    let text = format!(
                        "the issuer {} is not at hand, so the certificate before it goes on being served",
                        new.missing_text()
                    );
                    store.findings.push(Finding::new(
                        Code::PreviousKept,
                        &new.certificate.file,
                        text,
                    ));
                    certificates.push(old.clone());
                }
            }
        }
        for old in old {
            let is_covered = |new: &Arc<Certificate>| {
                new.kind == old.kind && old.names.iter().all(|n| new.names.contains(n))
            };
            if certificates.iter().any(is_covered) {
                continue;
            }
            if is_broken && group.may_have(&old.file) {
                certificates.push(old.clone());
            } else if let Some(key) = group.lone_key_of(old) {
                let text = format!("the certificate for this key, {}, is gone", old.file.display());
                findings.push(Finding::new(Code::PreviousKept, key, text));
                certificates.push(old.clone());
            }
            // What was taken away with its key was taken away on purpose.
        }
        store.findings.extend(findings);
        store.certificates.extend(certificates);
    }
    for source in sources {
        let is_silent = store.certificates.iter().all(|c| !c.place.starts_with(source))
            && store.findings.iter().all(|f| !f.file.starts_with(source));
        if is_silent {
            let text = "no certificate with its key is found there";
            store.findings.push(Finding::new(Code::NothingThere, source, text));
        }
    }
    store
}

/// Files that belong together.
struct Group {
    place: PathBuf,
    certificates: Vec<Found<Parsed>>,
    keys: Vec<Found<Arc<dyn SigningKey>>>,
    /// Whose leafs are served; the other files only help.
    serves: Option<PathBuf>,
    is_readable: bool,
    /// What it was read from; `None`: the folder itself cannot be read.
    files: Option<Vec<PathBuf>>,
}

impl Group {
    /// Of which nothing can be read.
    fn unreadable(place: &Path) -> Self {
        let (certificates, keys) = (Vec::new(), Vec::new());
        Self {
            place: place.to_owned(),
            certificates,
            keys,
            serves: None,
            is_readable: false,
            files: None,
        }
    }

    /// Whether a file is there, as far as can be seen.
    fn may_have(&self, file: &Path) -> bool {
        self.files.as_ref().is_none_or(|files| files.iter().any(|f| f == file))
    }

    /// The file with this certificate's key, if no certificate goes with it any more.
    fn lone_key_of(&self, old: &Certificate) -> Option<&Path> {
        let public = old.certified.key.public_key()?;
        let (file, _) =
            self.keys.iter().find(|(_, key)| key.public_key().as_ref() == Some(&public))?;
        let is_lone = !self.certificates.iter().any(|(_, leaf)| leaf.spki == public.as_ref());
        is_lone.then_some(file)
    }

    fn read(
        place: &Path,
        files: &[PathBuf],
        serves: Option<PathBuf>,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let mut group = Self {
            place: place.to_owned(),
            certificates: Vec::new(),
            keys: Vec::new(),
            serves,
            is_readable: true,
            files: Some(files.to_vec()),
        };
        for file in files {
            // What is only there to help may be anything.
            let is_helper = group.serves.as_ref().is_some_and(|serves| serves != file);
            match group.add(file) {
                Err(finding) if !is_helper => {
                    group.is_readable = false;
                    findings.push(finding);
                }
                _ => {}
            }
        }
        group
    }

    fn add(&mut self, file: &Path) -> Result<(), Finding> {
        let Some(content) = pem::read(file)? else { return Ok(()) };
        for der in content.certificates {
            if !self.certificates.iter().any(|(_, c)| c.der == der) {
                let parsed =
                    Parsed::new(&der).map_err(|why| Finding::new(Code::Damaged, file, why))?;
                self.certificates.push((file.to_owned(), parsed));
            }
        }
        for der in content.keys {
            self.keys.push((file.to_owned(), key(file, &der)?));
        }
        Ok(())
    }

    /// The certificates that can be served, and what is wrong with the rest.
    fn certificates(&self, pool: &[&Parsed], all: &[Self]) -> (Vec<Fresh>, Vec<Finding>) {
        let beside: Vec<&Parsed> = self.certificates.iter().map(|(_, c)| c).collect();
        let (mut fresh, mut findings) = (Vec::new(), Vec::new());
        for (file, leaf) in &self.certificates {
            if self.serves.as_ref().is_some_and(|serves| serves != file) {
                continue;
            }
            // Beside it, then anywhere: some keep their keys in a folder of its own, and a key fits one
            // certificate alone.
            let mut keys = self.keys.iter().chain(all.iter().flat_map(|group| &group.keys));
            match keys.find(|(_, key)| is_pair(key.as_ref(), leaf)) {
                Some((_, key)) if !self.is_authority(leaf) => {
                    fresh.push(self.serve(file, leaf, key, &beside, pool, &mut findings));
                }
                Some(_) => {}
                // An authority beside its leafs needs no key; and why one is missing where a file
                // cannot be read has been said.
                None if leaf.is_ca || !self.is_readable => {}
                None => findings.push(self.no_key(file, leaf)),
            }
        }
        (fresh, findings)
    }

    /// An authority that has issued something here is not there to be served itself.
    fn is_authority(&self, certificate: &Parsed) -> bool {
        let has_issued = |(_, other): &Found<Parsed>| {
            certificate.is_named_issuer_of(other) && other.der != certificate.der
        };
        certificate.is_ca && self.certificates.iter().any(has_issued)
    }

    fn serve(
        &self,
        file: &Path,
        leaf: &Parsed,
        key: &Arc<dyn SigningKey>,
        beside: &[&Parsed],
        pool: &[&Parsed],
        findings: &mut Vec<Finding>,
    ) -> Fresh {
        let chain = chain::build(leaf, beside, pool);
        if let Some(missing) = &chain.missing {
            let whence = missing
                .url
                .as_ref()
                .map_or(String::new(), |url| format!(", it can be had from {url}"));
            let text = format!(
                "the chain is not complete: the issuer {} is not at hand{whence}; put it beside the certificate, or into `intermediates`",
                missing.issuer
            );
            findings.push(Finding::new(Code::ChainIncomplete, file, text));
        }
        if !leaf.has_san {
            findings.push(Finding::new(
                Code::NoSan,
                file,
                "it has no subject alternative name, which today's clients want (RFC 9525 §6.3)",
            ));
        }
        match (leaf.not_before, leaf.not_after, now()) {
            (from, _, now) if now < from => {
                findings.push(Finding::new(Code::NotYetValid, file, "it is not valid yet"));
            }
            (_, to, now) if now > to => {
                findings.push(Finding::new(
                    Code::Expired,
                    file,
                    "it has expired: clients will refuse it",
                ));
            }
            _ => {}
        }
        let certificate = Arc::new(Certificate {
            names: leaf.names.clone(),
            file: file.to_owned(),
            kind: if key.algorithm() == SignatureAlgorithm::RSA {
                KeyKind::Rsa
            } else {
                KeyKind::Ecdsa
            },
            valid: (leaf.not_before, leaf.not_after),
            certified: Arc::new(CertifiedKey::new(chain.certificates, key.clone())),
            place: self.place.clone(),
        });
        Fresh { certificate, missing: chain.missing }
    }

    fn no_key(&self, file: &Path, leaf: &Parsed) -> Finding {
        let name = leaf.names.first().map_or(leaf.subject.1.as_str(), String::as_str);
        let (code, text) = match self.keys.as_slice() {
            [] => (Code::NoKey, format!("there is no private key for {name} beside it")),
            [(key, _)] => (
                Code::KeyMismatch,
                format!("the key in {} does not match the certificate for {name}", key.display()),
            ),
            keys => (
                Code::KeyMismatch,
                format!(
                    "none of the {} keys beside it matches the certificate for {name}",
                    keys.len()
                ),
            ),
        };
        Finding::new(code, file, text)
    }
}

/// A certificate that has just been loaded.
struct Fresh {
    certificate: Arc<Certificate>,
    missing: Option<Missing>,
}

impl Fresh {
    /// Whether clients could still verify the old one, and cannot verify this one.
    fn is_step_back_from(&self, old: &Certificate) -> bool {
        self.missing.is_some()
            && old.certified.cert.len() > 1
            && old.kind == self.certificate.kind
            && old.valid.1 > now()
            && old.names.iter().any(|n| self.certificate.names.contains(n))
    }

    fn missing_text(&self) -> &str {
        self.missing.as_ref().map_or("", |m| m.issuer.as_str())
    }
}

/// All groups of files in these places. Each folder is one; so is each single file, with what lies
/// beside it as a help.
fn find(sources: &[PathBuf], findings: &mut Vec<Finding>) -> Vec<Group> {
    let mut groups = Vec::new();
    let mut seen = HashSet::new();
    for source in sources {
        match fs::metadata(source) {
            Ok(meta) if meta.is_dir() => folder(source, 0, &mut seen, &mut groups, findings),
            Ok(_) => {
                let folder = source.parent().unwrap_or(Path::new("."));
                let mut files = list(folder).map(|(files, _)| files).unwrap_or_default();
                files.retain(|f| f != source);
                files.insert(0, source.clone());
                groups.push(Group::read(source, &files, Some(source.clone()), findings));
            }
            Err(e) => {
                findings.push(Finding::new(
                    Code::Unreadable,
                    source,
                    format!("it cannot be read: {e}"),
                ));
                groups.push(Group::unreadable(source));
            }
        }
    }
    groups
}

fn folder(
    path: &Path,
    depth: usize,
    seen: &mut HashSet<PathBuf>,
    groups: &mut Vec<Group>,
    findings: &mut Vec<Finding>,
) {
    // Links may lead in circles, or twice to one place.
    let is_new = fs::canonicalize(path).is_ok_and(|real| seen.insert(real));
    if depth > DEEPEST || !is_new {
        return;
    }
    match list(path) {
        Ok((files, folders)) => {
            groups.push(Group::read(path, &files, None, findings));
            folders.iter().for_each(|f| folder(f, depth + 1, seen, groups, findings));
        }
        Err(e) => {
            findings.push(Finding::new(
                Code::Unreadable,
                path,
                format!("the folder cannot be read: {e}"),
            ));
            groups.push(Group::unreadable(path));
        }
    }
}

/// A folder's files and folders in order of name, without hidden ones.
fn list(path: &Path) -> std::io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut folders) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => folders.insert(path),
            // A link to nowhere is said to be unreadable when it is read.
            _ => files.insert(path),
        };
    }
    Ok((files.into_iter().collect(), folders.into_iter().collect()))
}

fn key(file: &Path, der: &PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Finding> {
    any_supported_type(der).map_err(|e| {
        Finding::new(Code::Damaged, file, format!("the private key cannot be used: {e}"))
    })
}

fn is_pair(key: &dyn SigningKey, leaf: &Parsed) -> bool {
    key.public_key().is_some_and(|spki| spki.as_ref() == leaf.spki)
}
