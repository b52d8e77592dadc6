//! The relay test: mail to a foreign domain, from a stranger, must be refused. It never sends DATA.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, time::timeout};

use super::{Diagnosis, Key, Kind, Secured, dial, look::stranger_from, secure};
use crate::{
    certs::Severity,
    identity::Identity,
    protocol::{
        Offer, Opened, Opening, Start,
        smtp::{Relaying, Stranger},
    },
    values::{BareNewline, Timeouts},
    wire::{Ear, Inbox, Link, converse, take_leave},
};

/// Strangers, from where nobody comes: RFC 5737 and RFC 3849.
pub const STRANGERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// The longest reply that is read.
const LONGEST: usize = 64 << 10;

/// How long the good-bye may take.
const LEAVE: Duration = Duration::from_secs(1);

/// What came of one stranger's attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whom the backend was told that it has before it.
    pub stranger: IpAddr,
    /// Whom it takes him for in truth: the front, where it is told nothing.
    pub taken_for: Option<IpAddr>,
    /// What it said.
    pub relaying: Relaying,
}

impl Attempt {
    /// What is to be said about it; `None`: all is well. `in_clear`: there was no TLS with the backend.
    #[must_use]
    pub fn diagnose(&self, in_clear: bool) -> Option<Diagnosis> {
        let stranger = self.stranger;
        let (severity, kind, text) = match &self.relaying {
            Relaying::Refused(said)
                if in_clear && said.starts_with("530") && has_starttls(said) =>
            {
                (
                    Severity::Error,
                    Kind::WantsStarttls,
                    format!(
                        "it takes no mail before its own STARTTLS, and is reached in clear ({said:?}): write tls: starttls for this backend, or let it do without for this front (Postfix: smtpd_tls_security_level = may)"
                    ),
                )
            }
            Relaying::Refused(_) => return None,
            Relaying::Granted(said) => (
                Severity::Error,
                Kind::OpenRelay,
                match self.taken_for {
                    Some(front) => format!(
                        "it takes mail for others from everybody who comes through this front ({said:?}): it takes them all for {front}, which it trusts. Tell it who they are (identity: proxy-v2), or take {front} from those whom it relays for (Postfix: mynetworks)"
                    ),
                    None => format!(
                        "it is an open relay: it takes mail for others from a stranger at {stranger} ({said:?}). Look at whom it relays for (Postfix: mynetworks, smtpd_relay_restrictions)"
                    ),
                },
            ),
            Relaying::Untold(said) => (
                Severity::Warning,
                Kind::RelayUnknown,
                format!(
                    "whether it is an open relay could not be found out as a stranger at {stranger}: {said}"
                ),
            ),
        };
        Some(Diagnosis { severity, kind, text })
    }
}

fn has_starttls(said: &str) -> bool {
    said.to_ascii_uppercase().contains("STARTTLS")
}

/// Tries whether this backend takes mail for others from this stranger. It must speak SMTP.
pub async fn try_to_relay(key: &Key, host: &str, from: IpAddr, timeouts: &Timeouts) -> Attempt {
    let mut attempt =
        Attempt { stranger: from, taken_for: None, relaying: Relaying::Untold(String::new()) };
    let talk = talk(key, host, from, timeouts, &mut attempt.taken_for);
    let ended = timeout(timeouts.connect + timeouts.greeting, talk).await;
    attempt.relaying = match ended {
        Ok(Ok(relaying)) => relaying,
        Ok(Err(why)) => Relaying::Untold(why),
        Err(_) => Relaying::Untold(format!("it does not answer within {:?}", timeouts.greeting)),
    };
    attempt
}

async fn talk(
    key: &Key,
    host: &str,
    from: IpAddr,
    timeouts: &Timeouts,
    taken_for: &mut Option<IpAddr>,
) -> Result<Relaying, String> {
    let words = |e: std::io::Error| e.to_string();
    let mut link = dial(&key.target, timeouts.connect).await.map_err(words)?;
    let facts = stranger_from(from, &link);
    if key.identity == Identity::None {
        *taken_for = own_address(&link);
    }
    link.write_all(&key.identity.header(&facts)).await.map_err(words)?;
    let secured = secure(link, key, host, LONGEST).await.map_err(|why| why.to_string())?;
    let Secured::Ready(mut link, mut inbox) = secured else {
        return Err("it refuses the session".to_owned());
    };
    let hello = match from {
        IpAddr::V4(v4) => format!("EHLO [{v4}]\r\n"),
        IpAddr::V6(v6) => format!("EHLO [IPv6:{v6}]\r\n"),
    };
    let start = Start {
        greeted: true,
        offer: Offer::TLS,
        hello: hello.into_bytes(),
        bare_newline: BareNewline::default(),
        host: host.to_owned(),
        introduce: key.identity.is_spoken().then(|| Box::new(facts)),
    };
    let mut opening = Opening::new(key.protocol, start).ok_or("it speaks no SMTP")?;
    let mut nothing = Vec::new();
    let mut ear = Ear::new(&mut link, &mut nothing);
    let opened = converse(&mut ear, &mut opening, &mut inbox, LONGEST).await;
    match opened.map_err(|broken| key.words(&broken))? {
        Opened::Ready(_) => {}
        // Others may be let in.
        Opened::Refused(words) => {
            let said = String::from_utf8_lossy(&words).trim_end().to_owned();
            return Err(format!("it refuses the session: {said:?}"));
        }
        Opened::Deaf(why) | Opened::Garbage(why) => return Err(why),
    }
    let mut inbox = Inbox::default();
    let verdict = converse(&mut ear, &mut Stranger::default(), &mut inbox, LONGEST).await;
    take_leave(&mut ear, b"", LEAVE).await;
    verdict.map_err(|broken| key.words(&broken))
}

fn own_address(link: &Link) -> Option<IpAddr> {
    match link {
        Link::Tcp(tcp) => Some(tcp.local_addr().ok()?.ip().to_canonical()),
        Link::Tls(_) | Link::Unix(_) => None,
    }
}
