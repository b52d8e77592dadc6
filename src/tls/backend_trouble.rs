//! What goes wrong in the TLS to a backend, in words that help.

use std::io;

use rustls::{
    AlertDescription, CertificateError, Error,
    pki_types::{CertificateDer, ServerName},
};

use super::{client::explain_failure, client_certificates::words};
use crate::certs::{Client, date, fingerprint};

/// So many names of a certificate are told.
const TOLD: usize = 5;

/// What it means that TLS with a backend failed so, and what to do about it. `asked`: the name that
/// its certificate should be for; `leaf`: the certificate that it has shown, as far as that is known.
/// `None`: TLS has nothing to do with it.
#[must_use]
pub fn explain_backend(
    error: &io::Error,
    asked: &ServerName<'_>,
    leaf: Option<&CertificateDer<'_>>,
) -> Option<String> {
    let error: &Error = error.get_ref()?.downcast_ref()?;
    Some(match error {
        Error::InvalidCertificate(error) => certificate(error, asked, leaf),
        Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate,
        ) => "it wants a certificate from us: write tls_certificate and tls_key".to_owned(),
        Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied),
        ) => format!(
            "it does not accept our certificate ({alert:?}): look at tls_certificate here, and at its list of authorities there"
        ),
        Error::InvalidMessage(_) => {
            "what it answers is no TLS: does it speak in clear there (tls: none or tls: starttls)?"
                .to_owned()
        }
        other => format!("its TLS does not come about ({other}): {}", explain_failure(other)),
    })
}

fn certificate(
    error: &CertificateError,
    asked: &ServerName<'_>,
    leaf: Option<&CertificateDer<'_>>,
) -> String {
    use CertificateError as E;
    let asked = asked.to_str();
    // Whoever knows that it is the right one can say so; nobody else should.
    let pin = leaf.map_or_else(String::new, |leaf| {
        format!("; it is sha256:{}, if that is known to be the right one", fingerprint(leaf))
    });
    let issuer = leaf.map(|leaf| Client::new(leaf).issuer).filter(|issuer| !issuer.is_empty());
    let issuer = issuer.map_or_else(String::new, |issuer| format!(" (its issuer is {issuer})"));
    match error {
        E::UnknownIssuer => format!(
            "its certificate leads to no authority that is trusted here{issuer}: write that authority's file into tls_ca, or pin the certificate with tls_fingerprint{pin}"
        ),
        E::Expired => "its certificate has expired: renew it there".to_owned(),
        E::ExpiredContext { not_after, .. } => {
            format!("its certificate has expired on {}: renew it there", day(not_after.as_secs()))
        }
        E::NotValidYet => "its certificate is not valid yet: look at both clocks".to_owned(),
        E::NotValidYetContext { not_before, .. } => format!(
            "its certificate is not valid before {}: look at both clocks",
            day(not_before.as_secs())
        ),
        E::NotValidForName => {
            format!("its certificate is not for {asked}: write a name that it is for into tls_name")
        }
        E::NotValidForNameContext { presented, .. } => format!(
            "its certificate is not for {asked}, but for {}: write a name that it is for into tls_name",
            names(presented)
        ),
        E::ApplicationVerificationFailure => format!(
            "its certificate is none of those that tls_fingerprint pins: either it was renewed there, or somebody stands in between{pin}"
        ),
        E::BadSignature => {
            "its signature does not fit its certificate: it has another key".to_owned()
        }
        E::BadEncoding => "its certificate cannot be read".to_owned(),
        // webpki: a certificate that says CA:TRUE, as `openssl req -x509` makes them, is no server's.
        other if words(other) == "ca used as end entity" => format!(
            "its certificate is an authority's own (CA:TRUE), which vouches for no server: pin it with tls_fingerprint{pin}"
        ),
        other => format!("its certificate is not accepted ({}){pin}", words(other)),
    }
}

fn day(seconds: u64) -> String {
    date(i64::try_from(seconds).unwrap_or(i64::MAX))
}

/// As rustls tells them: `DnsName("mail.example.org")`, `IpAddress(192.0.2.1)`, …
fn names(presented: &[String]) -> String {
    let plain = |name: &String| {
        let inside = name.split_once('(').and_then(|(_, inside)| inside.strip_suffix(')'));
        inside.unwrap_or(name).trim_matches('"').to_owned()
    };
    match presented {
        [] => "no name at all".to_owned(),
        names => {
            let told: Vec<String> = names.iter().take(TOLD).map(plain).collect();
            let more = if names.len() > TOLD { ", …" } else { "" };
            told.join(", ") + more
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(error: Error) -> Option<String> {
        let asked = ServerName::try_from("mail.example.org").unwrap();
        explain_backend(&io::Error::new(io::ErrorKind::InvalidData, error), &asked, None)
    }

    #[test]
    fn each_trouble_names_the_key_that_mends_it() {
        use CertificateError as E;
        let asked = ServerName::try_from("mail.example.org").unwrap();
        let presented = vec!["DnsName(\"a.example\")".to_owned(), "IpAddress(10.0.0.5)".to_owned()];
        for (error, parts) in [
            (E::UnknownIssuer, ["tls_ca", "tls_fingerprint"]),
            (E::Expired, ["expired", "renew it there"]),
            (
                E::NotValidForNameContext { expected: asked.to_owned(), presented },
                ["not for mail.example.org, but for a.example, 10.0.0.5:", "tls_name"],
            ),
            (E::ApplicationVerificationFailure, ["tls_fingerprint", "renewed"]),
        ] {
            let said = words(Error::InvalidCertificate(error)).unwrap();
            assert!(parts.iter().all(|part| said.contains(part)), "{said}");
        }
        let said = words(Error::AlertReceived(AlertDescription::CertificateRequired)).unwrap();
        assert!(said.contains("tls_certificate and tls_key"), "{said}");
    }

    #[test]
    fn what_is_not_about_tls_is_left_to_others() {
        let asked = ServerName::try_from("mail.example.org").unwrap();
        assert_eq!(explain_backend(&io::ErrorKind::TimedOut.into(), &asked, None), None);
    }
}
