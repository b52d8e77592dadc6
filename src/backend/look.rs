//! One look at a backend: connect, say who we are, ask, say good-bye; and remember what was seen.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use rustls::pki_types::CertificateDer;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{
    Key, Seen, Trouble,
    diagnose::protest,
    dial,
    hello::begins_with_tls,
    secure::{Consent, Insecure, shake, upgrade},
    turned_away,
};
use crate::{
    identity::{Facts, SessionId, TlsFacts},
    protocol::{Dialogue, Learned, Next, Prober, Protocol},
    values::{BackendTlsMode, Timeouts},
    wire::{Broken, Ear, Inbox, Link, converse, take_leave},
};

/// A prober's answers are short lists.
const LONGEST_ANSWER: usize = 64 << 10;

/// So much of what a backend says is looked at afterwards.
const KEPT: usize = 8 << 10;

/// How long a look waits for the good-bye to be answered.
const LEAVE: Duration = Duration::from_secs(1);

/// Looks at a backend, under this name of ours: as a stranger, and if that one is refused, as ourselves.
pub async fn look(key: &Key, host: &str, timeouts: &Timeouts) -> Seen {
    let seen = look_as(stranger, key, host, timeouts).await;
    let Some(words) = turned_away::words(&seen) else { return seen };
    let own = look_as(ourselves, key, host, timeouts).await;
    match own.end {
        Ok(_) => Seen { turned_away: Some(words), ..own },
        Err(_) => Seen { end: Err(Trouble::TurnedAway(words)), ..seen },
    }
}

/// The same as the client that this tells of.
async fn look_as(who: fn(&Link) -> Facts, key: &Key, host: &str, timeouts: &Timeouts) -> Seen {
    let mut seen = Seen {
        tls: key.tls.as_ref().map(|upstream| upstream.mode()),
        ..Seen::none(key.protocol, key.identity)
    };
    let link = match dial(&key.target, timeouts.connect).await {
        Ok(link) => link,
        Err(error) => return Seen { end: Err(Trouble::Unreachable(error)), ..seen },
    };
    let heard = (&mut seen.in_clear, &mut seen.inside);
    let end = timeout(timeouts.greeting, visit(link, who, key, host, heard)).await;
    seen.end = end.unwrap_or(Err(Trouble::Silent(timeouts.greeting)));
    let is_silent = matches!(seen.end, Err(Trouble::Closed(_) | Trouble::Silent(_)));
    if is_silent && key.tls.is_none() && seen.in_clear.is_empty() {
        seen.answers_tls = begins_with_tls(who, key, host, timeouts).await;
    }
    if let Ok(learned) = &mut seen.end
        && key.protocol == Protocol::Sieve
        && !seen.inside.is_empty()
        && let Some(banner) = banner(&seen.in_clear)
    {
        learned.banner = banner;
    }
    seen
}

/// What ManageSieve greets with: inside TLS, it greets once more, and says there that TLS has begun.
fn banner(said: &[u8]) -> Option<String> {
    let mut prober = Prober::new(Protocol::Sieve, "", None)?;
    let (mut rest, mut out) = (said, Vec::new());
    loop {
        match prober.step(rest, &mut out) {
            (_, Next::End(learned)) => return Some(learned.ok()?.banner),
            (0, Next::Read) => return None,
            (taken, Next::Read) => rest = &rest[taken..],
        }
    }
}

/// `heard`: what was said in clear, and inside TLS.
async fn visit(
    mut link: Link,
    who: fn(&Link) -> Facts,
    key: &Key,
    host: &str,
    heard: (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<Learned, Trouble> {
    let broken = |error: io::Error| Trouble::Closed(error.to_string());
    let facts = who(&link);
    let header = key.identity.header(&facts);
    let prober = Prober::new(key.protocol, host, key.identity.is_spoken().then_some(facts));
    // Where there is nothing to ask, it need not hear of a client that does not exist.
    let header = if prober.is_some() { header } else { key.identity.local() };
    link.write_all(&header).await.map_err(broken)?;
    let (in_clear, inside) = heard;
    let Some(upstream) = &key.tls else {
        return ask(&mut link, prober, Inbox::default(), key, in_clear).await;
    };
    let mut greeting = Inbox::default();
    if upstream.mode() == BackendTlsMode::Starttls {
        let mut ear = Ear::keeping(&mut link, in_clear, KEPT, protest(key.identity));
        let asked = upgrade(&mut ear, key, host, LONGEST_ANSWER).await;
        if asked.is_err() {
            take_leave(&mut ear, b"", LEAVE).await;
        }
        greeting = match asked {
            Ok(Consent::Given(greeting)) => greeting,
            Ok(Consent::Refused(words)) => {
                let said = String::from_utf8_lossy(&words).trim_end().to_owned();
                return Err(Trouble::Ill(format!("it refuses with {said:?}")));
            }
            Err(Insecure::Broken(why)) => return Err(trouble(&why, key)),
            Err(Insecure::Garbage(why)) => return Err(Trouble::Ill(why)),
            Err(why) => return Err(Trouble::Insecure(why.words(None))),
        };
    }
    // Its certificate is verified each time, which a session that is resumed does not do.
    let (config, observer) = upstream.observed();
    let shaken = shake(link, key, upstream, config).await;
    let mut link = shaken.map_err(|why| {
        let leaf: Option<CertificateDer<'_>> = observer.leaf();
        Trouble::Insecure(why.words(leaf.as_ref()))
    })?;
    ask(&mut link, prober, greeting, key, inside).await
}

/// `None` as the prober: there is nothing to ask, it is enough that somebody is there.
async fn ask(
    link: &mut Link,
    prober: Option<Prober>,
    mut inbox: Inbox,
    key: &Key,
    heard: &mut Vec<u8>,
) -> Result<Learned, Trouble> {
    let Some(mut prober) = prober else { return Ok(Learned::default()) };
    // Who takes a PROXY header for commands may wait for the end of its last line: no need to wait, too.
    let mut ear = Ear::keeping(link, heard, KEPT, protest(key.identity));
    let asked = converse(&mut ear, &mut prober, &mut inbox, LONGEST_ANSWER).await;
    // What it says to our good-bye tells, too, whether it has understood how we began.
    take_leave(&mut ear, b"", LEAVE).await;
    match asked {
        Ok(learned) => learned.map_err(Trouble::Ill),
        Err(why) => Err(trouble(&why, key)),
    }
}

fn trouble(why: &Broken, key: &Key) -> Trouble {
    match why {
        Broken::Closed => Trouble::Closed(why.to_string()),
        Broken::Io(error) if crate::error::is_disconnect(error) => {
            Trouble::Closed(error.to_string())
        }
        Broken::Io(_) => Trouble::Ill(key.words(why)),
        Broken::TooLong => Trouble::Ill(format!(
            "it says a line, or an answer, that does not end within {} KiB",
            LONGEST_ANSWER >> 10
        )),
    }
}

/// A client that does not exist: its address is from RFC 5737, and it uses TLS, so that the
/// backend shows what it would show to one that does.
fn stranger(link: &Link) -> Facts {
    stranger_from(IpAddr::from([192, 0, 2, 1]), link)
}

/// The front itself, as far as it has an address there.
fn ourselves(link: &Link) -> Facts {
    let own = match link {
        Link::Tcp(tcp) => tcp.local_addr().ok().map(|local| local.ip().to_canonical()),
        Link::Tls(_) | Link::Unix(_) => None,
    };
    stranger_from(own.unwrap_or(Ipv4Addr::LOCALHOST.into()), link)
}

/// A stranger from this address.
pub(super) fn stranger_from(address: IpAddr, link: &Link) -> Facts {
    let local = match link {
        Link::Tcp(tcp) => tcp.local_addr().ok(),
        Link::Tls(_) | Link::Unix(_) => None,
    };
    let local = local.filter(|local| local.is_ipv4() == address.is_ipv4());
    let other = match address {
        IpAddr::V4(_) => IpAddr::from([192, 0, 2, 2]),
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 2]),
    };
    Facts {
        id: SessionId(0),
        peer: SocketAddr::new(address, 1),
        local: local.unwrap_or(SocketAddr::new(other, 1)),
        hops: 0,
        name: None,
        tls: Some(TlsFacts {
            version: "TLSv1.3".into(),
            cipher: "TLS_AES_256_GCM_SHA384".into(),
            group: "X25519",
            sni: None,
            alpn: None,
            resumed: false,
            client: None,
        }),
    }
}
