//! Sees to it that all certificates that are wanted are there, and stay good.

use std::{
    collections::HashMap, fs, os::unix::fs::MetadataExt, path::Path, sync::Arc, time::Duration,
};

use rustls::pki_types::CertificateDer;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};

use super::{
    Answers, Entry, Folder, Item, Job, Phase, Trouble, account, order::obtain, renewal, schedule,
    socket::Socket,
};
use crate::{
    certs::{self, Sources, now},
    values::Acme,
};

/// Machines are suspended, and clocks are set: nobody sleeps for longer than this.
const STEP: Duration = Duration::from_secs(30);

/// So many orders at a time.
const AT_ONCE: usize = 4;

/// Orders and renews what these settings want, until the sender of them is gone. Each certificate that
/// comes is told, so that it can be served; `None`: nothing is wanted.
pub async fn keep(
    mut settings: watch::Receiver<Option<Arc<Acme>>>,
    answers: Answers,
    arrived: mpsc::Sender<()>,
) {
    let mut keeper = Keeper { answers, known: HashMap::new(), under_way: HashMap::new() };
    let mut running: JoinSet<Done> = JoinSet::new();
    let mut hurry = true;
    let mut socket = None;
    loop {
        let wanted = settings.borrow_and_update().clone();
        if hurry {
            listen(&mut socket, wanted.as_deref(), &keeper.answers, &arrived);
        }
        let pause = match &wanted {
            Some(wanted) => keeper.begin(wanted, &mut running, std::mem::take(&mut hurry)),
            None => STEP,
        };
        tokio::select! {
            changed = settings.changed() => match changed {
                // Whoever reloads wants to know what becomes of it now.
                Ok(()) => hurry = true,
                Err(_) => return,
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
    let is_out = entry.phase == Phase::Revoked;
    is_out || due(&entry, held.as_ref(), item, &settings.directory, now()) == Due::Order
}

/// An end of something that was under way.
struct Done {
    item: Item,
    outcome: Result<Outcome, Trouble>,
}

enum Outcome {
    /// A certificate has come.
    Arrived,
    /// The authority has been asked when it is to be renewed.
    Asked,
    /// Somebody else is at it.
    Busy,
}

struct Keeper {
    answers: Answers,
    known: HashMap<String, (Stamp, Option<Arc<Held>>)>,
    /// By file, with the names.
    under_way: HashMap<String, Vec<String>>,
}

/// What is due for a certificate.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// It is ordered now.
    Order,
    /// The authority is asked now when it is to be renewed.
    Ask,
    /// Not before then.
    At(i64),
}

impl Keeper {
    /// Begins what is due, and tells how long nothing else will be.
    fn begin(
        &mut self,
        settings: &Arc<Acme>,
        running: &mut JoinSet<Done>,
        hurry: bool,
    ) -> Duration {
        let folder = Folder::of(settings);
        let now = now();
        let mut pause = STEP;
        if hurry {
            folder.sweep();
        }
        for item in Item::all(settings) {
            if self.under_way.contains_key(&item.id) {
                continue;
            }
            // Two orders at a time for one name would want two answers to one question.
            let is_asked = |name| self.under_way.values().any(|names| names.contains(name));
            if item.names.iter().any(is_asked) {
                continue;
            }
            let held = self.held(&folder.certificate(&item));
            let mut entry = Entry::read(&folder, &item);
            if hurry && entry.phase == Phase::Failed && !entry.limited {
                entry.next = None;
            }
            match due(&entry, held.as_deref(), &item, &settings.directory, now) {
                Due::At(when) => {
                    let seconds = u64::try_from(when - now).unwrap_or(0);
                    pause = pause.min(Duration::from_secs(seconds.max(1)));
                }
                _ if running.len() >= AT_ONCE => pause = pause.min(Duration::from_secs(1)),
                what => {
                    self.under_way.insert(item.id.clone(), item.names.clone());
                    let job = Job {
                        settings: settings.clone(),
                        item: item.clone(),
                        answers: self.answers.clone(),
                    };
                    running.spawn(async move {
                        let outcome = match (what, held) {
                            (Due::Ask, Some(held)) => ask(&job, &held).await,
                            _ => order(&job).await,
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
            Ok(Outcome::Arrived) => {
                tracing::info!(
                    names = item.names.join(", "),
                    key = item.key().name(),
                    "a certificate has come"
                );
                true
            }
            Ok(Outcome::Asked | Outcome::Busy) => false,
            Err(trouble) => {
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

type Stamp = Option<(u64, i64, i64, u64)>;

fn stamp(file: &Path) -> Stamp {
    let meta = fs::metadata(file).ok()?;
    Some((meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.len()))
}

/// A certificate that is there.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) leaf: CertificateDer<'static>,
    pub(super) names: Vec<String>,
    pub(super) valid: (i64, i64),
}

impl Held {
    /// The certificate in this file. `None`: there is none that could be served.
    pub(super) fn read(file: &Path) -> Option<Self> {
        if !file.exists() {
            return None;
        }
        let sources = Sources { certificates: vec![file.to_owned()], ..Sources::default() };
        let store = certs::load(&sources, None);
        let certificate = store.certificates.first()?;
        Some(Self {
            leaf: certificate.leaf().clone(),
            names: certificate.names().to_vec(),
            valid: certificate.valid(),
        })
    }

    /// A number that is its own: the last octet of its signature.
    fn share(&self) -> u8 {
        self.leaf.last().copied().unwrap_or_default()
    }
}

fn due(entry: &Entry, held: Option<&Held>, item: &Item, directory: &str, now: i64) -> Due {
    let is_same = entry.names == item.names && entry.directory == directory;
    if is_same {
        if entry.phase == Phase::Revoked {
            return Due::At(i64::MAX);
        }
        if entry.phase == Phase::Failed
            && let Some(next) = entry.next.filter(|next| *next > now)
        {
            return Due::At(next);
        }
    }
    let Some(held) = held.filter(|held| item.names.iter().all(|name| held.names.contains(name)))
    else {
        return Due::Order;
    };
    let own = schedule::renewal(held.valid, held.share());
    let renew = if is_same { entry.renew.unwrap_or(own) } else { own };
    // Whatever anybody advises, there has to be one.
    if renew <= now || held.valid.1 <= now {
        return Due::Order;
    }
    match entry.ask.filter(|_| is_same) {
        Some(ask) if ask > now => Due::At(ask.min(renew)),
        _ => Due::Ask,
    }
}

async fn order(job: &Job) -> Result<Outcome, Trouble> {
    Ok(obtain(job).await?.map_or(Outcome::Busy, |_| Outcome::Arrived))
}

/// Asks when this certificate is to be renewed, and writes it down.
async fn ask(job: &Job, held: &Held) -> Result<Outcome, Trouble> {
    let folder = Folder::of(&job.settings);
    folder.make()?;
    let advice = async {
        let (web, directory) = account::look(&job.settings).await?;
        renewal::advice(&web, &directory, &held.leaf).await
    };
    let advice = advice.await;
    let Some(_lock) = folder.lock(&job.item)? else { return Ok(Outcome::Busy) };
    // Somebody may have renewed or revoked it meanwhile.
    let is_same = Held::read(&folder.certificate(&job.item)).is_some_and(|h| h.leaf == held.leaf);
    if !is_same || Entry::read(&folder, &job.item).phase == Phase::Revoked {
        return Ok(Outcome::Busy);
    }
    let own = schedule::renewal(held.valid, held.share());
    let mut entry = Entry::read(&folder, &job.item);
    if entry.names != job.item.names || entry.directory != job.settings.directory {
        entry = Entry::default();
    }
    (entry.renew, entry.advised, entry.ask) = match &advice {
        Ok(Some(advice)) => {
            let renew = schedule::advised(advice.window, held.share());
            if entry.renew != Some(renew)
                && let Some(why) = &advice.why
            {
                tracing::info!(
                    names = job.item.names.join(", "),
                    why,
                    "the authority says when to renew"
                );
            }
            (Some(renew.min(held.valid.1)), true, Some(schedule::ask_again(now(), advice.good_for)))
        }
        Ok(None) => (Some(own), false, Some(schedule::ask_again(now(), None))),
        Err(trouble) => {
            // What was known goes on being good.
            tracing::debug!("the authority does not tell when to renew: {trouble}");
            (
                Some(entry.renew.unwrap_or(own)),
                entry.advised,
                Some(schedule::ask_again(now(), None)),
            )
        }
    };
    entry.phase = Phase::Fine;
    entry.names.clone_from(&job.item.names);
    entry.directory.clone_from(&job.settings.directory);
    entry.write(&folder, &job.item)?;
    Ok(Outcome::Asked)
}
