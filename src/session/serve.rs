//! The life of a session.

use std::{net::SocketAddr, sync::Weak, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::{
    End, House, Policy, Summary,
    handshake::{self, Shaken, Unshaken},
    open::{Errand, Open},
    relay::{self, Clock, Outcome, Relay},
    summary::Tried,
};
use crate::{
    certs::Certificate,
    error::{Blame, Phase, SessionError, is_disconnect},
    identity::{SessionId, TlsFacts},
    protocol::{Greeted, Greeter, Offer, Refusal, Refused, Side},
    values::{Stop, Timeouts, TlsMode},
    wire::{Broken, Client, Inbox, converse, take_leave},
};

/// How much later than all that it consists of a session's opening is given up.
const GRACE: Duration = Duration::from_secs(1);

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
    /// What the client agreed on with it, where its TLS ends there.
    pub tls: Option<Box<TlsFacts>>,
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
    // Whose TLS ends with the front before us has as much as it would get here.
    let is_inside = via.as_ref().is_some_and(|via| via.tls.is_some());
    let mut session = Session {
        policy,
        house,
        summary: Summary::new(id, peer, local, via),
        offer: if is_inside { Offer::TLS } else { policy.in_clear(peer.ip()) },
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

pub(super) struct Session<'a, F> {
    pub(super) policy: &'a Policy,
    pub(super) house: &'a House,
    pub(super) summary: Summary,
    /// What the client may be offered as things are now.
    offer: Offer,
    /// Whether the client has had a greeting.
    greeted: bool,
    /// The certificate that it was shown.
    pub(super) shown: Option<Weak<Certificate>>,
    pub(super) logged_in: Option<F>,
}

/// We end the session: what the client is told, and what went wrong, if anything did.
pub(super) struct Parting {
    why: Refusal,
    error: Option<SessionError>,
}

impl Parting {
    pub(super) fn new(
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
pub(super) enum Way<T, D = End> {
    On(T),
    Done(D),
}

impl<F: FnOnce()> Session<'_, F> {
    async fn live(&mut self, tcp: TcpStream) -> Result<End, Parting> {
        let clear = match self.policy.tls {
            TlsMode::Implicit => Way::On(WantsTls { tcp, glued: Inbox::default() }),
            TlsMode::None if self.policy.web.is_some() => {
                return self.browse(Client::Tcp(tcp)).await;
            }
            TlsMode::None => self.clear(tcp, Inbox::default(), Vec::new()).await?,
            TlsMode::Starttls | TlsMode::StarttlsOptional if self.offer == Offer::TLS => {
                self.clear(tcp, Inbox::default(), Vec::new()).await?
            }
            TlsMode::Starttls | TlsMode::StarttlsOptional => self.greet(tcp).await?,
        };
        let mut client = match clear {
            Way::On(wants_tls) => self.handshake(wants_tls).await?,
            Way::Done(end) => return Ok(end),
        };
        if self.policy.web.is_some() {
            return self.browse(client).await;
        }
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
    async fn forward(
        &mut self,
        client: &mut Client,
        from_client: &mut Inbox,
        hello: Vec<u8>,
    ) -> Result<Way<Inbox>, Parting> {
        // Boxed: what it takes to get there, a session need not keep for as long as it idles.
        let mut open = match Box::pin(self.reach(client, from_client, hello)).await? {
            Way::On(open) => open,
            Way::Done(end) => return Ok(Way::Done(end)),
        };
        let outcome = self.relay(client, &mut open, from_client).await;
        drop(open);
        match outcome {
            Outcome::StartTls(glued) => Ok(Way::On(glued)),
            outcome => {
                take_leave(client, b"", self.policy.timeouts.closing).await;
                self.end(outcome).map(Way::Done)
            }
        }
    }

    /// Opens a session with a backend, and tells the client what came of it.
    async fn reach(
        &mut self,
        client: &mut Client,
        from_client: &mut Inbox,
        hello: Vec<u8>,
    ) -> Result<Way<Open>, Parting> {
        let Timeouts { connect, greeting, .. } = self.policy.timeouts;
        // Whoever waits for a backend there is to see it fail: that is remembered of it.
        let deadline = Instant::now() + connect + greeting + GRACE;
        let mut tried = Tried::default();
        let errand = Errand {
            policy: self.policy,
            summary: &self.summary,
            offer: self.offer,
            greeted: self.greeted,
            hello,
        };
        let opened = self.within(deadline, Box::pin(errand.open(&mut tried))).await;
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
        Ok(Way::On(open))
    }

    pub(super) async fn relay(
        &mut self,
        client: &mut Client,
        open: &mut Open,
        from_client: &mut Inbox,
    ) -> Outcome {
        let timeouts = &self.policy.timeouts;
        let (filtered, renewed) = self.policy.patience();
        let has_login = open.filter.is_some();
        let relay = Relay {
            client,
            backend: &mut open.link,
            filter: open.filter.take(),
            from_client: std::mem::take(from_client),
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

    pub(super) fn end(&self, outcome: Outcome) -> Result<End, Parting> {
        // On the web ports nobody logs in that we could see.
        let is_past_login = self.summary.logged_in || self.policy.web.is_some();
        let phase = if is_past_login { Phase::Relay } else { Phase::Login };
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
