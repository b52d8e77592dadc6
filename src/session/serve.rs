//! The life of a session.

use std::{io, net::SocketAddr, sync::Weak, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{
    End, House, Policy, Stop, Summary,
    handshake::{self, Reason, Shaken, Unshaken},
    name,
    relay::{self, Clock, Outcome, Relay},
    summary::Tried,
};
use crate::{
    backend::{self, Visit},
    certs::Certificate,
    error::{Blame, Phase, SessionError, is_disconnect},
    identity::{Facts, Identity, SessionId},
    protocol::{
        Greeted, Greeter, Offer, Opened, Opening, Protocol, Refusal, Refused, SessionFilter, Side,
        Start,
    },
    values::{Timeouts, TlsMode},
    wire::{Broken, Client, Inbox, Link, converse, take_leave},
};

/// A client that has just been accepted.
pub struct Arrival {
    /// Its session's name.
    pub id: SessionId,
    /// The socket.
    pub tcp: TcpStream,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Where it came to.
    pub local: SocketAddr,
    /// The front that brought it; `None`: it came by itself.
    pub via: Option<Box<Via>>,
}

/// A front before us, which told where its client comes from and came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// Where the front itself comes from.
    pub front: SocketAddr,
    /// Its name for the session, if it has one.
    pub id: Option<String>,
    /// So many fronts has the client passed, this one included.
    pub hops: u8,
}

/// Serves one client to its end. `logged_in` is called once the client has proved who it is, or
/// where that cannot be seen, once its bytes flow.
pub fn serve<'a, F: FnOnce()>(
    arrival: Arrival,
    policy: &'a Policy,
    house: &'a House,
    logged_in: F,
) -> impl Future<Output = Summary> + use<'a, F> {
    let Arrival { id, tcp, peer, local, via } = arrival;
    let mut session = Session {
        policy,
        house,
        summary: Summary::new(id, peer, local, via),
        offer: policy.in_clear(peer.ip()),
        greeted: false,
        shown: None,
        logged_in: Some(logged_in),
    };
    // An `async fn` would keep the arrival, too, for as long as the session lives.
    async move {
        let end = match session.live(tcp).await {
            // The client is told; whoever reads the log is told more.
            Err(Parting { why, error: None }) => Ok(End::Refused(why)),
            Err(Parting { error: Some(error), .. }) => Err(error),
            Ok(end) => Ok(end),
        };
        session.summary.ended(end)
    }
}

struct Session<'a, F> {
    policy: &'a Policy,
    house: &'a House,
    summary: Summary,
    /// What the client may be offered as things are now.
    offer: Offer,
    /// Whether the client has had a greeting.
    greeted: bool,
    /// The certificate that it was shown.
    shown: Option<Weak<Certificate>>,
    logged_in: Option<F>,
}

/// We end the session: what the client is told, and what went wrong, if anything did.
struct Parting {
    why: Refusal,
    error: Option<SessionError>,
}

impl Parting {
    fn new(
        why: Refusal,
        phase: Phase,
        blame: Blame,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { why, error: Some(SessionError::new(phase, blame, source)) }
    }
}

impl From<Refusal> for Parting {
    fn from(why: Refusal) -> Self {
        Self { why, error: None }
    }
}

/// A client in clear that wants TLS, with what came behind its command.
struct WantsTls {
    tcp: TcpStream,
    glued: Inbox,
}

/// What came of a phase after which the client may be gone.
enum Way<T, D = End> {
    On(T),
    Done(D),
}

impl<F: FnOnce()> Session<'_, F> {
    async fn live(&mut self, tcp: TcpStream) -> Result<End, Parting> {
        let clear = match self.policy.tls {
            TlsMode::Implicit => Way::On(WantsTls { tcp, glued: Inbox::default() }),
            TlsMode::None => self.clear(tcp, Inbox::default(), Vec::new()).await?,
            TlsMode::Starttls | TlsMode::StarttlsOptional => self.greet(tcp).await?,
        };
        let mut client = match clear {
            Way::On(wants_tls) => self.handshake(wants_tls).await?,
            Way::Done(end) => return Ok(end),
        };
        match self.forward(&mut client, &mut Inbox::default(), Vec::new()).await? {
            Way::Done(end) => Ok(end),
            // Inside TLS no filter grants it again.
            Way::On(_) => Err(Refusal::Unframeable.into()),
        }
    }

    /// Speaks with a client in clear until it begins TLS, or all through if it may and wants to.
    async fn greet(&mut self, mut tcp: TcpStream) -> Result<Way<WantsTls>, Parting> {
        let backend = &self.policy.backend;
        let learned = backend.learned().filter(|_| self.policy.is_up());
        let Some(learned) = learned else {
            // Nothing to greet with: the greeting itself is the refusal.
            backend.hurry();
            let parting = Refusal::BackendUnavailable.into();
            return self.part(&mut tcp, parting).await;
        };
        let Some(mut greeter) = Greeter::new(self.policy.protocol, &learned, self.offer) else {
            return self.clear(tcp, Inbox::default(), Vec::new()).await;
        };
        self.greeted = true;
        let mut inbox = Inbox::default();
        let deadline = Instant::now() + self.policy.patience().0;
        let talk = Box::pin(converse(&mut tcp, &mut greeter, &mut inbox, self.policy.line));
        let parting = match self.within(deadline, talk).await {
            Ok(Ok(Greeted::StartTls)) => return self.starttls(tcp, inbox).await.map(Way::On),
            Ok(Ok(Greeted::Clear(hello))) => return self.clear(tcp, inbox, hello).await,
            Ok(Ok(Greeted::Closed)) => {
                take_leave(&mut tcp, b"", self.policy.timeouts.closing).await;
                return Ok(Way::Done(End::Closed(Side::Client)));
            }
            Ok(Ok(Greeted::Refused(why))) => why.into(),
            Ok(Err(Broken::Closed)) => return Ok(Way::Done(End::Closed(Side::Client))),
            Ok(Err(Broken::Io(error))) if is_disconnect(&error) => {
                return Ok(Way::Done(End::Closed(Side::Client)));
            }
            Ok(Err(Broken::TooLong)) => Refusal::LineTooLong.into(),
            Ok(Err(broken @ Broken::Io(_))) => {
                Parting::new(Refusal::Timeout, Phase::Greeting, Blame::Client, broken)
            }
            Err(why) => why.into(),
        };
        self.part(&mut tcp, parting).await
    }

    /// Does a phase's work, until its deadline or the end of all sessions.
    async fn within<T>(
        &self,
        deadline: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Refusal> {
        let mut stop = self.house.stop.clone();
        tokio::select! {
            biased;
            done = timeout_at(deadline, work) => done.map_err(|_| Refusal::Timeout),
            Ok(_) = stop.wait_for(|s| *s == Stop::Now) => Err(Refusal::Shutdown),
        }
    }

    /// RFC 3207 §4.2: nothing that came in clear may survive. A ClientHello that came in one packet
    /// with the command goes to TLS (RFC 9051 §6.2.1); anything else ends the session.
    async fn starttls(&mut self, mut tcp: TcpStream, glued: Inbox) -> Result<WantsTls, Parting> {
        const HANDSHAKE_RECORD: u8 = 22;
        if glued.first().is_some_and(|first| *first != HANDSHAKE_RECORD) {
            let parting = Refusal::BytesAfterStartTls.into();
            return self.part(&mut tcp, parting).await;
        }
        Ok(WantsTls { tcp, glued })
    }

    /// Goes on in clear, for as long as the client does not ask for TLS.
    async fn clear(
        &mut self,
        tcp: TcpStream,
        mut inbox: Inbox,
        hello: Vec<u8>,
    ) -> Result<Way<WantsTls>, Parting> {
        let mut client = Client::Tcp(tcp);
        let forwarded = Box::pin(self.forward(&mut client, &mut inbox, hello)).await?;
        match (forwarded, client) {
            (Way::On(glued), Client::Tcp(tcp)) => self.starttls(tcp, glued).await.map(Way::On),
            (Way::On(_), Client::Tls(_)) => Err(Refusal::Unframeable.into()),
            (Way::Done(end), _) => Ok(Way::Done(end)),
        }
    }

    async fn handshake(&mut self, from: WantsTls) -> Result<Client, Parting> {
        let deadline = Instant::now() + self.policy.timeouts.handshake;
        let local = self.summary.local.ip();
        let shaking =
            Box::pin(handshake::handshake(from.tcp, from.glued, local, self.policy, self.house));
        let failed =
            |source| Parting::new(Refusal::Timeout, Phase::Handshake, Blame::Client, source);
        let Shaken { stream, facts, shown } = match self.within(deadline, shaking).await {
            Ok(Ok(shaken)) => shaken,
            Ok(Err(Unshaken { why, asked, shown })) => {
                self.summary.asked = asked;
                self.summary.certificate = shown.map(|shown| shown.label);
                return Err(failed(why));
            }
            Err(Refusal::Timeout) => return Err(failed("it takes too long".into())),
            Err(why) => return Err(why.into()),
        };
        self.summary.tls = Some(facts);
        self.summary.certificate = Some(shown.label);
        self.shown = shown.certificate;
        self.offer = Offer::TLS;
        Ok(Client::Tls(stream))
    }

    /// All about the client is known: a backend is dialled, and bytes flow. `Way::On`: a client in
    /// clear begins TLS, and these octets came behind its command.
    ///
    /// What is borrowed or forgotten here, a session need not keep for as long as it idles.
    async fn forward(
        &mut self,
        client: &mut Client,
        from_client: &mut Inbox,
        hello: Vec<u8>,
    ) -> Result<Way<Inbox>, Parting> {
        let Timeouts { connect, greeting, .. } = self.policy.timeouts;
        let deadline = Instant::now() + connect + greeting;
        let mut tried = Tried::default();
        let opened = self.within(deadline, Box::pin(self.open(hello, &mut tried))).await;
        self.summary.tried = tried;
        let mut open = match opened.unwrap_or_else(|why| Err(why.into())) {
            Ok(Way::On(open)) => open,
            Ok(Way::Done(words)) => {
                self.refused(client, from_client, words).await;
                return Ok(Way::Done(End::BackendRefused));
            }
            Err(parting) => return self.part(client, parting).await,
        };
        if let Err(error) = client.write_all(&open.to_client).await.and(client.flush().await)
            && !is_disconnect(&error)
        {
            return Err(Parting::new(Refusal::Timeout, Phase::Opening, Blame::Client, error));
        }
        open.to_client = Vec::new();
        let outcome = self.relay(client, &mut open, std::mem::take(from_client)).await;
        drop(open);
        match outcome {
            Outcome::StartTls(glued) => Ok(Way::On(glued)),
            outcome => {
                take_leave(client, b"", self.policy.timeouts.closing).await;
                self.end(outcome).map(Way::Done)
            }
        }
    }

    async fn relay(&mut self, client: &mut Client, open: &mut Open, from_client: Inbox) -> Outcome {
        let timeouts = &self.policy.timeouts;
        let (filtered, renewed) = self.policy.patience();
        let has_login = open.filter.is_some();
        let relay = Relay {
            client,
            backend: &mut open.link,
            filter: open.filter.take(),
            from_client,
            from_backend: std::mem::take(&mut open.from_backend),
            farewell: &|why, out| self.policy.farewell(why, out),
            clock: Clock { filtered, renewed, idle: timeouts.idle, closing: timeouts.closing },
            line: self.policy.line,
        };
        let mut logged_in = self.logged_in.take();
        if !has_login && let Some(logged_in) = logged_in.take() {
            logged_in();
        }
        let mut is_in = false;
        let on_login = || {
            is_in = true;
            if let Some(logged_in) = logged_in.take() {
                logged_in();
            }
        };
        let (outcome, octets) = relay::relay(relay, self.house.stop.clone(), on_login).await;
        self.logged_in = logged_in;
        self.summary.logged_in = is_in;
        self.summary.octets =
            [self.summary.octets[0] + octets[0], self.summary.octets[1] + octets[1]];
        outcome
    }

    /// The backend has refused the session in these words: the client hears them, and has as long
    /// to say good-bye as its protocol grants.
    async fn refused(&self, client: &mut Client, inbox: &mut Inbox, words: Vec<u8>) {
        let mut words = words;
        if let Some(mut refused) = Refused::new(self.policy.protocol, &words, self.greeted) {
            words.clear();
            let talk = converse(client, &mut refused, inbox, self.policy.line);
            // However it goes on from here, the session is over.
            let _ = timeout(self.policy.timeouts.greeting, talk).await;
        }
        take_leave(client, &words, self.policy.timeouts.closing).await;
    }

    /// From the connection to a backend to the client's first forwarded octet. What the backend itself
    /// refuses with is passed on: `Way::Done`.
    ///
    /// The client has seen nothing of it until then: what fails at one backend is tried at another.
    async fn open(&self, hello: Vec<u8>, tried: &mut Tried) -> Result<Way<Open, Vec<u8>>, Parting> {
        let sni = self.summary.tls.as_ref().and_then(|tls| tls.sni.as_deref());
        let pool = self.policy.pool(sni);
        let mut search = pool.seek(self.summary.peer.ip());
        let deadline = Instant::now() + self.policy.timeouts.connect;
        let mut last = None;
        while let Some(visit) = search.next(std::time::Instant::now()) {
            tried.last = Some(visit.key().target.clone());
            tried.count += 1;
            let left = deadline.saturating_duration_since(Instant::now());
            // Whoever is tried next needs some of the time, too.
            let patience = if search.has_more(std::time::Instant::now()) { left / 2 } else { left };
            match self.try_open(visit, patience, &hello).await {
                Err(parting) if Instant::now() < deadline => last = Some(parting),
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

    /// The same with one backend, which gets `patience` to accept the connection.
    async fn try_open(
        &self,
        visit: Visit,
        patience: Duration,
        hello: &[u8],
    ) -> Result<Way<Open, Vec<u8>>, Parting> {
        let timeouts = &self.policy.timeouts;
        let key = visit.key();
        let failed = |why, source: Reason| {
            visit.failed(&source);
            Parting::new(why, Phase::Opening, Blame::Backend, source)
        };
        let unavailable = |error: io::Error| failed(Refusal::BackendUnavailable, error.into());

        let dialling = backend::dial(&key.target, patience);
        let opened = tokio::try_join!(dialling, async { Ok(self.facts(key.identity).await) });
        let (mut link, facts) = opened.map_err(|error| {
            visit.unreachable(&error);
            Parting::new(Refusal::BackendUnavailable, Phase::Dial, Blame::Backend, error)
        })?;
        let header = key.identity.header(&facts);
        if !header.is_empty() {
            // In one write, before any other octet.
            link.write_all(&header).await.map_err(unavailable)?;
        }
        let start = Start {
            greeted: self.greeted,
            offer: self.offer,
            hello: hello.to_vec(),
            bare_newline: self.policy.bare_newline,
            host: self.policy.hostname.clone(),
            introduce: key.identity.is_spoken().then(|| Box::new(facts)),
        };
        let mut from_backend = Inbox::default();
        let Some(mut opening) = Opening::new(key.protocol, start) else {
            visit.served();
            let (filter, to_client) = (None, Vec::new());
            return Ok(Way::On(Open { visit, link, filter, from_backend, to_client }));
        };
        let deadline = Instant::now() + timeouts.greeting;
        let talk = converse(&mut link, &mut opening, &mut from_backend, self.policy.line);
        match timeout_at(deadline, talk).await {
            Ok(Ok(Opened::Ready(to_client))) => {
                visit.served();
                let filter = Some(Box::new(opening.filter()));
                Ok(Way::On(Open { visit, link, filter, from_backend, to_client }))
            }
            Ok(Ok(Opened::Refused(words))) => Ok(Way::Done(words)),
            Ok(Ok(Opened::Deaf(why))) => Err(failed(Refusal::BackendUnavailable, why.into())),
            Ok(Ok(Opened::Garbage(why))) => Err(failed(Refusal::BackendGarbage, why.into())),
            Ok(Err(broken)) => Err(failed(Refusal::BackendUnavailable, broken.into())),
            Err(_) => Err(failed(Refusal::BackendUnavailable, "it does not greet".into())),
        }
    }

    /// All that is known of the client, in the measure in which this dialect can tell it.
    async fn facts(&self, identity: Identity) -> Facts {
        let has_name = identity == Identity::Xclient
            && matches!(self.policy.protocol, Protocol::Smtp | Protocol::Submission);
        Facts {
            name: if has_name { name::name(self.summary.peer.ip()).await } else { None },
            id: self.summary.id,
            peer: self.summary.peer,
            local: self.summary.local,
            hops: self.summary.via.as_ref().map_or(0, |via| via.hops),
            tls: self.summary.tls.clone(),
        }
    }

    /// Takes leave of the client in its protocol's words.
    async fn part<T, S>(&self, stream: &mut S, parting: Parting) -> Result<T, Parting>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let mut words = Vec::new();
        self.policy.farewell(parting.why, &mut words);
        take_leave(stream, &words, self.policy.timeouts.closing).await;
        Err(parting)
    }

    fn end(&self, outcome: Outcome) -> Result<End, Parting> {
        let phase = if self.summary.logged_in { Phase::Relay } else { Phase::Login };
        match outcome {
            Outcome::Closed(side) => Ok(End::Closed(side)),
            Outcome::Truncated => Ok(End::Truncated),
            Outcome::Refused(why) => Err(why.into()),
            Outcome::StartTls(_) => Err(Refusal::Unframeable.into()),
            Outcome::Failed(Side::Client, error) => {
                // Some clients look at the certificate only after the handshake.
                let asked = self.summary.tls.as_ref().and_then(|tls| tls.sni.as_deref());
                let why = handshake::explain(error, self.shown.as_ref(), asked);
                Err(Parting::new(Refusal::Timeout, phase, Blame::Client, why))
            }
            Outcome::Failed(Side::Backend, error) => {
                Err(Parting::new(Refusal::BackendUnavailable, phase, Blame::Backend, error))
            }
        }
    }
}

/// A backend that waits for the client's first command.
struct Open {
    /// Counts this session among the backend's.
    #[expect(dead_code, reason = "it is there to be dropped")]
    visit: Visit,
    link: Link,
    filter: Option<Box<SessionFilter>>,
    from_backend: Inbox,
    to_client: Vec<u8>,
}
