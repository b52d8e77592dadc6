//! The task that sees to certificates which come by themselves.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::{
    acme::{self, Answers},
    certs::Challenges,
    values::Acme,
};

/// A hold on that task. It ends with this.
#[derive(Debug)]
pub(super) struct Certificates {
    wanted: watch::Sender<Option<Arc<Acme>>>,
    arrived: mpsc::Receiver<()>,
}

impl Certificates {
    /// Begins the task. It wants nothing yet.
    pub(super) fn new(challenges: Arc<Challenges>) -> Self {
        let (wanted, settings) = watch::channel(None);
        let (arriving, arrived) = mpsc::channel(1);
        tokio::spawn(acme::keep(settings, Answers::Here(challenges), arriving));
        Self { wanted, arrived }
    }

    /// What is wanted from now on. It looks at once, and tries again what has failed.
    pub(super) fn want(&self, settings: Option<&Acme>) {
        self.wanted.send_replace(settings.cloned().map(Arc::new));
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
