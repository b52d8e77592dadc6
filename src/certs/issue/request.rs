//! Requests for certificates (PKCS #10, RFC 2986).

use std::{fmt, path::Path};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, KeyPair,
    string::{Ia5String, PrintableString},
};

use super::{IssueError, Name, NewKey, alternative_names, common_name, key};
use crate::certs::files;

/// What a distinguished name says besides the common name. All of it is checked by [`request`].
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Country, two letters of ISO 3166.
    pub country: Option<String>,
    /// State or province.
    pub state: Option<String>,
    /// City.
    pub city: Option<String>,
    /// Organization.
    pub org: Option<String>,
    /// Unit of the organization.
    pub unit: Option<String>,
    /// An address of the person who answers for it.
    pub email: Option<String>,
}

/// A request and the key that it was made with, both as PEM.
pub struct Requested {
    /// What goes to the authority.
    pub request: String,
    /// The same as DER.
    pub der: Vec<u8>,
    /// What stays here.
    pub key: String,
}

impl fmt::Debug for Requested {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requested").field("request", &self.request).finish_non_exhaustive()
    }
}

/// Where a request's key comes from.
#[derive(Clone, Copy, Debug)]
pub enum KeySource<'a> {
    /// A file that holds it, and no other.
    File(&'a Path),
    /// It is made.
    New(NewKey),
}

/// RFC 5280 Appendix A.1: `ub-organization-name`, `ub-locality-name`, `ub-emailaddress-length`.
const LONGEST_ORGANIZATION: usize = 64;
const LONGEST_PLACE: usize = 128;
const LONGEST_EMAIL: usize = 255;

/// emailAddress of PKCS #9 (RFC 2985 §5.2.1).
const EMAIL: [u64; 7] = [1, 2, 840, 113_549, 1, 9, 1];

/// Makes a request for these names: of a key that is there, or of a new one.
///
/// Errors: no name; a part of the subject that is not what it should be; a key that cannot be read
/// or cannot sign here.
pub fn request(
    names: &[Name],
    subject: &Subject,
    key: KeySource<'_>,
) -> Result<Requested, IssueError> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = alternative_names(names)?;
    params.distinguished_name = subject.distinguished_name(common_name(names))?;
    let pair = match key {
        KeySource::File(file) => read(file)?,
        KeySource::New(kind) => kind.generate()?,
    };
    let request = params.serialize_request(&pair)?;
    Ok(Requested { request: request.pem()?, der: request.der().to_vec(), key: key::text(&pair) })
}

pub(super) fn read(file: &Path) -> Result<KeyPair, IssueError> {
    let keys = files::read(file)?.unwrap_or_default().keys;
    let [key] = keys.as_slice() else {
        let n = keys.len();
        return Err(format!("{}: one key is wanted, and it holds {n}", file.display()).into());
    };
    KeyPair::try_from(key)
        .map_err(|e| format!("{}: the key cannot be used to sign: {e}", file.display()).into())
}

impl Subject {
    fn distinguished_name(
        &self,
        common_name: Option<String>,
    ) -> Result<DistinguishedName, IssueError> {
        let mut name = DistinguishedName::new();
        if let Some(country) = &self.country {
            let country = country.to_ascii_uppercase();
            if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
                return Err(format!(
                    "country: `{country}` is not two letters, as ISO 3166 has them: DE, CH, US"
                )
                .into());
            }
            let country = PrintableString::try_from(country)?;
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        for (key, value, longest, kind) in [
            ("state", &self.state, LONGEST_PLACE, DnType::StateOrProvinceName),
            ("city", &self.city, LONGEST_PLACE, DnType::LocalityName),
            ("org", &self.org, LONGEST_ORGANIZATION, DnType::OrganizationName),
            ("unit", &self.unit, LONGEST_ORGANIZATION, DnType::OrganizationalUnitName),
        ] {
            if let Some(value) = value {
                name.push(kind, checked(key, value, longest)?);
            }
        }
        if let Some(common_name) = common_name {
            name.push(DnType::CommonName, common_name);
        }
        if let Some(email) = &self.email {
            let email = checked("email", email, LONGEST_EMAIL)?;
            let parts = email.split_once('@').filter(|(user, _)| !user.is_empty());
            let is_address = email.bytes().all(|b| b.is_ascii_graphic())
                && parts.is_some_and(|(_, host)| matches!(host.parse(), Ok(Name::Dns(_))));
            if !is_address {
                return Err(format!("email: `{email}` is not an address in ASCII").into());
            }
            let email = DnValue::Ia5String(Ia5String::try_from(email)?);
            name.push(DnType::CustomDnType(EMAIL.to_vec()), email);
        }
        Ok(name)
    }
}

/// A part of a name, as long as it may be and with something to read in it.
fn checked(key: &str, value: &str, longest: usize) -> Result<String, String> {
    let value = value.trim();
    if value.is_empty() {
        return Err(format!("{key}: it is empty; leave it out"));
    }
    if value.chars().count() > longest {
        return Err(format!("{key}: it is longer than {longest} letters (RFC 5280)"));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("{key}: it holds a control character"));
    }
    Ok(value.to_owned())
}
