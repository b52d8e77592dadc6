//! The name of a client's address, as the system's resolver has it. The only user of `dns-lookup`.

use std::{
    net::{IpAddr, ToSocketAddrs},
    time::Duration,
};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// How long a client waits for its name. Postfix would wait longer; a backend that is told of a name
/// that could not be had for now still takes the mail.
const PATIENCE: Duration = Duration::from_secs(2);

/// So many lookups at a time: each holds a thread, also after nobody waits for it any more.
static LOOKUPS: Semaphore = Semaphore::const_new(64);

/// The name of an address, if it can be had soon and leads back to the address: whoever has the
/// address block writes the name, and whoever has the name has to agree.
pub(super) async fn name(address: IpAddr) -> Option<String> {
    let address = address.to_canonical();
    let lookup = async {
        let permit = LOOKUPS.acquire().await.ok()?;
        let lookup = spawn_blocking(move || {
            let _permit = permit;
            confirmed(address)
        });
        lookup.await.ok()?
    };
    timeout(PATIENCE, lookup).await.ok()?
}

fn confirmed(address: IpAddr) -> Option<String> {
    let name = dns_lookup::lookup_addr(&address).ok()?;
    let name = name.strip_suffix('.').unwrap_or(&name);
    if !is_name(name) {
        return None;
    }
    let mut addresses = (name, 0).to_socket_addrs().ok()?;
    addresses.any(|to| to.ip().to_canonical() == address).then(|| name.to_owned())
}

/// Whether it is a host's name (RFC 1123 §2.1) and no address in disguise. Some have underscores.
fn is_name(name: &str) -> bool {
    let fit = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(fit);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_hosts_name_or_none() {
        for name in ["localhost", "mail.example.org", "a_b.example", "1.example"] {
            assert!(is_name(name), "{name}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for name in
            ["", ".", "a..b", "192.0.2.1", "2001:db8::1", "a b", "a\nb", "a=b", long.as_str()]
        {
            assert!(!is_name(name), "{name:?}");
        }
    }

    #[tokio::test]
    async fn the_systems_own_name_leads_back() {
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let expected = dns_lookup::lookup_addr(&loopback).ok();
        assert_eq!(name(loopback).await, expected, "what the hosts file says");
        // RFC 5737: nobody's address has no name.
        assert_eq!(name(IpAddr::from([192, 0, 2, 1])).await, None);
    }
}
