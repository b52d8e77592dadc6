//! Sees to it that all certificates that are wanted are there, and stay good.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet},
    time::sleep,
};

use super::{
    Answers, Entry, Folder, Item, Job, Phase, Source, Trouble,
    due::{Due, due},
    held::{Held, Stamp, stamp},
    order::obtain,
    published::withdraw_all,
    renewal::ask,
    schedule,
    socket::Socket,
};
use crate::{
    certs::{now, tlsa::Records},
    values::Acme,
};

/// Machines are suspended, and clocks are set: nobody sleeps for longer than this.
const STEP: Duration = Duration::from_secs(30);

/// So many orders at a time.
const AT_ONCE: usize = 4;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which certificates, and from whom.
    pub settings: Arc<Acme>,
    /// What DNS says of keys.
    pub dane: Arc<Records>,
}

/// Orders and renews what these settings want, until the sender of them is gone; what is under way then
/// is left, and goes on at the next start. Each certificate that comes is told, so that it can be
/// served; `None`: nothing is wanted.
pub async fn keep(
    mut settings: watch::Receiver<Option<Wanted>>,
    answers: Answers,
    arrived: mpsc::Sender<()>,
) {
    let mut keeper = Keeper {
        answers,
        settings: settings.clone(),
        known: HashMap::new(),
        under_way: HashMap::new(),
        resting: HashMap::new(),
        silence: None,
        eager: HashSet::new(),
    };
    let mut running: JoinSet<Done> = JoinSet::new();
    let mut hurry = Hurry::Start;
    let mut socket = None;
    loop {
        let wanted = settings.borrow_and_update().clone();
        if hurry != Hurry::No {
            listen(
                &mut socket,
                wanted.as_ref().map(|wanted| &*wanted.settings),
                &keeper.answers,
                &arrived,
            );
        }
        let pause = match &wanted {
            Some(wanted) => {
                keeper.begin(wanted, &mut running, std::mem::replace(&mut hurry, Hurry::No))
            }
            None => STEP,
        };
        let had_settings = wanted.is_some();
        tokio::select! {
            changed = settings.changed() => match changed {
                Ok(()) if had_settings => hurry = Hurry::Wanted,
                Ok(()) => hurry = Hurry::Start,
                Err(_) => break,
            },
            Some(done) = running.join_next(), if !running.is_empty() => {
                if let Ok(done) = done && keeper.end(done) {
                    // Somebody who is told already will see this one too.
                    let _ = arrived.try_send(());
                }
            }
            () = sleep(pause) => {}
        }
    }
    while running.join_next().await.is_some() {}
    let last = settings.borrow().clone();
    if let Some(wanted) = last {
        withdraw_all(&wanted.settings).await;
    }
}

/// Waits until nobody wants anything any more.
async fn end_of(mut settings: watch::Receiver<Option<Wanted>>) {
    while settings.changed().await.is_ok() {}
}

/// Listens for commands where these settings want it.
fn listen(
    socket: &mut Option<Socket>,
    wanted: Option<&Acme>,
    answers: &Answers,
    arrived: &mpsc::Sender<()>,
) {
    let path = wanted.map(|wanted| Folder::of(wanted).socket());
    if socket.as_ref().map(|socket| &socket.path) == path.as_ref() {
        return;
    }
    *socket = None;
    let (Some(wanted), Some(path), Answers::Here(challenges)) = (wanted, path, answers) else {
        return;
    };
    let made = Folder::of(wanted).make();
    match made.and_then(|()| Socket::listen(&path, challenges.clone(), arrived.clone())) {
        Ok(listening) => *socket = Some(listening),
        Err(trouble) => tracing::warn!("`vestibule acme` cannot use this front: {trouble}"),
    }
}

/// Whether this certificate is missing, or to be renewed now.
#[must_use]
pub fn needs(settings: &Acme, item: &Item) -> bool {
    let folder = Folder::of(settings);
    let held = Held::read(&folder.certificate(item));
    let entry = Entry { next: None, ..Entry::read(&folder, item) };
    entry.revoked || due(&entry, held.as_ref(), item, &Source::of(settings), now()) == Due::Order
}

/// An end of something that was under way: whether a certificate has come.
struct Done {
    item: Item,
    outcome: Result<bool, Trouble>,
}

struct Keeper {
    answers: Answers,
    settings: watch::Receiver<Option<Wanted>>,
    known: HashMap<String, (Stamp, Option<Arc<Held>>)>,
    /// By file, with the names.
    under_way: HashMap<String, Vec<String>>,
    /// What has failed: how often, and until when it is left alone. It is written down as well, where
    /// anything can be written.
    resting: HashMap<String, (u32, i64)>,
    /// Until when the authority is left alone, whatever is wanted of it.
    silence: Option<i64>,
    /// What has failed, and is tried again as soon as it can be.
    eager: HashSet<String>,
}

/// Why everything is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hurry {
    No,
    /// The front begins. It may have begun often, so what has just failed is left alone.
    Start,
    /// Somebody wants to know what becomes of it now.
    Wanted,
}

impl Keeper {
    /// Begins what is due, and tells how long nothing else will be.
    fn begin(&mut self, wanted: &Wanted, running: &mut JoinSet<Done>, hurry: Hurry) -> Duration {
        let settings = &wanted.settings;
        let (folder, source) = (Folder::of(settings), Source::of(settings));
        let now = now();
        let mut pause = STEP;
        match hurry {
            Hurry::No => {}
            Hurry::Start => {
                folder.sweep();
                let settings = settings.clone();
                tokio::spawn(async move { withdraw_all(&settings).await });
            }
            Hurry::Wanted => {
                self.resting.clear();
                self.silence = None;
            }
        }
        for item in Item::all(settings) {
            let mut entry = Entry::read(&folder, &item);
            let since = now - entry.failed_at.unwrap_or(0);
            let is_eager = match hurry {
                Hurry::No => false,
                Hurry::Start => since > i64::from(entry.failures.min(60)) * 60,
                Hurry::Wanted => true,
            };
            if is_eager && entry.phase == Phase::Failed && !entry.limited {
                self.eager.insert(item.id.clone());
            }
            if self.under_way.contains_key(&item.id) {
                continue;
            }
            // Two orders at a time for one name would want two answers to one question.
            let is_asked = |name| self.under_way.values().any(|names| names.contains(name));
            if item.names.iter().any(is_asked) {
                continue;
            }
            let held = self.held(&folder.certificate(&item));
            if self.eager.contains(&item.id) {
                entry.next = None;
            }
            let resting = self.resting.get(&item.id).map(|(_, until)| *until).max(self.silence);
            let is_due = due(&entry, held.as_deref(), &item, &source, now);
            let is_due = match resting.filter(|until| schedule::is_ahead(*until, now)) {
                Some(until) if !matches!(is_due, Due::At(_)) => Due::At(until),
                _ => is_due,
            };
            match is_due {
                Due::At(when) => {
                    let seconds = u64::try_from(when - now).unwrap_or(0);
                    pause = pause.min(Duration::from_secs(seconds.max(1)));
                }
                _ if running.len() >= AT_ONCE => pause = pause.min(Duration::from_secs(1)),
                what => {
                    self.eager.remove(&item.id);
                    self.under_way.insert(item.id.clone(), item.names.clone());
                    let job = Job {
                        settings: settings.clone(),
                        item: item.clone(),
                        answers: self.answers.clone(),
                        dane: wanted.dane.clone(),
                    };
                    // On a task of its own, so that a panic ends that alone, and is told.
                    let mut work = tokio::spawn(async move {
                        match (what, held) {
                            (Due::Ask, Some(held)) => ask(&job, &held).await.map(|()| false),
                            _ => obtain(&job).await.map(|file| file.is_some()),
                        }
                    });
                    let end = end_of(self.settings.clone());
                    running.spawn(async move {
                        let failed = |e: JoinError| Err(Trouble::ours(e.to_string()));
                        let outcome = tokio::select! {
                            outcome = &mut work => outcome.unwrap_or_else(failed),
                            () = end => {
                                work.abort();
                                let _ = work.await;
                                Ok(false)
                            }
                        };
                        Done { item, outcome }
                    });
                }
            }
        }
        pause
    }

    /// Whether a certificate has come.
    fn end(&mut self, done: Done) -> bool {
        let Done { item, outcome } = done;
        self.under_way.remove(&item.id);
        match outcome {
            Ok(true) => {
                self.resting.remove(&item.id);
                self.silence = None;
                tracing::info!(
                    names = item.names.join(", "),
                    key = item.key().name(),
                    "a certificate has come"
                );
                true
            }
            Ok(false) => false,
            Err(trouble) => {
                let (times, until) = self.resting.entry(item.id.clone()).or_default();
                *times = times.saturating_add(1);
                *until = now() + schedule::back_off(&trouble, *times);
                let silence = schedule::silence(&trouble, *times).map(|seconds| now() + seconds);
                self.silence = self.silence.max(silence);
                tracing::warn!(
                    names = item.names.join(", "),
                    key = item.key().name(),
                    "no certificate yet: {trouble}"
                );
                false
            }
        }
    }

    fn held(&mut self, file: &Path) -> Option<Arc<Held>> {
        let stamp = stamp(file);
        let name = file.to_string_lossy().into_owned();
        match self.known.get(&name) {
            Some((known, held)) if *known == stamp => held.clone(),
            _ => {
                let held = Held::read(file).map(Arc::new);
                self.known.insert(name, (stamp, held.clone()));
                held
            }
        }
    }
}
