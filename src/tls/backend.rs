//! TLS to backends: whom we believe, and what we show of ourselves.

use std::{
    cmp::Ordering,
    collections::HashMap,
    hash::{Hash, Hasher},
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InconsistentKeys, RootCertStore,
    SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};

use super::{
    client::{signed_tls12, signed_tls13},
    provider,
};
use crate::{
    certs::{self, Code, Finding},
    values::{BackendTls, BackendTlsMode, BackendTrust, Fingerprint, Target},
};

/// What the backends of a configuration are reached by, one for each rule. Never changes: a reload
/// makes new ones.
#[derive(Clone, Debug, Default)]
pub struct Upstreams(HashMap<BackendTls, Arc<Upstream>>);

impl Upstreams {
    /// Reads all that these rules name. Blocks. All or nothing.
    pub fn load<'a>(rules: impl IntoIterator<Item = &'a BackendTls>) -> Result<Self, Vec<Finding>> {
        let (mut upstreams, mut problems) = (Self::default(), Vec::new());
        for rule in rules {
            if upstreams.0.contains_key(rule) {
                continue;
            }
            match Upstream::new(rule) {
                Ok(upstream) => drop(upstreams.0.insert(rule.clone(), Arc::new(upstream))),
                Err(findings) => problems.extend(findings),
            }
        }
        problems.dedup();
        if problems.is_empty() { Ok(upstreams) } else { Err(problems) }
    }

    /// What this rule was made into.
    #[must_use]
    pub fn get(&self, rule: &BackendTls) -> Option<Arc<Upstream>> {
        self.0.get(rule).cloned()
    }
}

/// How we come to backends inside TLS. Two are the same if rule and files are.
#[derive(Debug)]
pub struct Upstream {
    rule: BackendTls,
    name: Option<ServerName<'static>>,
    /// Over everything that was read.
    digest: String,
    config: Arc<ClientConfig>,
    verifier: Arc<dyn ServerCertVerifier>,
}

impl Upstream {
    fn new(rule: &BackendTls) -> Result<Self, Vec<Finding>> {
        let name = rule.name.clone().map(ServerName::try_from).transpose();
        let name = name.map_err(|_| {
            let text = "tls_name: it is neither a name nor an address";
            vec![Finding::new(Code::NameUnusable, rule.name.clone().unwrap_or_default(), text)]
        })?;
        let mut read = Vec::new();
        let verifier = verifier(&rule.trust, &mut read)?;
        // RFC 9325 §3.1.1: nothing older than TLS 1.2.
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|e| vec![Finding::new(Code::Damaged, "tls", e.to_string())])?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let config = match &rule.own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let (chain, secret) = certs::own(certificate, key).map_err(|f| vec![f])?;
                chain.iter().for_each(|der| read.extend_from_slice(der));
                let fitted = builder.with_client_auth_cert(chain, secret);
                fitted.map_err(|error| vec![unfit(&error, certificate, key)])?
            }
        };
        let digest = certs::fingerprint(&read);
        Ok(Self { rule: rule.clone(), name, digest, config: Arc::new(config), verifier })
    }

    /// When TLS begins.
    #[must_use]
    pub fn mode(&self) -> BackendTlsMode {
        self.rule.mode
    }

    /// The name, or the address, that the certificate of a backend there must be for. A name is sent
    /// as SNI, too.
    #[must_use]
    pub fn name(&self, target: &Target) -> ServerName<'static> {
        match (&self.name, target) {
            (Some(name), _) => name.clone(),
            (None, Target::Tcp(address)) => ServerName::from(address.ip().to_canonical()),
            // Pinned, or the configuration would want a name.
            (None, Target::Unix(_)) => ServerName::from(IpAddr::from([127, 0, 0, 1])),
        }
    }

    /// What rustls is told for a session. Sessions resume each other's TLS.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// The same for a look at the backend: its certificate is verified anew each time, and seen.
    #[must_use]
    pub fn observed(&self) -> (Arc<ClientConfig>, Arc<Observer>) {
        let observer = Arc::new(Observer { inner: self.verifier.clone(), leaf: Mutex::new(None) });
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        config.dangerous().set_certificate_verifier(observer.clone());
        (Arc::new(config), observer)
    }

    fn key(&self) -> (&BackendTls, &str) {
        (&self.rule, &self.digest)
    }
}

impl PartialEq for Upstream {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Upstream {}

impl PartialOrd for Upstream {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Upstream {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl Hash for Upstream {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// `read`: everything that was read for it.
fn verifier(
    trust: &BackendTrust,
    read: &mut Vec<u8>,
) -> Result<Arc<dyn ServerCertVerifier>, Vec<Finding>> {
    let (mut roots, mut problems) = (RootCertStore::empty(), Vec::new());
    let place = match trust {
        BackendTrust::Pinned(pins) => {
            return Ok(Arc::new(Pinned { pins: pins.clone(), provider: provider() }));
        }
        BackendTrust::System => {
            // Some machines have roots in their store that are none; the others count.
            let (system, unread) = certs::system_roots();
            roots.add_parsable_certificates(system);
            if roots.is_empty() {
                let text = "this machine has no trust store to verify a backend's certificate by: install ca-certificates, or write tls_ca or tls_fingerprint";
                let nothing = Finding::new(Code::NothingThere, "/etc/ssl/certs", text);
                return Err(unread.into_iter().chain([nothing]).collect());
            }
            Path::new("/etc/ssl/certs")
        }
        BackendTrust::Files(files) => {
            for (file, der) in certs::authorities(files, &[])?.certificates {
                if let Err(error) = roots.add(der) {
                    let text = format!("an authority's certificate cannot be used: {error}");
                    problems.push(Finding::new(Code::Damaged, file, text));
                }
            }
            files.first().map_or(Path::new("tls_ca"), |file| file)
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    for root in &roots.roots {
        read.extend_from_slice(&root.subject);
        read.extend_from_slice(&root.subject_public_key_info);
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let failed = |e: rustls::client::VerifierBuilderError| {
        vec![Finding::new(Code::Damaged, place, e.to_string())]
    };
    Ok(verifier.map_err(failed)?)
}

fn unfit(error: &Error, certificate: &Path, key: &Path) -> Finding {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            let text =
                format!("the key does not match the certificate in {}", certificate.display());
            Finding::new(Code::KeyMismatch, key, text)
        }
        other => {
            let text = format!("it cannot be shown to a backend: {other}");
            Finding::new(Code::Damaged, certificate, text)
        }
    }
}

/// Believes one certificate, or one key, and asks nothing else of it.
#[derive(Debug)]
struct Pinned {
    pins: Vec<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn key(certificate: &CertificateDer<'_>) -> Result<certs::PublicKey, Error> {
        certs::public_key(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (whole, key) = (certs::fingerprint(leaf), Self::key(leaf)?);
        let key = certs::fingerprint(&key.spki);
        if self.pins.iter().any(|pin| pin.is(&whole) || pin.is(&key)) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_tls12(&self.provider, &Self::key(certificate)?, message, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signed_tls13(&self.provider, Self::key(certificate)?, message, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Sees which certificate a backend shows, also where it is not accepted.
#[derive(Debug)]
pub struct Observer {
    inner: Arc<dyn ServerCertVerifier>,
    leaf: Mutex<Option<CertificateDer<'static>>>,
}

impl Observer {
    /// The certificate; `None`: it did not come to that.
    #[must_use]
    pub fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.leaf.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for Observer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.leaf.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaf.clone().into_owned());
        self.inner.verify_server_cert(leaf, rest, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
