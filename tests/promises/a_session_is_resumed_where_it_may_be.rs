//! Tickets: under the name that they were given for, over a reload, with fresh key exchange, and no early
//! data.

use std::sync::Arc;

use rustls::{
    HandshakeKind, NamedGroup, SupportedProtocolVersion,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
        Tls13ClientSessionValue,
    },
    pki_types::ServerName,
};

use crate::{
    common::{
        ca::Kind,
        front::Front,
        mailhost::{Host, Talk},
        tls::{Client, NAME, VERSIONS},
    },
    stage::Stage,
};

const OTHER: &str = "other.example.org";

/// Says hello and good-bye, so that the tickets of TLS 1.3 have come; tells how the hands were shaken.
fn visit(client: &Client, front: &Front) -> HandshakeKind {
    let mut peer = client.enter(front.address(0));
    peer.until("* OK");
    Talk::Imap.log_out(&mut peer);
    assert_eq!(peer.rest(), "");
    peer.0.conn.handshake_kind().expect("shaken")
}

fn each_version(play: impl Fn(&Stage, &Front, Client, &SupportedProtocolVersion)) {
    for version in VERSIONS {
        let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
        stage.ca.leaf(&[OTHER], Kind::Ecdsa).certbot(&stage.live(OTHER));
        let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
        play(&stage, &front, Client::speaking(&stage.ca, &[version]), version);
    }
}

/// T14: with tickets, and they survive SIGHUP, also one that brings a new certificate.
#[test]
fn over_a_reload() {
    each_version(|stage, front, client, version| {
        assert_eq!(visit(&client, front), HandshakeKind::Full, "{version:?}");
        assert_eq!(visit(&client, front), HandshakeKind::Resumed, "{version:?}");
        front.reload();
        assert_eq!(visit(&client, front), HandshakeKind::Resumed, "{version:?}");
        stage.ca.leaf(&[NAME], Kind::Ecdsa).certbot(&stage.live(NAME));
        assert_eq!(front.reload()["renewed"], NAME);
        assert_eq!(visit(&client, front), HandshakeKind::Resumed, "{version:?}");
    });
}

/// T13: the summary says so.
#[test]
fn and_the_log_says_so() {
    each_version(|_, front, client, version| {
        for resumed in [false, true] {
            let mark = front.mark();
            visit(&client, front);
            assert_eq!(front.summary(mark)["resumed"], resumed, "{version:?}");
        }
    });
}

/// T9; RFC 6066 §3: never under another name, whichever tickets the client shows; then a full handshake.
#[test]
fn never_under_another_name() {
    each_version(|_, front, client, version| {
        let mut liar = client;
        liar.config.resumption = Resumption::store(Arc::new(OneDrawer::default()));
        assert_eq!(visit(&liar, front), HandshakeKind::Full, "{version:?}");
        assert_eq!(visit(&liar, front), HandshakeKind::Resumed, "the control, in {version:?}");
        assert_eq!(visit(&liar.asking(OTHER), front), HandshakeKind::Full, "{version:?}");
    });
}

/// Keeps all tickets in one place, and so shows one server what it got from another.
#[derive(Debug)]
struct OneDrawer(ClientSessionMemoryCache, ServerName<'static>);

impl Default for OneDrawer {
    fn default() -> Self {
        Self(ClientSessionMemoryCache::new(8), ServerName::try_from(NAME).unwrap())
    }
}

impl ClientSessionStore for OneDrawer {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(self.1.clone(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&self.1)
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(self.1.clone(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&self.1)
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&self.1);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(self.1.clone(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&self.1)
    }
}

/// T15: resumption in TLS 1.3 exchanges fresh keys: a stolen ticket key opens no recorded session.
#[test]
fn with_fresh_keys() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let client = stage.client();
    visit(&client, &front);
    let peer = client.enter(front.address(0));
    assert_eq!(peer.0.conn.handshake_kind(), Some(HandshakeKind::Resumed));
    assert!(peer.0.conn.negotiated_key_exchange_group().is_some());
}

/// T16; RFC 9325 §3.10: no ticket permits early data.
#[test]
fn and_without_early_data() {
    let (stage, host) = (Stage::set(), Host::polite(Talk::Imap));
    let front = stage.front(&[("imap", "implicit", host.backend.address)], "");
    let mut client = stage.client();
    client.config.enable_early_data = true;
    visit(&client, &front);
    let mut peer = client.enter(front.address(0));
    assert_eq!(peer.0.conn.handshake_kind(), Some(HandshakeKind::Resumed), "the control");
    assert!(peer.0.conn.early_data().is_none() && !peer.0.conn.is_early_data_accepted());
}
