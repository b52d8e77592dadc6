//! What is to be looked at, as it is written on the command line.

use std::net::Ipv6Addr;

use crate::{certs::Reference, protocol::Protocol};

/// How a client comes to TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starttls {
    /// It asks for it in this protocol.
    In(Protocol),
    /// The connection begins with it.
    Never,
}

/// A server, and how it is to be called on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name or an address, without brackets.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How TLS begins.
    pub starttls: Starttls,
    /// What is spoken there; `None`: that has to be heard.
    pub protocol: Option<Protocol>,
    /// What is asked for, and looked for in the certificate.
    pub asked: Reference,
}

impl Target {
    /// Reads `HOST:PORT`, where `starttls` and `sni` say more than the port does.
    pub fn new(text: &str, starttls: Option<Starttls>, sni: Option<&str>) -> Result<Self, String> {
        let (host, port) = split(text)?;
        let port = port.or_else(|| default_port(starttls)).ok_or_else(|| {
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            format!("{text}: which port? Say {host}:993, for example, or --starttls imap")
        })?;
        let usual = usual(port);
        let starttls = starttls.or(usual.map(|(_, starttls)| starttls)).unwrap_or(Starttls::Never);
        let protocol = match (starttls, usual) {
            // Submission is SMTP with other ALPN ids.
            (Starttls::In(Protocol::Smtp), Some((Protocol::Submission, _))) => {
                Some(Protocol::Submission)
            }
            (Starttls::In(protocol), _) => Some(protocol),
            (Starttls::Never, usual) => usual.map(|(protocol, _)| protocol),
        };
        let asked = match sni {
            Some(name) => Reference::new(name).map_err(|e| format!("--sni {e}"))?,
            None => Reference::new(host)?,
        };
        Ok(Self { host: host.to_owned(), port, starttls, protocol, asked })
    }
}

/// `HOST:PORT`, `HOST`, `[v6]:PORT`, `[v6]` or `v6`.
fn split(text: &str) -> Result<(&str, Option<u16>), String> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok((text, None));
    }
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return Err(format!("{text}: the ] is missing")),
        Some(Some((host, rest))) => match rest {
            "" => (host, None),
            rest => match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return Err(format!("{text}: a : is missing behind the ]")),
            },
        },
        None => match text.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => {
                return Err(format!(
                    "{text}: an IPv6 address with a port is written [address]:port"
                ));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let number = |port: &str| match port.parse() {
        Ok(0) | Err(_) => Err(format!("{text}: {port:?} is no port")),
        Ok(number) => Ok(number),
    };
    Ok((host, port.map(number).transpose()?))
}

/// What is spoken on a well-known port, and how TLS begins there.
fn usual(port: u16) -> Option<(Protocol, Starttls)> {
    Protocol::ALL.into_iter().find_map(|protocol| {
        let row = protocol.row();
        // SMTP and submission ask for it in the same words.
        let words = if protocol == Protocol::Submission { Protocol::Smtp } else { protocol };
        if row.implicit_ports.contains(&port) {
            Some((protocol, Starttls::Never))
        } else {
            (row.starttls && row.port == port).then_some((protocol, Starttls::In(words)))
        }
    })
}

fn default_port(starttls: Option<Starttls>) -> Option<u16> {
    match starttls? {
        Starttls::In(protocol) => Some(protocol.row().port),
        Starttls::Never => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn read(text: &str, starttls: Option<Starttls>) -> (String, u16, Starttls, Option<Protocol>) {
        let target = Target::new(text, starttls, None).unwrap();
        (target.host, target.port, target.starttls, target.protocol)
    }

    #[test]
    fn the_port_says_how_tls_begins() {
        use Protocol::{Http, Imap, Pop3, Sieve, Smtp, Submission};
        use Starttls::{In, Never};
        for (port, starttls, protocol) in [
            (25, In(Smtp), Some(Smtp)),
            (587, In(Smtp), Some(Submission)),
            (465, Never, Some(Submission)),
            (143, In(Imap), Some(Imap)),
            (993, Never, Some(Imap)),
            (110, In(Pop3), Some(Pop3)),
            (995, Never, Some(Pop3)),
            (4190, In(Sieve), Some(Sieve)),
            (443, Never, Some(Http)),
            (8443, Never, None),
        ] {
            let (_, _, how, what) = read(&format!("mail.example.org:{port}"), None);
            assert_eq!((how, what), (starttls, protocol), "{port}");
        }
        let (.., how, what) = read("mail.example.org:10143", Some(In(Imap)));
        assert_eq!((how, what), (In(Imap), Some(Imap)));
        assert_eq!(read("mail.example.org:587", Some(In(Smtp))).3, Some(Submission));
        assert_eq!(read("mail.example.org:143", Some(Never)).2, Never);
    }

    #[test]
    fn hosts_are_written_in_many_ways() {
        for (text, host, port) in [
            ("192.0.2.1:25", "192.0.2.1", 25),
            ("[2001:db8::1]:993", "2001:db8::1", 993),
            ("mail.example.org.:993", "mail.example.org.", 993),
        ] {
            let (h, p, ..) = read(text, None);
            assert_eq!((h.as_str(), p), (host, port));
        }
        let imap = Some(Starttls::In(Protocol::Imap));
        for text in ["mail.example.org", "2001:db8::1", "[2001:db8::1]"] {
            assert_eq!(read(text, imap).1, 143, "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (text, why) in [
            ("mail.example.org", "which port?"),
            ("mail.example.org:imap", "is no port"),
            ("mail.example.org:0", "is no port"),
            ("[::1]993", ": is missing"),
            ("2001:db8::1:993", "Say [2001:db8::1:993]:993"),
            ("[::1:993", "] is missing"),
            ("2001:db8::1::993", "[address]:port"),
            ("a b:25", "no host name"),
            (":25", "no host name"),
        ] {
            let said = Target::new(text, None, None).map(|t| format!("{t:?}")).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        assert!(Target::new("mail.example.org:25", None, Some("a b")).is_err());
    }
}
