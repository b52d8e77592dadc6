//! Mail servers by name: what each can be told of its clients, and what it does not speak.
//!
//! The table says what the products document. Where nothing is documented, nobody is told anything,
//! and the configuration is warned about as it is for `identity: none`.

use std::{fmt, str::FromStr};

use serde::Deserialize;

use crate::{identity::Identity, protocol::Protocol};

/// A mail server that is known by name.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "they are products' names")]
pub enum Preset {
    CommuniGate,
    Courier,
    Cyrus,
    Dovecot,
    Exchange,
    Exim,
    IceWarp,
    Kerio,
    OpenSmtpd,
    Postfix,
    Sendmail,
    Stalwart,
}

/// What is known of one.
#[derive(Debug)]
pub struct Row {
    /// As the configuration writes it.
    pub name: &'static str,
    /// As its makers write it.
    pub product: &'static str,
    /// How it learns who the client is, over these protocols.
    pub identity: &'static [(Protocol, Identity)],
    /// The protocols that it speaks, `raw` aside. Empty: it is not known that it lacks any.
    pub speaks: &'static [Protocol],
}

use Identity::{ImapId, None as Nothing, ProxyV2};
use Protocol::{Http, Imap, Pop3, Raw, Sieve, Smtp, Submission};

const MAIL_IN: &[Protocol] = &[Smtp, Submission];

/// Nothing that a front could say: neither the PROXY protocol nor anything like it is documented. For the web,
/// fields that nobody looks at do no harm.
const SILENT: &[(Protocol, Identity)] = &[
    (Imap, Nothing),
    (Pop3, Nothing),
    (Raw, Nothing),
    (Sieve, Nothing),
    (Smtp, Nothing),
    (Submission, Nothing),
];

const MAIL_IN_PROXY: &[(Protocol, Identity)] = &[(Smtp, ProxyV2), (Submission, ProxyV2)];

const fn silent(name: &'static str, product: &'static str) -> Row {
    Row { name, product, identity: SILENT, speaks: &[] }
}

impl Preset {
    /// All of them, by name.
    pub const ALL: [Self; 12] = [
        Self::CommuniGate,
        Self::Courier,
        Self::Cyrus,
        Self::Dovecot,
        Self::Exchange,
        Self::Exim,
        Self::IceWarp,
        Self::Kerio,
        Self::OpenSmtpd,
        Self::Postfix,
        Self::Sendmail,
        Self::Stalwart,
    ];

    /// What is known of it.
    #[must_use]
    pub const fn row(self) -> &'static Row {
        match self {
            Self::CommuniGate => &const { silent("communigate", "CommuniGate Pro") },
            Self::Courier => &Row {
                name: "courier",
                product: "Courier",
                identity: SILENT,
                speaks: &[Smtp, Submission, Imap, Pop3],
            },
            // It believes nothing of ID, and logs all of it. `-H`, with which it knows the PROXY protocol, is
            // newer than what most distributions have (Debian 12: 3.6), and a Cyrus without it would take
            // the header for a command.
            Self::Cyrus => &Row {
                name: "cyrus",
                product: "Cyrus IMAP",
                identity: &[(Http, Nothing), (Imap, ImapId), (Pop3, Nothing), (Sieve, Nothing)],
                speaks: &[Imap, Pop3, Sieve, Http],
            },
            // haproxy_trusted_networks, since 2.2.19.
            Self::Dovecot => &Row {
                name: "dovecot",
                product: "Dovecot",
                identity: &[
                    (Imap, ProxyV2),
                    (Pop3, ProxyV2),
                    (Sieve, ProxyV2),
                    (Submission, ProxyV2),
                ],
                speaks: &[Imap, Pop3, Sieve, Submission],
            },
            Self::Exchange => &Row {
                name: "exchange",
                product: "Exchange Server",
                identity: SILENT,
                speaks: &[Smtp, Submission, Imap, Pop3, Http],
            },
            // hosts_proxy, where it is built with SUPPORT_PROXY.
            Self::Exim => {
                &Row { name: "exim", product: "Exim", identity: MAIL_IN_PROXY, speaks: MAIL_IN }
            }
            Self::IceWarp => &const { silent("icewarp", "IceWarp") },
            Self::Kerio => &const { silent("kerio", "Kerio Connect") },
            // The listener's option proxy-v2.
            Self::OpenSmtpd => &Row {
                name: "opensmtpd",
                product: "OpenSMTPD",
                identity: MAIL_IN_PROXY,
                speaks: MAIL_IN,
            },
            // smtpd_upstream_proxy_protocol.
            Self::Postfix => &Row {
                name: "postfix",
                product: "Postfix",
                identity: MAIL_IN_PROXY,
                speaks: MAIL_IN,
            },
            Self::Sendmail => {
                &Row { name: "sendmail", product: "Sendmail", identity: SILENT, speaks: MAIL_IN }
            }
            // Once it trusts a network, it expects a header from there on all of its listeners.
            Self::Stalwart => &Row {
                name: "stalwart",
                product: "Stalwart",
                identity: &[
                    (Http, ProxyV2),
                    (Imap, ProxyV2),
                    (Pop3, ProxyV2),
                    (Raw, ProxyV2),
                    (Sieve, ProxyV2),
                    (Smtp, ProxyV2),
                    (Submission, ProxyV2),
                ],
                speaks: &[],
            },
        }
    }

    /// How it learns who the client is; `None`: as any server does over this protocol.
    #[must_use]
    pub fn identity(self, protocol: Protocol) -> Option<Identity> {
        let found = self.row().identity.iter().find(|(spoken, _)| *spoken == protocol);
        found.map(|(_, identity)| *identity)
    }

    /// Whether it may be found at the other end of this protocol.
    #[must_use]
    pub fn speaks(self, protocol: Protocol) -> bool {
        let spoken = self.row().speaks;
        spoken.is_empty() || protocol == Raw || spoken.contains(&protocol)
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|preset| preset.row().name == text).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|preset| preset.row().name).collect();
            format!("there is no preset `{text}`; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_in_the_table_by_the_name_that_the_configuration_writes() {
        for preset in Preset::ALL {
            assert_eq!(preset.to_string().parse(), Ok(preset));
            let read: Preset = serde_yaml::from_str(preset.row().name).unwrap();
            assert_eq!(read, preset);
        }
        assert!(Preset::ALL.is_sorted_by_key(|preset| preset.row().name));
        assert!("Postfix".parse::<Preset>().is_err());
    }

    #[test]
    fn what_one_speaks_it_is_told_of() {
        for preset in Preset::ALL {
            for protocol in preset.row().speaks {
                let is_web = *protocol == Http;
                assert!(is_web || preset.identity(*protocol).is_some(), "{preset} {protocol:?}");
            }
            for (protocol, identity) in preset.row().identity {
                assert!(preset.speaks(*protocol) || *identity == Nothing, "{preset} {protocol:?}");
            }
        }
    }
}
