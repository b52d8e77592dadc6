//! HAProxy before the front: the address that it tells arrives in Dovecot's log; and what it reads as a
//! header, the front reads as the same.

use std::{
    net::{Ipv4Addr, Shutdown, SocketAddr},
    sync::Arc,
};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use serde_json::Value;
use vestibule::identity::announced::{Announced, Read, Reader, Wrong};

use crate::{
    clients::{How, NAME, Protocol},
    common::{
        announced::{LOCAL, PROXY, TCP4, TCP6, UDP4, UNIX, UNSPEC, raw, tlv, v1, v2},
        ca::{Ca, Kind},
        folder::Folder,
        front::Front,
        mailhost::{Host, Talk},
        proxy::{AUTHORITY, SSL, SSL_CN, tlvs_of},
    },
    dovecot::Ssl,
    haproxy::Haproxy,
    stage::{Backend, call, greeting, secure, trust},
};

/// What HAProxy needs to be told to tell all that it can of TLS.
const SENDS_ALL: &str = "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority,crc32c";

const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

/// X2, X11: both versions, with implicit TLS and STARTTLS through it; with CRC-32C and its own name for the
/// session.
#[test]
fn and_the_backend_sees_whom_it_brings() {
    let backend = Backend::new(Ssl::No);
    backend.leaf.certbot(&backend.live().join(NAME));
    let mut config = backend.as_yaml();
    config.push_str("proxy_from: 127.0.0.1\nlisteners:\n");
    for tls in ["implicit", "starttls"] {
        config.push_str(&format!(
            "  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: {tls}, backend: dovecot }}\n"
        ));
    }
    let front = Front::start(&config);
    let ways = [
        ("send-proxy", How::Implicit),
        ("send-proxy", How::Starttls),
        ("send-proxy-v2", How::Implicit),
        ("send-proxy-v2 proxy-v2-options crc32c,unique-id", How::Implicit),
        ("send-proxy-v2 proxy-v2-options crc32c,unique-id", How::Starttls),
    ];
    let sections: Vec<String> = ways
        .iter()
        .enumerate()
        .map(|(n, (how, tls))| {
            let port = front.port(usize::from(*tls == How::Starttls));
            format!(
                "listen l{n}\n  mode tcp\n  bind 127.0.0.1:PORT\n  unique-id-format from-%ci\n  server front 127.0.0.1:{port} {how}\n"
            )
        })
        .collect();
    let sections: Vec<&str> = sections.iter().map(String::as_str).collect();
    let haproxy = Haproxy::start(&sections);
    for ((how, tls), port) in ways.iter().zip(&haproxy.ports) {
        let (mark, from) = (backend.dovecot.mark(), front.mark());
        let mut clear = call(*port, CLIENT);
        let client = clear.0.local_addr().unwrap();
        if *tls == How::Starttls {
            greeting(&mut clear, Protocol::Imap);
            clear.send("s STARTTLS\r\n");
            clear.until("s OK");
        }
        let mut inside = secure(clear, trust(&backend.root));
        if *tls == How::Implicit {
            greeting(&mut inside, Protocol::Imap);
        }
        inside.send("a LOGIN alice secret\r\n");
        inside.until("a OK");
        inside.send("b LOGOUT\r\n");
        inside.until("b OK");
        inside.rest();
        drop(inside);
        let (rip, lport) = (format!("rip={CLIENT},"), format!("lport={port}"));
        backend.dovecot.logs(mark, &["Login: user=<alice>", &rip, &lport, "secured"]);
        let summary = front.summary(from);
        assert_eq!(summary["peer"], client.to_string(), "{how}");
        assert!(summary["via"].as_str().unwrap().starts_with("127.0.0.1:"), "{summary}");
        let id = if how.contains("unique-id") { "from-127.0.0.5".into() } else { Value::Null };
        assert_eq!(summary["via_id"], id);
    }
}

/// TLS ends with HAProxy, and our part is in clear: a Dovecot that takes no password without TLS is told, and
/// lets the client in, whatever our listener is.
#[test]
fn and_so_is_the_tls_that_ends_with_it() {
    let backend = Backend::new(Ssl::Required);
    backend.leaf.certbot(&backend.live().join(NAME));
    let mut config = backend.as_yaml();
    config.push_str("proxy_from: 127.0.0.1\nlisteners:\n");
    for (protocol, tls) in [("imap", "none"), ("imap", "starttls"), ("pop3", "none")] {
        config.push_str(&format!(
            "  - {{ bind: \"127.0.0.1:0\", protocol: {protocol}, tls: {tls}, backend: dovecot }}\n"
        ));
    }
    let front = Front::start(&config);
    let both = backend.leaf.fullchain() + &backend.leaf.key;
    let pem = backend.folder.write("both.pem", both);
    let section = |n, listener, send| {
        format!(
            "listen l{listener}{n}\n  mode tcp\n  bind 127.0.0.1:PORT ssl crt {}\n  server front 127.0.0.1:{} {send}\n",
            pem.display(),
            front.port(listener)
        )
    };
    let sections: Vec<String> = [0, 1, 2]
        .map(|n| section(n, n, SENDS_ALL))
        .into_iter()
        .chain([section(3, 0, "send-proxy-v2")])
        .collect();
    let sections: Vec<&str> = sections.iter().map(String::as_str).collect();
    let haproxy = Haproxy::start(&sections);
    for (n, port) in haproxy.ports.iter().enumerate() {
        let (mark, from) = (backend.dovecot.mark(), front.mark());
        let clear = call(*port, CLIENT);
        let client = clear.0.local_addr().unwrap();
        let mut inside = secure(clear, trust(&backend.root));
        let greeting = inside.line();
        if n == 2 {
            inside.send("USER alice\r\n");
            inside.until("+OK");
            inside.send("PASS secret\r\n");
            inside.until("+OK");
            inside.send("QUIT\r\n");
        } else if n == 3 {
            assert!(!greeting.contains("AUTH="), "it says nothing of TLS: {greeting}");
            continue;
        } else {
            assert!(greeting.starts_with("* OK") && !greeting.contains("STARTTLS"), "{greeting}");
            assert!(greeting.contains("AUTH=PLAIN"), "{greeting}");
            inside.send("a LOGIN alice secret\r\n");
            inside.until("a OK");
            inside.send("b LOGOUT\r\n");
        }
        inside.rest();
        drop(inside);
        let rip = format!("rip={CLIENT},");
        backend.dovecot.logs(mark, &["Login: user=<alice>", &rip, "secured"]);
        let summary = front.summary(from);
        assert_eq!(summary["peer"], client.to_string());
        assert_eq!((&summary["via_tls"], &summary["tls"]), (&"TLSv1.3".into(), &Value::Null));
        assert_eq!(summary["via_cipher"], "TLS_AES_256_GCM_SHA384");
    }
}

/// The name in a certificate that HAProxy has verified goes on to the backend, and the name that was asked for.
#[test]
fn and_who_has_shown_it_a_certificate() {
    let host = Host::polite(Talk::Imap);
    let (ca, folder) = (Ca::new("Test"), Folder::new());
    let leaf = ca.leaf(&[NAME], Kind::Ecdsa);
    let pem = folder.write("both.pem", leaf.fullchain() + &leaf.key);
    leaf.certbot(&folder.path().join("live").join(NAME));
    let front = Front::start(&format!(
        "hostname: {NAME}\ncertificates: [{}]\nproxy_from: 127.0.0.1\nbackends:\n  b: {{ address: \"{}\", identity: proxy-v2 }}\nlisteners:\n  - {{ bind: \"127.0.0.1:0\", protocol: imap, tls: none, backend: b }}\n",
        folder.path().join("live").display(),
        host.backend.address
    ));
    let root = ca.write_root(folder.path());
    let haproxy = Haproxy::start(&[&format!(
        "listen l\n  mode tcp\n  bind 127.0.0.1:PORT ssl crt {} ca-file {} verify optional\n  server front 127.0.0.1:{} {SENDS_ALL}\n",
        pem.display(),
        root.display(),
        front.port(0)
    )]);
    let client = ca.client("client.example.net", 7);
    let chain = client.fullchain();
    let chain =
        CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(client.key.as_bytes()).unwrap();
    let mut shows = (*trust(&root)).clone();
    shows.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(
        CertifiedKey::from_der(chain, key, shows.crypto_provider()).unwrap(),
    ));
    for (config, name, bits) in
        [(trust(&root), None, 1), (Arc::new(shows), Some("client.example.net"), 7)]
    {
        let mut inside = secure(call(haproxy.ports[0], CLIENT), config);
        inside.until("* OK");
        Talk::Imap.log_in(&mut inside);
        let told = host.callers().pop().unwrap();
        assert_eq!(told.text(AUTHORITY), Some(NAME));
        let ssl = told.tlv(SSL).unwrap();
        assert_eq!(ssl[0], bits, "PP2_CLIENT_SSL, and how a certificate was shown");
        let parts = tlvs_of(&ssl[5..]);
        let said = parts.iter().find(|(kind, _)| *kind == SSL_CN);
        assert_eq!(said.map(|(_, name)| name.as_slice()), name.map(str::as_bytes));
    }
}

/// What HAProxy says of a connection that begins like this: where it comes from and came to; `None` if it
/// will not hear of it.
fn by_haproxy(port: u16, header: &[u8]) -> (Option<[String; 2]>, SocketAddr) {
    use std::io::Write;
    let mut peer = call(port, CLIENT);
    let here = peer.0.local_addr().unwrap();
    let all = [header, b"GET / HTTP/1.0\r\n\r\n"].concat();
    // It may have closed by now.
    let _ = peer.0.write_all(&all);
    let _ = peer.0.shutdown(Shutdown::Write);
    let said = peer.rest();
    let told = said.split_once("\r\n\r\n").filter(|_| said.starts_with("HTTP/1.1 200"));
    let told = told.map(|(_, text)| {
        let (from, to) = text.trim_end().split_once(' ').expect("two addresses");
        // It leaves a mapped address as it is.
        [from, to]
            .map(|a| a.strip_prefix("::ffff:").filter(|a| a.contains('.')).unwrap_or(a).to_owned())
    });
    (told, here)
}

/// The same by us. `Err(None)`: it is not whole, or ends elsewhere than it was meant to.
fn by_us(header: &[u8]) -> Result<Announced, Option<Wrong>> {
    match Reader::default().feed(header) {
        Ok(Read::Whole(octets, announced)) if octets == header.len() => Ok(announced),
        Ok(_) => Err(None),
        Err(wrong) => Err(Some(wrong)),
    }
}

fn shown(address: SocketAddr) -> String {
    format!("{}:{}", address.ip(), address.port())
}

/// A little generator, so that each run has the same headers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// Right headers, and what becomes of them when octets are changed, lost, doubled and put in.
fn headers() -> Vec<Vec<u8>> {
    let seeds = [
        v1("203.0.113.9:4660", "198.51.100.2:993"),
        v1("1.2.3.4:1", "255.255.255.255:65535"),
        v1("[2001:db8::9]:4660", "[2001:db8::2]:993"),
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
        b"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:198.51.100.2 1 2\r\n".to_vec(),
        v2("203.0.113.9:4660", "198.51.100.2:993", b""),
        v2("203.0.113.9:4660", "198.51.100.2:993", &[tlv(4, &[0; 9]), tlv(5, b"id")].concat()),
        v2("[2001:db8::9]:4660", "[2001:db8::2]:993", &tlv(0xEA, b"x")),
        raw(LOCAL, UNSPEC, b""),
        raw(LOCAL, TCP4, &[1; 12]),
        raw(PROXY, UNSPEC, b""),
        raw(PROXY, UNIX, &[b'/'; 216]),
        raw(PROXY, UDP4, &[9; 12]),
        raw(PROXY, TCP6, &[9; 36]),
    ];
    let (mut dice, mut headers) = (Dice(7), seeds.to_vec());
    let alphabet = b"0123456789abcdefPROXYTCPUNKW46.: \r\n-+%\0\x01\x11\x20\x21\x31\xFF";
    while headers.len() < 400 {
        let mut header = seeds[dice.below(seeds.len())].clone();
        for _ in 0..=dice.below(2) {
            let at = dice.below(header.len());
            let octet = alphabet[dice.below(alphabet.len())];
            match dice.below(8) {
                // What may well stay right.
                0..=4 if header[at].is_ascii_digit() => header[at] = b'0' + octet % 10,
                0..=4 if at >= 16 && header[0] == b'\r' => header[at] = octet,
                0..=4 => header[at] = octet,
                5 => drop(header.remove(at)),
                6 => header.insert(at, octet),
                _ => header.insert(at, header[at]),
            }
        }
        if !header.is_empty() && !headers.contains(&header) {
            headers.push(header);
        }
    }
    headers
}

/// X13: no address is believed that HAProxy would not believe, and what both take says the same to both.
#[test]
fn and_read_as_haproxy_reads() {
    let haproxy = Haproxy::start(&[
        "frontend f\n  mode http\n  timeout client 5s\n  bind 127.0.0.1:PORT accept-proxy\n  http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[dst]:%[dst_port]\"\n",
    ]);
    let port = haproxy.ports[0];
    let there = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (mut taken, mut refused, mut by_us_alone) = (0, 0, 0);
    for header in headers() {
        let (theirs, here) = by_haproxy(port, &header);
        let text = header.escape_ascii().to_string();
        match (by_us(&header), theirs) {
            (Ok(announced), Some(theirs)) => {
                let (from, to) = announced.addresses.unwrap_or((here, there));
                assert_eq!([shown(from), shown(to)], theirs, "{text}");
                taken += 1;
            }
            // It refuses what has no internet address, where the specification leaves a choice (2.2) or
            // wants the rest of the line to be ignored (2.1). Nobody is believed anything then.
            (Ok(announced), None) => assert_eq!(announced.addresses, None, "{text}"),
            // It takes numbers that are none, such as 655335 for a port, and 12.3.4 for an address.
            (Err(Some(wrong)), Some(_)) => {
                assert!(matches!(wrong, Wrong::Line(_)), "{wrong}: {text}");
                by_us_alone += 1;
            }
            (Err(_), None) => refused += 1,
            (Err(None), Some(_)) => {}
        }
    }
    eprintln!("{taken} taken by both, {refused} refused by both, {by_us_alone} by us alone");
    assert!(taken >= 50 && refused >= 150, "{taken} taken, {refused} refused");
}
