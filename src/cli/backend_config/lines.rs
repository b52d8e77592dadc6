//! The lines for each server's own configuration, by what its documentation says.

use serde::Serialize;

use super::places::{Door, Places};
use crate::{config::Preset, identity::Identity, protocol::Protocol};

/// Lines that belong into one file.
#[derive(Debug, Serialize)]
pub(super) struct Section {
    pub file: &'static str,
    pub lines: String,
}

/// What goes where, and what else should be known.
pub(super) fn advice(preset: Preset, places: &Places) -> (Vec<Section>, Vec<&'static str>) {
    let one = |file, lines| vec![Section { file, lines }];
    match preset {
        Preset::Dovecot => (one("/etc/dovecot/local.conf", dovecot(places)), DOVECOT.to_vec()),
        Preset::Exim => (one("Exim's main section", exim(places)), EXIM.to_vec()),
        Preset::OpenSmtpd => (one("smtpd.conf", opensmtpd(places)), OPENSMTPD.to_vec()),
        Preset::Postfix => (one("/etc/postfix/master.cf", postfix(places)), POSTFIX.to_vec()),
        Preset::Stalwart => (one("config.toml (up to 0.15)", stalwart(places)), STALWART.to_vec()),
        Preset::Cyrus => (one("/etc/cyrus.conf, SERVICES", cyrus(places)), CYRUS.to_vec()),
        Preset::Exchange => (Vec::new(), EXCHANGE.to_vec()),
        Preset::CommuniGate
        | Preset::Courier
        | Preset::IceWarp
        | Preset::Kerio
        | Preset::Sendmail => (Vec::new(), UNTOLD.to_vec()),
    }
}

const UNTOLD: &[&str] = &[
    "It is not known to take the PROXY protocol or anything like it: to this server every client is the front (identity: none).",
    "So the front's address must not be among those that it trusts: take it out of the lists of networks that may relay, or it is an open relay.",
    "SPF, greylisting, block lists and limits per address have nothing to go by here: exempt the front's address from them.",
];

const EXCHANGE: &[&str] = &[
    "Its receive connectors know neither the PROXY protocol nor XCLIENT: to them every client is the front (identity: none).",
    "No receive connector whose RemoteIPRanges hold the front's address may let anonymous senders relay (Ms-Exch-SMTP-Accept-Any-Recipient) or be ExternalAuthoritative.",
    "SPF, IP block lists and connection limits per source have nothing to go by here: exempt the front's address from them.",
];

const POSTFIX: &[&str] = &[
    "With postscreen on port 25: postscreen_upstream_proxy_protocol = haproxy in main.cf, and `postscreen` in place of `smtpd` in its line.",
    "Postfix has no list of fronts to trust: let nobody else reach these ports (a firewall, or a loopback address).",
    "Leave mynetworks as it is: it is judged on the client's own address.",
    "smtpd_tls_auth_only = no is right on these ports alone: the front takes credentials inside TLS only.",
    "Postfix does not read what the PROXY protocol says of TLS: Received: says `with ESMTP`.",
    "inet_protocols = ipv4 would refuse the headers of IPv6 clients: leave it at all.",
];

const DOVECOT: &[&str] = &[
    "In Dovecot 2.4, `address` is `listen`.",
    "A client that uses TLS with the front counts as secured.",
];

const EXIM: &[&str] = &[
    "It needs an Exim that was built with SUPPORT_PROXY: `exim -bV` lists PROXY (Debian: exim4-daemon-heavy has it, exim4-daemon-light does not).",
    "hosts_proxy counts for all of its ports: whoever comes from the front without a header is not served.",
    "Take the front's address out of relay_from_hosts (Debian: dc_relay_nets); a client's own address is judged.",
    "It knows nothing of the front's TLS, so it must advertise AUTH without (Debian: AUTH_SERVER_ALLOW_NOTLS_PASSWORDS = yes); the front takes credentials inside TLS only.",
];

const OPENSMTPD: &[&str] = &[
    "It has no list of fronts to trust: let nobody else reach these ports.",
    "It takes AUTH inside its own TLS alone, so the front has to speak TLS with it for submission; PKI stands for the name of a `pki` with its certificate.",
];

const STALWART: &[&str] = &[
    "From 0.16 on: proxyTrustedNetworks, in the web interface under Settings, Network, General.",
    "Whoever comes from a trusted network has to begin with a header, on all listeners, HTTP too.",
];

const CYRUS: &[&str] = &[
    "Only a Cyrus whose imapd(8) has the option -H knows the PROXY protocol (Debian 12's 3.6 does not). Without it, leave -H out: then every client is the front, for its log and for limits per address.",
    "With it, write `identity: proxy-v2` beside the preset.",
    "-H believes everybody who reaches the port: let nobody but the front do that.",
];

fn postfix(places: &Places) -> String {
    let line = |door: &Door| {
        let mut lines = format!("{} inet n - y - - smtpd\n", door.socket());
        if door.protocol == Protocol::Submission {
            lines.push_str("    -o syslog_name=postfix/submission\n");
        }
        if door.identity == Identity::ProxyV2 {
            lines.push_str("    -o smtpd_upstream_proxy_protocol=haproxy\n");
        }
        lines.push_str("    -o smtpd_tls_security_level=none\n");
        if door.protocol == Protocol::Submission {
            lines.push_str(
                "    -o smtpd_sasl_auth_enable=yes
    -o smtpd_tls_auth_only=no
    -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
    -o milter_macro_daemon_name=ORIGINATING\n",
            );
        }
        lines
    };
    places.doors.iter().map(line).collect()
}

fn dovecot(places: &Places) -> String {
    let mut lines = format!("haproxy_trusted_networks = {}\n", places.fronts.join(" "));
    for door in &places.doors {
        let (service, name) = match door.protocol {
            Protocol::Pop3 => ("pop3-login", "pop3"),
            Protocol::Sieve => ("managesieve-login", "sieve"),
            Protocol::Submission => ("submission-login", "submission"),
            _ => ("imap-login", "imap"),
        };
        let proxy = if door.identity == Identity::ProxyV2 { "    haproxy = yes\n" } else { "" };
        lines.push_str(&format!(
            "service {service} {{
  inet_listener {name} {{
    address = {}
    port = {}
{proxy}  }}
}}
",
            door.address, door.port
        ));
    }
    lines
}

fn exim(places: &Places) -> String {
    // With this separator, the colons of IPv6 need no doubling.
    let ports: Vec<String> = places.doors.iter().map(|door| door.port.to_string()).collect();
    format!(
        "hosts_proxy = <; {}\ndaemon_smtp_ports = {}\nlog_selector = +proxy\n",
        places.fronts.join(" ; "),
        ports.join(" : ")
    )
}

fn opensmtpd(places: &Places) -> String {
    let line = |door: &Door| {
        // smtpd refuses `auth` without TLS of its own.
        let auth = if door.protocol == Protocol::Submission { " tls pki PKI auth" } else { "" };
        let proxy = if door.identity == Identity::ProxyV2 { " proxy-v2" } else { "" };
        format!("listen on {} port {}{auth}{proxy}\n", door.address, door.port)
    };
    places.doors.iter().map(line).collect()
}

fn stalwart(places: &Places) -> String {
    let fronts: Vec<String> = places.fronts.iter().map(|front| format!("\"{front}\"")).collect();
    format!("[server.proxy]\ntrusted-networks = [{}]\n", fronts.join(", "))
}

fn cyrus(places: &Places) -> String {
    let line = |door: &Door| {
        let (name, command) = match door.protocol {
            Protocol::Http => ("fronthttp", "httpd"),
            Protocol::Pop3 => ("frontpop3", "pop3d"),
            Protocol::Sieve => ("frontsieve", "timsieved"),
            _ => ("frontimap", "imapd"),
        };
        let proxy = if door.identity == Identity::ProxyV2 { " -H" } else { "" };
        format!("  {name} cmd=\"{command}{proxy}\" listen=\"{}\"\n", door.socket())
    };
    places.doors.iter().map(line).collect()
}
