//! One order, from the first word with the authority to the certificate in its place.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier, NewOrder, Order,
    OrderStatus, RetryPolicy,
};
use tokio::{task::spawn_blocking, time::timeout};

use super::{
    Answers, Entry, Folder, Item, Kind, Phase, Source, Trouble,
    account::{self, Opened},
    answers::{Given, Question},
    folder::{failed, put, remove},
    held::Held,
    renewal,
};
use crate::{
    certs::{
        Name, Policy,
        import::{Parts, combine},
        issue::{self, KeySource, NewKey, Subject, new_key, pkcs8, spki},
        now,
        tlsa::{Records, Service},
    },
    values::{Acme, Challenge, NextKey, OrderedKey},
};

/// Something to order.
#[derive(Clone, Debug)]
pub struct Job {
    /// Where, and how.
    pub settings: Arc<Acme>,
    /// What.
    pub item: Item,
    /// Who answers the authority.
    pub answers: Answers,
    /// What DNS says of keys.
    pub dane: Arc<Records>,
}

/// The longest that an order may take, besides its hook.
const WHOLE: Duration = Duration::from_secs(15 * 60);

/// How often an order is gone on with that has failed for its nonces alone.
const STUBBORN: u32 = 3;

/// The longest address of an order that is written down.
const LONGEST_ADDRESS: usize = 2048;

/// How an authority is asked how far it is.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(300))
    .backoff(1.5)
    .timeout(Duration::from_secs(5 * 60));

/// Orders it, and puts the certificate in its place. `None`: somebody else is at it.
///
/// How far it has come is written down; so is what went wrong.
pub async fn obtain(job: &Job) -> Result<Option<PathBuf>, Trouble> {
    let folder = Folder::of(&job.settings);
    folder.make()?;
    let Some(lock) = folder.lock_soon(&job.item).await? else { return Ok(None) };
    let mut entry = Entry::read(&folder, &job.item).about(&job.item, &Source::of(&job.settings));
    entry.phase = Phase::Ordered;
    entry.write(&folder, &job.item)?;
    let patience = match &job.settings.challenge {
        Challenge::Dns01 { timeout, .. } => {
            WHOLE + 2 * *timeout * u32::try_from(job.item.names.len()).unwrap_or(u32::MAX)
        }
        _ => WHOLE,
    };
    let mut work = Work { job, folder: &folder, entry: &mut entry };
    let outcome = timeout(patience, work.stubbornly()).await;
    let outcome =
        outcome.unwrap_or_else(|_| Err(Trouble::passing("the order does not come to an end")));
    match &outcome {
        Ok(file) => entry.come(Held::read(file).map_or((0, 0), |held| held.valid), now()),
        Err(trouble) => entry.fail(trouble, now()),
    }
    entry.write(&folder, &job.item)?;
    drop(lock);
    outcome.map(Some)
}

struct Work<'a> {
    job: &'a Job,
    folder: &'a Folder,
    entry: &'a mut Entry,
}

impl Work<'_> {
    /// Goes on where the authority has taken none of several nonces in a row, which some do on purpose.
    async fn stubbornly(&mut self) -> Result<PathBuf, Trouble> {
        for _ in 0..STUBBORN {
            match self.go().await {
                Err(trouble) if trouble.is("badNonce") => {}
                outcome => return outcome,
            }
        }
        self.go().await
    }

    async fn go(&mut self) -> Result<PathBuf, Trouble> {
        let settings = &self.job.settings;
        let opened = account::open(settings, self.folder).await?;
        let mut order = self.order(&opened).await.map_err(|e| opened.told(e))?;
        self.entry.order = Some(order.url().to_owned()).filter(|url| url.len() <= LONGEST_ADDRESS);
        self.entry.write(self.folder, &self.job.item)?;
        let key = self.key().await?;

        if order.state().status == OrderStatus::Pending {
            let mut given = Vec::new();
            let proven = self.prove(&mut order, &opened, &mut given).await;
            for given in given {
                given.withdraw().await;
            }
            proven?;
        }
        if order.state().status == OrderStatus::Ready {
            let request = self.request(key.clone()).await?;
            order.finalize_csr(&request).await.map_err(|e| opened.told(e))?;
        }
        let chain = order.poll_certificate(&POLLING).await.map_err(|e| opened.told(e))?;
        self.keep(chain, key).await
    }

    /// The order that was under way, or a new one.
    async fn order(&self, opened: &Opened) -> Result<Order, Error> {
        if let Some(address) = &self.entry.order
            && let Ok(mut order) = opened.account.order(address.clone()).await
            && order.state().status != OrderStatus::Invalid
        {
            return Ok(order);
        }
        let identifiers: Vec<Identifier> =
            self.job.item.names.iter().map(|n| identifier(n)).collect();
        let new = || {
            let new = NewOrder::new(&identifiers);
            match &self.job.settings.profile {
                Some(profile) => new.profile(profile),
                None => new,
            }
        };
        if let Some(id) = self.replaced(opened) {
            match place(opened, &new().replaces(id)).await {
                // It may have been replaced already, which is no reason to go without.
                Err(Error::Api(problem)) if Trouble::said(&problem).kind == Kind::Refused => {
                    tracing::debug!("an order that replaces another is not taken: {problem}");
                }
                placed => return placed,
            }
        }
        place(opened, &new()).await
    }

    /// The certificate whose place the ordered one takes: RFC 9773 §5.
    fn replaced(&self, opened: &Opened) -> Option<CertificateIdentifier<'static>> {
        opened.directory.renewal_info.as_ref()?;
        let is_theirs = |from: &Source| from.directory == self.job.settings.directory;
        if !self.entry.held_from.as_ref().is_none_or(is_theirs) {
            return None;
        }
        let held = Held::read(&self.folder.certificate(&self.job.item))?;
        let name = renewal::name(&held.leaf).ok()?;
        let (authority, serial) = name.split_once('.')?;
        Some(CertificateIdentifier {
            authority_key_identifier: authority.to_owned().into(),
            serial: serial.to_owned().into(),
        })
    }

    /// Shows that the names are ours.
    async fn prove(
        &self,
        order: &mut Order,
        opened: &Opened,
        given: &mut Vec<Given>,
    ) -> Result<(), Trouble> {
        let how = &self.job.settings.challenge;
        let kind = match how {
            Challenge::Http01 => ChallengeType::Http01,
            Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            Challenge::Dns01 { .. } => ChallengeType::Dns01,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(|e| opened.told(e))?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = plain(authorization.identifier().identifier);
            let Some(mut challenge) = authorization.challenge(kind.clone()) else {
                return Err(Trouble::ours(format!(
                    "{name}: the authority does not offer {}: choose another `challenge`",
                    how.name()
                )));
            };
            let answer = challenge.key_authorization();
            let question = Question {
                identifier: &name,
                token: &challenge.token,
                authorization: answer.as_str(),
                record: answer.dns_value(),
            };
            given.push(self.job.answers.give(how, &question).await?);
            challenge.set_ready().await.map_err(|e| opened.told(e).about(&name))?;
        }
        match order.poll_ready(&POLLING).await {
            Ok(OrderStatus::Ready) => Ok(()),
            // The order says less than the names in it.
            Ok(_) | Err(Error::Api(_)) => Err(self.refused(order).await),
            Err(other) => Err(opened.told(other)),
        }
    }

    /// Which name is not believed to be ours, and why.
    async fn refused(&self, order: &mut Order) -> Trouble {
        let whole = order.state().error.as_ref().map(Trouble::said);
        let mut reasons = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            let name = plain(authorization.identifier().identifier);
            if let Ok(state) = authorization.refresh().await {
                let errors = state.challenges.iter().filter_map(|c| c.error.as_ref());
                reasons.extend(errors.map(|error| Trouble::said(error).about(&name)));
            }
        }
        let mut reasons = reasons.into_iter();
        match (reasons.next(), whole) {
            (Some(mut first), _) => {
                for other in reasons {
                    first.text = format!("{}; {}", first.text, other.text);
                }
                first
            }
            (None, Some(whole)) => whole,
            (None, None) => {
                Trouble::passing("the order has become invalid, and no reason is given")
            }
        }
    }

    /// The file with the key that the certificate is to have. It is there before it is asked for.
    async fn key(&self) -> Result<PathBuf, Trouble> {
        let certificate = self.folder.certificate(&self.job.item);
        let may_stay = self.job.settings.next_key == NextKey::Same && !self.entry.revoked;
        if may_stay && certificate.exists() {
            return Ok(certificate);
        }
        let file = self.folder.next_key(&self.job.item);
        let is_used = certificate.exists()
            && matches!((pkcs8(&certificate), pkcs8(&file)), (Ok(one), Ok(other)) if one == other);
        if is_used {
            // We were cut off between the certificate's arrival and the key's removal.
            remove(&file)?;
        }
        if !file.exists() {
            self.make_key(&file).await?;
        }
        if !self.entry.revoked
            && let Some(service) = self.unknown(&file)
            && certificate.exists()
            && self.unknown(&certificate).is_none()
        {
            // Mail servers that use DANE would turn away. The next key goes on waiting.
            tracing::warn!(
                names = self.job.item.names.join(", "),
                "the next key is not in DNS yet ({service} knows only the one before), so the one before is used once more: `vestibule dns` has the record to publish, which belongs into `dane` as well"
            );
            return Ok(certificate);
        }
        Ok(file)
    }

    /// The service whose TLSA records say that nobody is to be shown this key.
    fn unknown(&self, file: &std::path::Path) -> Option<&Service> {
        if self.job.dane.is_empty() {
            return None;
        }
        let spki = spki(file).ok()?;
        self.job.dane.unknown_key(&self.job.item.names, &spki)
    }

    async fn make_key(&self, file: &std::path::Path) -> Result<(), Trouble> {
        let kind = match self.job.item.key() {
            OrderedKey::Ecdsa => NewKey::Ecdsa,
            OrderedKey::Rsa2048 => NewKey::Rsa2048,
        };
        let key = blocking(move || new_key(kind).map_err(|e| Trouble::ours(e.to_string()))).await?;
        put(file, &key)
    }

    async fn request(&self, key: PathBuf) -> Result<Vec<u8>, Trouble> {
        let names: Result<Vec<Name>, String> =
            self.job.item.names.iter().map(|name| name.parse()).collect();
        let names = names.map_err(Trouble::ours)?;
        blocking(move || {
            issue::request(&names, &Subject::default(), KeySource::File(&key))
                .map(|request| request.der)
                .map_err(|e| Trouble::ours(e.to_string()))
        })
        .await
    }

    /// Looks at what has come, and puts it in its place with its key.
    async fn keep(&self, chain: String, key: PathBuf) -> Result<PathBuf, Trouble> {
        let certificate = self.folder.certificate(&self.job.item);
        let (place, id) = (certificate.clone(), self.job.item.id.clone());
        let key_was_next = key != certificate;
        let whole = blocking(move || {
            let folder = place.parent().unwrap_or(&place).to_owned();
            let received = folder.join(format!(".{id}.received"));
            put(&received, &chain)?;
            // What the configuration thinks of it, whoever loads it will say.
            let policy = &Policy::default();
            let (certificate, key) = (received.as_path(), key.as_path());
            let parts = Parts { key, certificate, chain: &[], intermediates: &[], policy };
            let combined = combine(parts, &folder).map_err(failed(&folder));
            let _ = fs::remove_file(&received);
            combined
        })
        .await?;
        let findings = whole.findings;
        let Some(whole) = whole.whole else {
            let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
            let said = said.join("; ");
            return Err(Trouble::useless(format!(
                "what the authority has sent cannot be used: {said}"
            )));
        };
        let (old, new) = (Held::read(&certificate), Held::of(&whole.certificate));
        if let Some(why) = new.unfit(&self.job.item.names, old.as_ref(), now()) {
            return Err(Trouble::useless(format!("the certificate that the authority sent {why}")));
        }
        put(&certificate, &whole.text)?;
        let next = self.folder.next_key(&self.job.item);
        if key_was_next {
            remove(&next)?;
        }
        if !next.exists() && self.job.settings.next_key == NextKey::Staged {
            self.make_key(&next).await?;
        }
        Ok(certificate)
    }
}

/// Places an order. What the authority says of it may be less than RFC 9773 §5 wants of it; one that has
/// an address is one all the same, and must not be placed again.
async fn place(opened: &Opened, order: &NewOrder<'_>) -> Result<Order, Error> {
    let before = opened.web.aside().made;
    let placed = opened.account.new_order(order).await;
    let made = opened.web.aside().made.filter(|made| before.as_ref() != Some(made));
    match (placed, made) {
        (Err(_), Some(made)) => opened.account.order(made).await,
        (placed, _) => placed,
    }
}

fn identifier(name: &str) -> Identifier {
    name.parse().map_or_else(|_| Identifier::Dns(name.to_owned()), Identifier::Ip)
}

fn plain(identifier: &Identifier) -> String {
    identifier.authorized(false).to_string()
}

/// What takes a core for a while.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<T, Trouble> {
    spawn_blocking(work).await.unwrap_or_else(|e| Err(Trouble::ours(e.to_string())))
}
