//! What the authority says about the right moment: RFC 9773.

use std::time::{Duration, SystemTime};

use instant_acme::{CertificateIdentifier, RenewalInfo};
use rustls::pki_types::CertificateDer;

use super::{
    Entry, Folder, Item, Job, Phase, Source, Trouble, account,
    directory::{Directory, understood},
    held::Held,
    http::{Web, wait},
    report::moment,
    schedule,
};
use crate::certs::now;

/// A window that the authority suggests.
pub(super) struct Advice {
    /// From when to when, in seconds since 1970.
    pub(super) window: (i64, i64),
    /// A page that says why.
    pub(super) why: Option<String>,
    /// How long the answer is good for.
    pub(super) good_for: Option<Duration>,
}

/// What the authority suggests for this certificate. `None`: it makes no suggestions.
pub(super) async fn advice(
    web: &Web,
    directory: &Directory,
    certificate: &CertificateDer<'_>,
) -> Result<Option<Advice>, Trouble> {
    let Some(address) = &directory.renewal_info else { return Ok(None) };
    let id = name(certificate)?;
    let answer = web.get(&format!("{}/{id}", address.trim_end_matches('/'))).await?;
    let good_for = wait(answer.headers(), SystemTime::now());
    let told: RenewalInfo = understood(answer).await?;
    let window = &told.suggested_window;
    if window.start >= window.end {
        // RFC 9773 §4.2.
        return Err(Trouble::passing("the authority's window for renewal ends before it begins"));
    }
    Ok(Some(Advice {
        window: (window.start.unix_timestamp(), window.end.unix_timestamp()),
        why: told.explanation_url,
        good_for,
    }))
}

/// What this certificate is called: RFC 9773 §4.1.
pub(super) fn name(certificate: &CertificateDer<'_>) -> Result<String, Trouble> {
    let name = CertificateIdentifier::try_from(certificate).map_err(Trouble::ours)?;
    Ok(name.to_string())
}

/// Asks when this certificate is to be renewed, and writes it down, unless somebody else is at it.
pub(super) async fn ask(job: &Job, held: &Held) -> Result<(), Trouble> {
    let folder = Folder::of(&job.settings);
    folder.make()?;
    let looked = async {
        let (web, directory) = account::look(&job.settings).await?;
        advice(&web, &directory, &held.leaf).await
    };
    let advice = looked.await;
    let Some(_lock) = folder.lock(&job.item)? else { return Ok(()) };
    // Somebody may have renewed or revoked it meanwhile.
    let is_same = Held::read(&folder.certificate(&job.item)).is_some_and(|h| h.leaf == held.leaf);
    let entry = Entry::read(&folder, &job.item);
    if !is_same || entry.revoked {
        return Ok(());
    }
    let own = schedule::renewal(held.valid, held.share());
    // Whatever is advised, there has to be time for some attempts.
    let latest = held.valid.1 - (held.valid.1 - held.valid.0) / 10;
    let mut entry = entry.about(&job.item, &Source::of(&job.settings));
    let is_new = entry.ask.is_none();
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
            (Some(renew.min(latest)), true, Some(schedule::ask_again(now(), advice.good_for)))
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
    entry.order = None;
    judge(&mut entry, is_new, &job.item, held.valid);
    entry.write(&folder, &job.item)?;
    Ok(())
}

/// Says what is odd, once, if it is to be renewed within the rest that each has when it comes: the next
/// one would be like it.
fn judge(entry: &mut Entry, is_new: bool, item: &Item, (from, to): (i64, i64)) {
    let is_early = entry.next.is_some_and(|next| entry.renew.is_some_and(|renew| renew < next));
    if !is_early {
        (entry.early, entry.reason) = (0, None);
        return;
    }
    if !is_new {
        return;
    }
    let why = if entry.advised {
        "the authority wants it to be renewed already".to_owned()
    } else {
        format!("it is to be renewed already, being valid from {} to {}", moment(from), moment(to))
    };
    let now = now();
    let odd = Trouble::useless(format!(
        "a certificate has only just come, and {why}: is this machine's clock right, which says {}?",
        moment(now)
    ));
    entry.too_early(&odd, now);
    tracing::warn!(
        names = item.names.join(", "),
        key = item.key().name(),
        "{odd} There is no other before {}",
        moment(entry.next.unwrap_or(now))
    );
}
