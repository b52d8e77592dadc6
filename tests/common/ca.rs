//! A certificate authority for one test: root, intermediate, leafs.

use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RevokedCertParams, RsaKeySize,
    SerialNumber, date_time_ymd,
};

/// The kinds of key that tests ask for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Ecdsa,
    Rsa,
}

impl Kind {
    pub fn key(self) -> KeyPair {
        match self {
            Self::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            Self::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048),
        }
        .expect("a key can be made")
    }
}

/// Who issues certificates: its own, and its key.
pub type Authority = CertifiedIssuer<'static, KeyPair>;

/// A root, and an intermediate that issues the leafs.
pub struct Ca {
    pub root: Authority,
    pub intermediate: Authority,
}

/// A leaf with all that belongs to it, each part as PEM.
pub struct Leaf {
    pub cert: String,
    pub key: String,
    pub chain: String,
}

impl Leaf {
    pub fn fullchain(&self) -> String {
        format!("{}{}", self.cert, self.chain)
    }

    /// Writes certbot's four files into `folder`.
    pub fn certbot(&self, folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder can be made");
        for (name, text) in [
            ("cert.pem", &self.cert),
            ("chain.pem", &self.chain),
            ("fullchain.pem", &self.fullchain()),
            ("privkey.pem", &self.key),
        ] {
            std::fs::write(folder.join(name), text).expect("a file can be written");
        }
        let key = folder.join("privkey.pem");
        std::fs::set_permissions(key, Permissions::from_mode(0o600)).expect("a mode");
    }
}

fn named(cn: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, cn);
    name
}

/// A leaf for these names, whose parameters the test may change.
pub fn issue(
    issuer: &Authority,
    names: &[&str],
    kind: Kind,
    change: impl FnOnce(&mut CertificateParams),
) -> Leaf {
    let names: Vec<String> = names.iter().map(|&n| n.to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).expect("names");
    params.distinguished_name = named(names.first().map_or("leaf", String::as_str));
    params.use_authority_key_identifier_extension = true;
    change(&mut params);
    let key = kind.key();
    let cert = params.signed_by(&key, issuer).expect("a leaf");
    Leaf { cert: cert.pem(), key: key.serialize_pem(), chain: issuer.pem() }
}

/// What makes an authority of this name.
pub fn authority(cn: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(cn);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

impl Ca {
    pub fn new(name: &str) -> Self {
        let root =
            CertifiedIssuer::self_signed(authority(&format!("{name} Root")), Kind::Ecdsa.key())
                .expect("a root");
        let intermediate = CertifiedIssuer::signed_by(
            authority(&format!("{name} CA 1")),
            Kind::Ecdsa.key(),
            &root,
        )
        .expect("an intermediate");
        Self { root, intermediate }
    }

    /// A leaf for these names, valid now.
    pub fn leaf(&self, names: &[&str], kind: Kind) -> Leaf {
        self.leaf_with(names, kind, |_| {})
    }

    /// A leaf whose parameters the test may change.
    pub fn leaf_with(
        &self,
        names: &[&str],
        kind: Kind,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Leaf {
        issue(&self.intermediate, names, kind, change)
    }

    /// Another intermediate of the same root.
    pub fn another(&self, cn: &str) -> Authority {
        CertifiedIssuer::signed_by(authority(cn), Kind::Ecdsa.key(), &self.root)
            .expect("an intermediate")
    }

    /// A client's certificate with this serial number.
    pub fn client(&self, name: &str, serial: u64) -> Leaf {
        self.leaf_with(&[name], Kind::Ecdsa, |params| {
            params.serial_number = Some(SerialNumber::from(serial));
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// The revocation lists of the intermediate, with these serial numbers, and of the root. Both are
    /// good in these years.
    pub fn revocation_lists(
        &self,
        revoked: &[u64],
        years: std::ops::RangeInclusive<i32>,
    ) -> [String; 2] {
        let list = |issuer: &CertifiedIssuer<'static, KeyPair>, revoked: &[u64]| {
            let revoked = revoked.iter().map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            });
            let params = CertificateRevocationListParams {
                this_update: date_time_ymd(*years.start(), 1, 1),
                next_update: date_time_ymd(*years.end(), 12, 31),
                crl_number: SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: revoked.collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            params.signed_by(issuer).expect("a list").pem().expect("PEM")
        };
        [list(&self.intermediate, revoked), list(&self.root, &[])]
    }

    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// Writes the root for a client that trusts nothing else.
    pub fn write_root(&self, folder: &Path) -> PathBuf {
        let path = folder.join("root.pem");
        std::fs::write(&path, self.root_pem()).expect("the root can be written");
        path
    }
}
