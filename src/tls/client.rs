//! The client's side, for looking at any server: every certificate is taken, and seen; what is to be
//! thought of it is judged afterwards.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error,
    PeerIncompatible, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime},
    version::{TLS12, TLS13},
};

use super::provider;
use crate::certs::{PublicKey, public_key};

/// Sees what a server shows in a handshake, also in one that fails.
#[derive(Debug)]
pub struct Witness {
    provider: Arc<CryptoProvider>,
    seen: Mutex<Seen>,
}

/// What has been seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The certificates, in the order in which they were sent.
    pub chain: Vec<CertificateDer<'static>>,
    /// Why the handshake's signature could not be verified, and was let pass all the same.
    pub unverified: Option<String>,
}

/// A configuration that offers these ALPN ids and takes any certificate, and the one who sees it.
///
/// That the server has the certificate's key is verified; nothing is resumed.
pub fn witness(alpn: &[&str]) -> Result<(Arc<ClientConfig>, Arc<Witness>), Error> {
    let witness = Arc::new(Witness { provider: provider(), seen: Mutex::default() });
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|id| id.as_bytes().to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok((Arc::new(config), witness))
}

impl Witness {
    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key to verify by. `Ok(None)`: it is too small for that, which is said later.
    fn key(&self, certificate: &CertificateDer<'_>) -> Result<Option<PublicKey>, Error> {
        let key = public_key(certificate)
            .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        if let Some(bits) = key.rsa_bits.filter(|bits| *bits < 2048) {
            let why = format!("its RSA key has only {bits} bits");
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).unverified = Some(why);
            return Ok(None);
        }
        Ok(Some(key))
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = [leaf].into_iter().chain(rest);
        seen.chain = chain.map(|c| c.clone().into_owned()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(key) = self.key(certificate)? else {
            return Ok(HandshakeSignatureValid::assertion());
        };
        signed_tls12(&self.provider, &key, message, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(key) = self.key(certificate)? else {
            return Ok(HandshakeSignatureValid::assertion());
        };
        signed_tls13(&self.provider, key, message, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a handshake's signature is by this key.
///
/// Not rustls' own function: it does not read certificates of version 1, which old servers have.
pub(super) fn signed_tls12(
    provider: &CryptoProvider,
    key: &PublicKey,
    message: &[u8],
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let mapping = provider.signature_verification_algorithms.mapping;
    let algorithms = mapping.iter().find(|(scheme, _)| *scheme == signature.scheme);
    let is_right = algorithms.is_some_and(|(_, algorithms)| {
        algorithms.iter().any(|algorithm| {
            algorithm.verify_signature(&key.octets, message, signature.signature()).is_ok()
        })
    });
    match is_right {
        true => Ok(HandshakeSignatureValid::assertion()),
        false => Err(Error::InvalidCertificate(CertificateError::BadSignature)),
    }
}

/// The same for TLS 1.3.
pub(super) fn signed_tls13(
    provider: &CryptoProvider,
    key: PublicKey,
    message: &[u8],
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    verify_tls13_signature_with_raw_key(
        message,
        &SubjectPublicKeyInfoDer::from(key.spki),
        signature,
        &provider.signature_verification_algorithms,
    )
}

/// What it means that a handshake with a server failed so, and what to do about it there.
#[must_use]
pub fn explain_failure(error: &Error) -> &'static str {
    match error {
        Error::AlertReceived(alert) => explain_alert(*alert),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => {
            "the server speaks nothing newer than TLS 1.1: switch TLS 1.2 and 1.3 on (RFC 9325 §3.1.1)"
        }
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            "the server's signature does not fit its certificate: it has another key"
        }
        Error::InvalidCertificate(_) => "the server's certificate cannot be read",
        Error::InvalidMessage(_) => "the server answers with something that is not TLS",
        _ => "the server does not keep to TLS as it is today; its log may know more",
    }
}

fn explain_alert(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::HandshakeFailure => {
            "client and server have no cipher, group or signature in common: the server is perhaps too old, or has no certificate"
        }
        AlertDescription::ProtocolVersion => {
            "the server speaks nothing newer than TLS 1.1: switch TLS 1.2 and 1.3 on (RFC 9325 §3.1.1)"
        }
        AlertDescription::UnrecognisedName => {
            "the server has no certificate for this name: add one, or ask for another with --sni"
        }
        AlertDescription::NoApplicationProtocol => {
            "the server refuses the protocol that ALPN names (RFC 7301 §3.2)"
        }
        AlertDescription::InternalError => {
            "something is wrong in the server, often a certificate or key that it cannot read: look into its log"
        }
        AlertDescription::CertificateRequired | AlertDescription::AccessDenied => {
            "the server wants a certificate from its clients"
        }
        AlertDescription::DecodeError | AlertDescription::IllegalParameter => {
            "the server does not understand what clients of today say: it, or something in between, is too old"
        }
        AlertDescription::InsufficientSecurity => "the server wants stronger ciphers",
        _ => "look into the server's log",
    }
}
