//! The life of the process.

use std::{path::PathBuf, pin::pin, sync::Arc, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::{Instant, interval_at},
};

use super::{Loaded, Unfit, backends::Backends, service::Service};

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

    let mut reload: Option<Reload> = again.then(|| tokio::spawn(service.begin_reload()));
    again = false;
    let mut day = interval_at(Instant::now() + DAY, DAY);
    loop {
        tokio::select! {
            _ = day.tick() => service.remind(),
            told = signals.next() => match told {
                Told::Stop => break,
                // Signals that come during a reload are answered by one more.
                Told::Reload if reload.is_some() => again = true,
                Told::Reload => reload = Some(tokio::spawn(service.begin_reload())),
            },
            loaded = finished(&mut reload) => {
                service.reload(loaded);
                reload = std::mem::take(&mut again).then(|| tokio::spawn(service.begin_reload()));
            }
        }
    }
    service.drain(async || signals.stop().await).await;
    Ok(())
}

/// How often it is said that certificates expire.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

type Reload = JoinHandle<Result<Loaded, Unfit>>;

/// The end of a reload that is under way; never, if none is.
async fn finished(reload: &mut Option<Reload>) -> Result<Loaded, Unfit> {
    match reload {
        None => std::future::pending().await,
        Some(handle) => {
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
