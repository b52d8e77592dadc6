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
        Preset::Exim => (one(EXIM_FILE, exim(places)), EXIM.to_vec()),
        Preset::OpenSmtpd => (one("smtpd.conf", opensmtpd(places)), OPENSMTPD.to_vec()),
        Preset::Postfix => (one("/etc/postfix/master.cf", postfix(places)), POSTFIX.to_vec()),
        Preset::Stalwart => (one("config.toml (up to 0.15)", stalwart(places)), STALWART.to_vec()),
        Preset::Courier => (courier(places), COURIER.to_vec()),
        Preset::Cyrus => (cyrus(places), CYRUS.to_vec()),
        Preset::Exchange => (Vec::new(), EXCHANGE.to_vec()),
        Preset::CommuniGate | Preset::IceWarp | Preset::Kerio | Preset::Sendmail => {
            (Vec::new(), UNTOLD.to_vec())
        }
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

const EXIM_FILE: &str = "the top of Exim's configuration (Debian: /etc/exim4/exim4.conf.localmacros, then update-exim4.conf)";

const EXIM: &[&str] = &[
    "It needs an Exim that was built with SUPPORT_PROXY: `exim -bV` lists PROXY (Debian: exim4-daemon-heavy has it, exim4-daemon-light does not).",
    "hosts_proxy counts for all of its ports: whoever comes from the front without a header is not served.",
    "Take the front's address out of relay_from_hosts (Debian: dc_relay_nets); a client's own address is judged.",
    "It knows nothing of the front's TLS, so its authenticators must advertise AUTH without (Debian's do, with the macro AUTH_SERVER_ALLOW_NOTLS_PASSWORDS; others: server_advertise_condition); the front takes credentials inside TLS only.",
    "PRDR, which Debian's Exim offers, is not offered to clients: a message is answered once.",
];

const OPENSMTPD: &[&str] = &[
    "It has no list of fronts to trust: let nobody else reach these ports.",
    "It takes AUTH inside its own TLS alone, so the front has to speak TLS with it for submission: `tls: starttls` beside that backend, with tls_name, tls_ca or tls_fingerprint; PKI stands for the name of a `pki` with its certificate.",
    "6.8 completes no TLS handshake where OpenSSL is 3.0 or later (Debian 12): for submission, it takes a newer one.",
];

const STALWART: &[&str] = &[
    "From 0.16 on: proxyTrustedNetworks, in the web interface under Settings, Network, General.",
    "Whoever comes from a trusted network has to begin with a header, on all listeners, HTTP too.",
];

const COURIER: &[&str] = &[
    "The lines go at the end of the file: it is read by a shell.",
    "It is not known to take the PROXY protocol or anything like it: to this server every client is the front (identity: none), so its limits per address must hold for all of them (MAXPERIP).",
    "It knows nothing of the front's TLS: IMAP_TLS_REQUIRED and POP3_TLS_REQUIRED stay 0.",
    "For courier-mta: the front's address must not be among those that may relay (/etc/courier/smtpaccess), and its limits per address must hold for all clients, too.",
];

const CYRUS: &[&str] = &[
    "-p 256 says that there is TLS around the session: the front's. Let nobody but the front reach these ports.",
    "Its log has what the front says with ID: the client's address in a line `client id`, with the SESSIONID that is in the line of the login. The login's own line, and limits per address, have the front's.",
    "Users can say ID, too, once they are logged in: what counts is a session's first line.",
    "A Cyrus whose imapd(8) has the option -H knows the PROXY protocol (Debian 12's 3.6 does not): there, write `identity: proxy-v2` beside the preset. -H believes everybody who reaches the port.",
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
    let mut lines = String::new();
    if places.doors.iter().any(|door| door.identity == Identity::ProxyV2) {
        lines.push_str(&format!("hosts_proxy = <; {}\n", places.fronts.join(" ; ")));
    }
    lines.push_str(&format!("daemon_smtp_ports = {}\n", ports.join(" : ")));
    if places.doors.iter().any(|door| door.protocol == Protocol::Submission) {
        // A macro that Debian's authenticators ask for; to others it is a name that nobody uses.
        lines.push_str("AUTH_SERVER_ALLOW_NOTLS_PASSWORDS = yes\n");
    }
    lines
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

fn courier(places: &Places) -> Vec<Section> {
    let section = |door: &Door| {
        let (file, mechanisms) = match door.protocol {
            // What it offers inside its own TLS.
            Protocol::Imap => {
                ("/etc/courier/imapd", "IMAP_CAPABILITY=\"$IMAP_CAPABILITY AUTH=PLAIN\"")
            }
            Protocol::Pop3 => ("/etc/courier/pop3d", "POP3AUTH=\"PLAIN LOGIN\""),
            _ => return None,
        };
        let Door { address, port, .. } = door;
        let lines = format!("ADDRESS={address}\nPORT={port}\nMAXPERIP=$MAXDAEMONS\n{mechanisms}\n");
        Some(Section { file, lines })
    };
    places.doors.iter().filter_map(section).collect()
}

fn cyrus(places: &Places) -> Vec<Section> {
    let line = |door: &Door| {
        let (name, command) = match door.protocol {
            Protocol::Http => ("fronthttp", "httpd"),
            Protocol::Pop3 => ("frontpop3", "pop3d -p 256"),
            Protocol::Sieve => ("frontsieve", "timsieved"),
            _ => ("frontimap", "imapd -p 256"),
        };
        let proxy = if door.identity == Identity::ProxyV2 { " -H" } else { "" };
        format!("  {name} cmd=\"{command}{proxy}\" listen=\"{}\"\n", door.socket())
    };
    let services = Section {
        file: "/etc/cyrus.conf, SERVICES",
        lines: places.doors.iter().map(line).collect(),
    };
    // timsieved and httpd have no -p.
    let more = [(Protocol::Sieve, "frontsieve"), (Protocol::Http, "fronthttp")];
    let lines: String = more
        .iter()
        .filter(|(protocol, _)| places.doors.iter().any(|door| door.protocol == *protocol))
        .map(|(_, name)| format!("{name}_allowplaintext: yes\n{name}_sasl_minimum_layer: 0\n"))
        .collect();
    let is_there = !lines.is_empty();
    let settings = is_there.then_some(Section { file: "/etc/imapd.conf", lines });
    std::iter::once(services).chain(settings).collect()
}
