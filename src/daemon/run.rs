//! The life of the process.

use std::{path::PathBuf, pin::pin, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::{Instant, interval_at},
};

use super::{Loaded, Unfit, backends::Backends, certificates::Certificates, service::Service};

/// SIGHUP, taken. Until then it ends a process; and who renews certificates sends it when it likes, also
/// while the front loads them for the first time.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Takes the signal from now on. It counts once something is served.
    pub fn take() -> Result<Self, Unfit> {
        Ok(Self(receive(SignalKind::hangup())?))
    }
}

fn receive(kind: SignalKind) -> Result<Signal, Unfit> {
    signal(kind).map_err(|e| Unfit::from(format!("signals cannot be received: {e}")))
}

/// Serves until it is told to stop. `first` is what was loaded from `file`; `ready` is called once
/// clients can come.
pub async fn run(
    file: PathBuf,
    first: Loaded,
    hangups: Hangups,
    ready: impl FnOnce(),
) -> Result<(), Unfit> {
    let mut signals = Signals::new(hangups)?;
    let (config, upstreams) = (first.config.clone(), first.upstreams.clone());
    let backends = Arc::new(Backends::new(&config, &upstreams));
    let mut service = Service::start(file, first, backends.clone())?;
    let mut again = false;
    let mut met = pin!(backends.meet(&config, &upstreams));
    loop {
        tokio::select! {
            () = &mut met => break,
            told = signals.next() => match told {
                Told::Stop => return Ok(()),
                Told::Reload => again = true,
            },
        }
    }
    service.open();
    tracing::info!("ready");
    ready();
    service.say_ready();
    service.prove();

    let mut certificates = Certificates::new(service.challenges(), service.alive());
    certificates.want(service.config());
    let mut next = again.then_some(Why::Signal);
    let mut reload: Option<Reload> = None;
    let mut day = interval_at(Instant::now() + DAY, DAY);
    loop {
        // What comes during a reload is answered by one more.
        if reload.is_none()
            && let Some(why) = next.take()
        {
            reload = Some((why, tokio::spawn(service.begin_reload(why))));
        }
        tokio::select! {
            _ = day.tick() => service.remind(),
            told = signals.next() => match told {
                Told::Stop => break,
                Told::Reload => next = Some(Why::Signal),
            },
            () = certificates.arrived() => next = next.or(Some(Why::Renewal)),
            loaded = finished(&mut reload) => {
                let why = reload.take().map(|(why, _)| why);
                service.reload(loaded);
                if why == Some(Why::Signal) {
                    certificates.want(service.config());
                }
            }
        }
    }
    drop(certificates);
    service.drain(async || signals.stop().await).await;
    Ok(())
}

/// How often it is said that certificates expire.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Reload = (Why, JoinHandle<Result<Loaded, Unfit>>);

/// What something is loaded again for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Somebody wants it.
    Signal,
    /// A certificate has come by itself.
    Renewal,
}

/// The end of a reload that is under way; never, if none is.
async fn finished(reload: &mut Option<Reload>) -> Result<Loaded, Unfit> {
    match reload {
        None => std::future::pending().await,
        Some((_, handle)) => {
            handle.await.unwrap_or_else(|e| Err(Unfit::from(format!("loading failed: {e}"))))
        }
    }
}

/// What a signal tells.
enum Told {
    Reload,
    Stop,
}

struct Signals {
    hup: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    fn new(Hangups(hup): Hangups) -> Result<Self, Unfit> {
        let (term, int) = (SignalKind::terminate(), SignalKind::interrupt());
        Ok(Self { hup, term: receive(term)?, int: receive(int)? })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hup.recv() => Told::Reload,
            _ = self.term.recv() => Told::Stop,
            _ = self.int.recv() => Told::Stop,
        }
    }

    /// Waits for a signal to stop.
    async fn stop(&mut self) {
        while let Told::Reload = self.next().await {}
    }
}
