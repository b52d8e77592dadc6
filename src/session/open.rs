//! The way from a client of which all is known to a backend that waits for its first command.

use std::{io, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout_at},
};

use super::{
    Policy, Summary,
    handshake::Reason,
    name,
    serve::{Parting, Way},
    summary::Tried,
};
use crate::{
    backend::{self, Insecure, Secured, Visit},
    error::{Blame, Phase},
    identity::{Facts, Identity},
    protocol::{Offer, Opened, Opening, Protocol, Refusal, SessionFilter, Start},
    values::Timeouts,
    wire::{Ear, Inbox, Link, converse},
};

/// What a client brings with it to the backends.
pub(super) struct Errand<'a> {
    pub(super) policy: &'a Policy,
    pub(super) summary: &'a Summary,
    /// What the client may be offered as things are now.
    pub(super) offer: Offer,
    /// Whether the client has had a greeting.
    pub(super) greeted: bool,
    /// What it said last, in clear.
    pub(super) hello: Vec<u8>,
}

/// A backend that waits for the client's first command.
pub(super) struct Open {
    /// Counts this session among the backend's.
    #[expect(dead_code, reason = "it is there to be dropped")]
    visit: Visit,
    pub(super) link: Link,
    pub(super) filter: Option<Box<SessionFilter>>,
    pub(super) from_backend: Inbox,
    pub(super) to_client: Vec<u8>,
}

impl Open {
    /// A backend with which nothing has to be begun any more.
    pub(super) fn plain(visit: Visit, link: Link, from_backend: Inbox) -> Self {
        Self { visit, link, filter: None, from_backend, to_client: Vec::new() }
    }
}

/// How long one backend is waited for.
struct Patience {
    /// Until it accepts the connection.
    dial: Duration,
    /// From there until it waits for the client's first command.
    greet: Duration,
}

impl Errand<'_> {
    /// From the connection to a backend to the client's first forwarded octet. What the backend itself
    /// refuses with is passed on: `Way::Done`.
    ///
    /// The client has seen nothing of it until then: what fails at one backend is tried at another.
    pub(super) async fn open(self, tried: &mut Tried) -> Result<Way<Open, Vec<u8>>, Parting> {
        let sni = self.summary.known_tls().and_then(|tls| tls.sni.as_deref());
        let pool = self.policy.pool(sni);
        let mut search = pool.seek(self.summary.peer.ip());
        let Timeouts { connect, greeting, .. } = self.policy.timeouts;
        let deadline = Instant::now() + connect + greeting;
        let (mut dialling, mut last) = (connect, None);
        while let Some(visit) = search.next(std::time::Instant::now()) {
            tried.last = Some(visit.key().target.clone());
            tried.count += 1;
            // Whoever is tried next needs some of the time, too.
            let left = deadline.saturating_duration_since(Instant::now());
            let patience = if search.has_more(std::time::Instant::now()) {
                Patience { dial: dialling / 2, greet: greeting.min(left / 4) }
            } else {
                Patience { dial: dialling, greet: greeting.min(left) }
            };
            match self.try_open(visit, patience, &mut dialling).await {
                Err(parting) if !dialling.is_zero() && Instant::now() < deadline => {
                    last = Some(parting);
                }
                done => return done,
            }
        }
        pool.hurry();
        let nobody = || {
            let why = search.regret();
            Parting::new(Refusal::BackendUnavailable, Phase::Dial, Blame::Backend, why)
        };
        Err(last.unwrap_or_else(nobody))
    }

    /// The same with one backend. `dialling`: the time for connections to be accepted, of which this
    /// takes its part.
    async fn try_open(
        &self,
        visit: Visit,
        patience: Patience,
        dialling: &mut Duration,
    ) -> Result<Way<Open, Vec<u8>>, Parting> {
        let key = visit.key();
        let failed = |why, source: Reason| {
            visit.failed(&source);
            Parting::new(why, Phase::Opening, Blame::Backend, source)
        };
        let unavailable = |error: io::Error| failed(Refusal::BackendUnavailable, error.into());

        if visit.is_deaf() {
            let why =
                "it takes the PROXY header for commands: see what was said of it when it was found";
            return Err(failed(Refusal::BackendUnavailable, why.into()));
        }
        let begin = Instant::now();
        let dial = async {
            let dialled = backend::dial(&key.target, patience.dial).await;
            *dialling = dialling.saturating_sub(begin.elapsed());
            dialled
        };
        let opened = tokio::try_join!(dial, async { Ok(self.facts(key.identity).await) });
        let (mut link, facts) = opened.map_err(|error| {
            visit.unreachable(&error);
            Parting::new(Refusal::BackendUnavailable, Phase::Dial, Blame::Backend, error)
        })?;
        let header = key.identity.header(&facts);
        if !header.is_empty() {
            // In one write, before any other octet.
            link.write_all(&header).await.map_err(unavailable)?;
        }
        let deadline = Instant::now() + patience.greet;
        let securing = backend::secure(link, key, &self.policy.hostname, self.policy.line);
        let (mut link, mut from_backend) = match timeout_at(deadline, securing).await {
            Ok(Ok(Secured::Ready(link, inbox))) => (link, inbox),
            Ok(Ok(Secured::Refused(words))) => return Ok(Way::Done(words)),
            Ok(Err(why @ (Insecure::Garbage(_) | Insecure::Injected))) => {
                return Err(failed(Refusal::BackendGarbage, why.into()));
            }
            Ok(Err(why)) => return Err(failed(Refusal::BackendUnavailable, why.into())),
            Err(_) => {
                let why = "it does not come to TLS in time".into();
                return Err(failed(Refusal::BackendUnavailable, why));
            }
        };
        let start = Start {
            greeted: self.greeted,
            offer: self.offer,
            hello: self.hello.clone(),
            bare_newline: self.policy.bare_newline,
            host: self.policy.hostname.clone(),
            introduce: key.identity.is_spoken().then(|| Box::new(facts)),
        };
        let Some(mut opening) = Opening::new(key.protocol, start) else {
            visit.served();
            return Ok(Way::On(Open::plain(visit, link, from_backend)));
        };
        // Its list of capabilities is kept: it must not be without an end.
        let mut nothing = Vec::new();
        let mut ear = Ear::new(&mut link, &mut nothing);
        let talk = converse(&mut ear, &mut opening, &mut from_backend, self.policy.line);
        match timeout_at(deadline, talk).await {
            Ok(Ok(Opened::Ready(to_client))) => {
                visit.served();
                let filter = Some(Box::new(opening.filter()));
                Ok(Way::On(Open { visit, link, filter, from_backend, to_client }))
            }
            Ok(Ok(Opened::Refused(words))) => Ok(Way::Done(words)),
            Ok(Ok(Opened::Deaf(why))) => Err(failed(Refusal::BackendUnavailable, why.into())),
            Ok(Ok(Opened::Garbage(why))) => Err(failed(Refusal::BackendGarbage, why.into())),
            Ok(Err(broken)) => Err(failed(Refusal::BackendUnavailable, key.words(&broken).into())),
            Err(_) => Err(failed(Refusal::BackendUnavailable, "it does not greet".into())),
        }
    }

    /// All that is known of the client, in the measure in which this dialect can tell it.
    async fn facts(&self, identity: Identity) -> Facts {
        let has_name = identity == Identity::Xclient
            && matches!(self.policy.protocol, Protocol::Smtp | Protocol::Submission);
        let name = if has_name { name::name(self.summary.peer.ip()).await } else { None };
        Facts { name, ..self.summary.facts() }
    }
}
