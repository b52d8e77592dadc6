//! Certificates that vouch for themselves.

use std::{ops::RangeInclusive, time::Duration};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, SerialNumber,
    date_time_ymd,
};
use rustls::crypto::aws_lc_rs::default_provider;

use super::{IssueError, Name, NewKey, alternative_names, common_name, key};
use crate::certs::now;

const DAY: u64 = 86_400;

/// Clocks of clients go wrong by minutes; this is how much, in seconds.
const LEEWAY: i64 = 3600;

/// How many days a certificate may be valid. Nobody's key is good for longer than a hundred years.
fn valid_days() -> RangeInclusive<u32> {
    1..=36_500
}

/// Makes a key and a certificate of its own for a TLS server with these names, valid for so many
/// days, from an hour ago on. The text holds the key (PKCS #8), then the certificate.
///
/// Errors: no name, or a number of days out of range.
pub fn self_signed(names: &[Name], days: u32, key: NewKey) -> Result<String, IssueError> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = alternative_names(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(serial_number()?);
    params.use_authority_key_identifier_extension = true;
    // It vouches for no other certificate. There is no key usage: OpenSSL 1.1 does not take a
    // certificate for self-signed that has one without keyCertSign, and clients that are told to
    // trust it would not.
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // RFC 5280 §4.1.2.4: an issuer has a name.
    let common_name = common_name(names).unwrap_or_else(|| "self-signed".to_owned());
    params.distinguished_name.push(DnType::CommonName, common_name);
    set_validity(&mut params, days)?;
    let pair = key.generate()?;
    let certificate = params.self_signed(&pair)?;
    Ok(format!("{}{}", key::text(&pair), certificate.pem()))
}

/// From an hour ago on, for so many days, both ends included (RFC 5280 §4.1.2.5).
pub(super) fn set_validity(params: &mut CertificateParams, days: u32) -> Result<(), IssueError> {
    let range = valid_days();
    if !range.contains(&days) {
        let (from, to) = range.into_inner();
        return Err(format!("{days} days are out of range: from {from} to {to}").into());
    }
    let from = u64::try_from(now().saturating_sub(LEEWAY)).unwrap_or_default();
    let to = from + u64::from(days) * DAY - 1;
    let moment = |seconds| date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    (params.not_before, params.not_after) = (moment(from), moment(to));
    Ok(())
}

/// Random, positive, and 16 octets long: RFC 5280 §4.1.2.2 allows 20.
fn serial_number() -> Result<SerialNumber, IssueError> {
    let mut octets = [0; 16];
    let random = default_provider().secure_random;
    random.fill(&mut octets).map_err(|_| "the system gives no random numbers".to_owned())?;
    // The first bit would make it negative; the second keeps its length.
    octets[0] = octets[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&octets))
}
