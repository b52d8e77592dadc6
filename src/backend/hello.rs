//! Whether TLS comes first at a backend that has not said a word to us.

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::{io::AsyncWriteExt, time::timeout};

use super::{Key, dial};
use crate::{identity::Facts, tls, values::Timeouts, wire::Link};

/// A server that speaks TLS answers a ClientHello at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends a ClientHello on a connection of its own, behind a PROXY header where there is one. `None`: it
/// could not be tried. Nothing is said inside TLS, and the certificate does not matter.
pub(super) async fn begins_with_tls(
    who: fn(&Link) -> Facts,
    key: &Key,
    host: &str,
    timeouts: &Timeouts,
) -> Option<bool> {
    let (config, _) = tls::witness(&[]).ok()?;
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let mut link = dial(&key.target, timeouts.connect).await.ok()?;
    let header = key.identity.header(&who(&link));
    link.write_all(&header).await.ok()?;
    match timeout(timeouts.greeting.min(PATIENCE), link.secure(config, name)).await {
        Ok(Ok(_)) => Some(true),
        Ok(Err(error)) => {
            let error = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
            // An alert is an answer in TLS, too; words in clear are none.
            Some(error.is_some_and(|e| !matches!(e, rustls::Error::InvalidMessage(_))))
        }
        Err(_) => Some(false),
    }
}
