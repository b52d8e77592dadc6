//! From files on disk to the certificate that a client gets.
//!
//! Each test makes its own authorities, and says itself which of them are trusted.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_RSA_SHA256, RsaKeySize,
};
use rustls::{SignatureScheme, pki_types::CertificateDer};

use super::{
    Action, Anchors, Certificate, CertificateSet, Code, Finding, KeyKind, Policy, Reason, Severity,
    Sources, Store, Wish, Wishes, load::trusting, x509::Parsed,
};

mod any_octets;
mod bad_input;
mod chains;
mod choice;
mod cross_signed;
mod forms;
mod layouts;
mod lint;
mod retention;

/// A name and a key: an authority, or a leaf. Each signature makes another certificate of it.
struct Entity {
    params: CertificateParams,
    key: KeyPair,
}

fn ecdsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

fn rsa() -> KeyPair {
    KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap()
}

impl Entity {
    fn authority(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.use_authority_key_identifier_extension = true;
        Self { params, key: ecdsa() }
    }

    fn leaf(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        Self { params, key: ecdsa() }
    }

    fn with(mut self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        change(&mut self.params);
        self
    }

    /// Valid from this year to that one.
    fn valid(self, from: i32, to: i32) -> Self {
        self.with(|params| {
            (params.not_before, params.not_after) =
                (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
        })
    }

    /// Its certificate by this issuer, as PEM.
    fn by(&self, issuer: &Self) -> String {
        let issuer = Issuer::from_params(&issuer.params, &issuer.key);
        self.params.signed_by(&self.key, &issuer).unwrap().pem()
    }

    /// Its certificate by itself, as PEM.
    fn by_itself(&self) -> String {
        self.params.self_signed(&self.key).unwrap().pem()
    }

    fn key(&self) -> String {
        self.key.serialize_pem()
    }
}

/// A root and an intermediate, and what they issue.
struct Authority {
    root_pem: String,
    intermediate: Entity,
    issuer_pem: String,
}

/// A leaf's certificate and key, as PEM.
struct Leaf {
    cert: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        Self::named("")
    }

    fn named(name: &str) -> Self {
        let root = Entity::authority(&format!("Root{name}"));
        let intermediate = Entity::authority(&format!("CA 1{name}"));
        let (root_pem, issuer_pem) = (root.by_itself(), intermediate.by(&root));
        Self { root_pem, intermediate, issuer_pem }
    }

    fn leaf(&self, names: &[&str], key: KeyPair) -> Leaf {
        self.issue(&Entity { key, ..Entity::leaf(names) })
    }

    fn issue(&self, leaf: &Entity) -> Leaf {
        Leaf { cert: leaf.by(&self.intermediate), key: leaf.key() }
    }
}

/// A temporary folder.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vestibule-certs-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        // Whoever may not enter cannot read the keys in it either.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        Self(path)
    }

    /// With these files in it.
    fn of(files: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn link(&self, to: &str, name: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(to, path).unwrap();
    }

    fn sources(&self) -> Sources {
        Sources { certificates: vec![self.0.clone()], ..Sources::default() }
    }

    /// What is in it, where no authority is trusted.
    fn load(&self, previous: Option<&Store>) -> Store {
        load(&self.sources(), previous)
    }

    /// What is in it, where these authorities are trusted.
    fn load_trusting(&self, roots: &[&str]) -> Store {
        trusting(&anchors(roots), &self.sources(), None)
    }

    /// Runs a shell's command in the folder, and returns what it prints.
    fn sh(&self, command: &str) -> String {
        let output = Command::new("sh")
            .args(["-euc", command])
            .current_dir(&self.0)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What these sources hold, where no authority is trusted.
fn load(sources: &Sources, previous: Option<&Store>) -> Store {
    trusting(&Anchors::default(), sources, previous)
}

fn anchors(roots: &[&str]) -> Anchors {
    let mut anchors = Anchors::default();
    for der in ders(roots) {
        anchors.add(&Parsed::new(&CertificateDer::from(der)).unwrap());
    }
    anchors
}

fn errors(store: &Store) -> Vec<String> {
    said(store.findings.iter().filter(|f| f.severity == Severity::Error))
}

fn said<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Vec<String> {
    findings.into_iter().map(ToString::to_string).collect()
}

/// What is said about this, of whatever file.
fn texts(store: &Store, code: Code) -> Vec<&str> {
    store.findings.iter().filter(|f| f.code == code).map(|f| f.text.as_str()).collect()
}

/// The codes of all that is said, each as often as it is.
fn codes(store: &Store) -> Vec<String> {
    let mut codes: Vec<String> = store.findings.iter().map(|f| f.code.to_string()).collect();
    codes.sort();
    codes
}

fn ders(pem: &[&str]) -> Vec<Vec<u8>> {
    let certificates = |pem: &str| {
        rustls_pemfile::certs(&mut pem.as_bytes()).map(|c| c.unwrap().to_vec()).collect::<Vec<_>>()
    };
    pem.iter().flat_map(|pem| certificates(pem)).collect()
}

fn chain(certificate: &Certificate) -> Vec<Vec<u8>> {
    certificate.sent_chain().iter().map(|c| c.to_vec()).collect()
}

/// The chain of the only certificate.
fn only_chain(store: &Store) -> Vec<Vec<u8>> {
    assert_eq!(store.certificates.len(), 1, "{:?}", said(&store.findings));
    chain(&store.certificates[0])
}

fn labels(store: &Store) -> Vec<&str> {
    store.certificates.iter().map(|c| c.label()).collect()
}

fn set(store: &Store) -> CertificateSet {
    CertificateSet::new(store, &Wishes::default()).0
}

const ANYWHERE: &str = "192.0.2.1";

/// The certificate for a client that can verify everything.
fn chosen(set: &CertificateSet, sni: Option<&str>, local: &str) -> (Arc<Certificate>, Reason) {
    let choice = set.choose(sni, local.parse::<IpAddr>().unwrap());
    let all = [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::RSA_PSS_SHA256];
    (choice.certificate(&all).unwrap().clone(), choice.reason)
}
