//! A self-signed certificate once more, with nothing new but its dates.
//!
//! Who has made an exception for it, or has been told to trust it, goes by key, names and serial
//! number, so the certificate is not made anew: its dates and its signature are exchanged.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair, SigningKey};

use super::{IssueError, der, self_signed::set_validity};
use crate::certs::{
    files,
    pem::{self, Content},
    x509::Parsed,
};

/// DER tags: `[0]` of the version, and BIT STRING.
const VERSION: u8 = 0xa0;
const BIT_STRING: u8 = 0x03;

/// Renews the one certificate in this file with the key beside it, valid for so many days from an
/// hour ago on, and returns the text that takes the file's place.
///
/// Errors: the file cannot be read; it holds more or less than a certificate with its key; an
/// authority issued it; its key is of a kind that cannot sign here.
pub fn refresh(file: &Path, days: u32) -> Result<String, IssueError> {
    let content = files::read(file)?.unwrap_or_default();
    renew(&content, days).map_err(|why| format!("{}: {why}", file.display()).into())
}

fn renew(content: &Content, days: u32) -> Result<String, IssueError> {
    let refuse = |why: String| Err(IssueError::from(why));
    let ([certificate], [key_der]) = (content.certificates.as_slice(), content.keys.as_slice())
    else {
        return refuse(format!(
            "a self-signed certificate and its key are wanted, and there {}",
            counted(content.certificates.len(), content.keys.len()),
        ));
    };
    let old = Parsed::new(certificate).map_err(IssueError::from)?;
    if !old.is_self_signed() || !old.signed(&old) {
        return refuse(format!(
            "the certificate was issued by {}, and only they can renew it: ask for a new one with `vestibule csr --use-key`",
            old.issuer.1
        ));
    }
    let key = KeyPair::try_from(key_der)
        .map_err(|e| format!("the key cannot be used to sign: {e}"))
        .map_err(IssueError::from)?;
    if rcgen::PublicKeyData::subject_public_key_info(&key) != old.spki {
        return refuse("the key does not match the certificate".to_owned());
    }

    // What we would write for this key: its algorithm and the new dates are taken from there.
    let mut params = CertificateParams::default();
    set_validity(&mut params, days)?;
    let model = params.self_signed(&key)?;
    let (Some(mine), Some(mut fields)) = (fields(model.der()), fields(certificate)) else {
        return refuse("the certificate cannot be taken apart".to_owned());
    };
    // TBSCertificate, RFC 5280 §4.1: the version is left out in those of version 1.
    let first = |fields: &[&[u8]]| usize::from(fields.first().is_some_and(|f| f[0] == VERSION));
    let (here, there) = (first(&fields), first(&mine));
    for field in [SIGNATURE, VALIDITY] {
        match (fields.get_mut(here + field), mine.get(there + field)) {
            (Some(old), Some(new)) => *old = new,
            _ => return refuse("the certificate cannot be taken apart".to_owned()),
        }
    }
    let body = der::wrap(der::SEQUENCE, &fields.concat());
    let signature = [&[0], key.sign(&body)?.as_slice()].concat();
    let algorithm = mine[there + SIGNATURE];
    let whole = [body.as_slice(), algorithm, &der::wrap(BIT_STRING, &signature)].concat();
    let renewed = der::wrap(der::SEQUENCE, &whole);
    Ok(format!("{}{}", pem::encode_key(key_der), pem::encode_certificate(&renewed)))
}

/// Fields of a TBSCertificate, counted from the serial number.
const SIGNATURE: usize = 1;
const VALIDITY: usize = 3;

fn counted(certificates: usize, keys: usize) -> String {
    let is = if certificates == 1 { "is" } else { "are" };
    let s = |n| if n == 1 { "" } else { "s" };
    format!("{is} {certificates} certificate{} and {keys} key{}", s(certificates), s(keys))
}

/// The fields of a certificate's TBSCertificate, each with tag and length.
fn fields(certificate: &[u8]) -> Option<Vec<&[u8]>> {
    der::fields(der::value(certificate)?.content)
}
