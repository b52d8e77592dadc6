//! The task that sees to certificates which come by themselves.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::{
    acme::{self, Answers, Wanted},
    certs::Challenges,
    config::Config,
    protocol::Protocol,
    values::{Acme, Challenge, TlsMode},
};

/// A hold on that task. It ends with this.
#[derive(Debug)]
pub(super) struct Certificates {
    wanted: watch::Sender<Option<Wanted>>,
    arrived: mpsc::Receiver<()>,
}

impl Certificates {
    /// Begins the task. It wants nothing yet; it lets go of `alive` once it has come to its end.
    pub(super) fn new(challenges: Arc<Challenges>, alive: mpsc::Sender<()>) -> Self {
        let (wanted, settings) = watch::channel(None);
        let (arriving, arrived) = mpsc::channel(1);
        tokio::spawn(async move {
            acme::keep(settings, Answers::Here(challenges), arriving).await;
            drop(alive);
        });
        Self { wanted, arrived }
    }

    /// What is wanted from now on. It looks at once, and tries again what has failed.
    pub(super) fn want(&self, config: &Config) {
        let wanted = config.acme.as_ref().map(|settings| Wanted {
            settings: Arc::new(settings.clone()),
            // The file has been read, a moment ago, with the rest.
            dane: Arc::new(config.dane.read().unwrap_or_else(|_| config.dane.records.clone())),
        });
        self.wanted.send_replace(wanted);
    }

    /// Waits for a certificate that is to be served.
    pub(super) async fn arrived(&mut self) {
        match self.arrived.recv().await {
            Some(()) => {}
            // The task is gone; nothing will come any more.
            None => std::future::pending().await,
        }
    }
}

/// Whether an authority comes to such a listener to see that a name is ours: then it is opened, be
/// there a backend behind it or not.
pub(super) fn is_looked_at(acme: Option<&Acme>, protocol: Protocol, tls: TlsMode) -> bool {
    let wanted = match acme.map(|acme| &acme.challenge) {
        Some(Challenge::Http01) => TlsMode::None,
        Some(Challenge::TlsAlpn01) => TlsMode::Implicit,
        Some(Challenge::Dns01 { .. }) | None => return false,
    };
    protocol == Protocol::Http && tls == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_that_an_authority_looks_at_are_opened() {
        let text =
            "backend: 10.0.0.5\nacme: { agree_to_terms: true, domains: a.example, challenge: ";
        let acme =
            |challenge: &str| Config::parse(&format!("{text}{challenge} }}\n")).unwrap().acme;
        let looked = |challenge| {
            let acme = acme(challenge);
            [
                is_looked_at(acme.as_ref(), Protocol::Http, TlsMode::None),
                is_looked_at(acme.as_ref(), Protocol::Http, TlsMode::Implicit),
                is_looked_at(acme.as_ref(), Protocol::Imap, TlsMode::Implicit),
            ]
        };
        assert_eq!(looked("http-01"), [true, false, false]);
        assert_eq!(looked("tls-alpn-01"), [false, true, false]);
        assert_eq!(looked("dns-01, hook: /hook"), [false, false, false]);
        assert!(!is_looked_at(None, Protocol::Http, TlsMode::None));
    }
}
