//! A web backend learns who the client is from fields that only the front can write, or from the PROXY
//! protocol, and then on a connection that is one client's alone.

use std::io::Write;

use crate::{
    common::{
        announced::{tlv, v2},
        ca::{Kind, authority},
        front::Front,
        peer::connect,
        proxy::{ALPN, AUTHORITY, Header, SSL},
        tls::NAME,
    },
    curl::{VERSIONS, curl, get},
    h2::{END_STREAM, H2, request},
    raw::{answer, enter},
    recorder::{Recorder, Seen},
    servers::Python,
    stage::{Stage, at, clear, tls},
};

const FORGED: [&str; 24] = [
    "-H",
    "X-Forwarded-For: 203.0.113.66",
    "-H",
    "X_Forwarded_For: 203.0.113.66",
    "-H",
    "X-Forwarded-Proto: gopher",
    "-H",
    "X-Forwarded-Ssl: forged",
    "-H",
    "Forwarded: for=203.0.113.66",
    "-H",
    "X-Real-IP: 203.0.113.66",
    "-H",
    "x_real_ip: 203.0.113.66",
    "-H",
    "X-Client-Cert-Verify: SUCCESS",
    "-H",
    "X_Client_Cert_Subject: CN=root",
    "-H",
    "Client-Cert: :Zm9yZ2Vk:",
    "-H",
    "Client_Cert: :Zm9yZ2Vk:",
    "-H",
    "Proxy: http://203.0.113.66/",
];

#[test]
fn what_a_client_says_of_itself_is_not_believed() {
    let (stage, python) = (Stage::set(), Python::start());
    let front = stage.front(&at(python.address), "");
    let port = front.port(0).to_string();
    for version in VERSIONS {
        let told = get(
            &stage,
            front.address(0),
            &format!("{NAME}:PORT/"),
            &[&[version], &FORGED[..]].concat(),
        )
        .told();
        let text = told.0.to_string();
        for forged in ["203.0.113.66", "gopher", "forged", "SUCCESS", "CN=root", "Zm9yZ2Vk"] {
            assert!(!text.contains(forged), "{version} {forged}: {text}");
        }
        assert!(told.names().iter().all(|name| !name.contains('_')), "{text}");
        assert_eq!(told.fields("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(told.fields("x-forwarded-proto"), ["https"]);
        assert_eq!(told.fields("x-forwarded-port"), [port.as_str()]);
        let host = format!("{NAME}:{port}");
        assert_eq!(told.fields("x-forwarded-host"), [host.as_str()]);
        assert_eq!(told.fields("host"), [host.as_str()]);
        assert_eq!(
            told.fields("forwarded"),
            [format!("for=127.0.0.1;proto=https;host=\"{host}\"")]
        );
        let by = if version == "--http2" { "2.0" } else { "1.1" };
        assert_eq!(told.fields("via"), [format!("{by} {NAME}")]);
        for name in ["connection", "x-client-cert-verify", "client-cert"] {
            assert_eq!(told.fields(name), [""; 0], "{name}");
        }
    }
}

/// A client may ask for several hosts on one connection.
#[test]
fn with_the_host_that_each_request_is_for() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let config =
        stage.config(&format!("w: {{ {} }}", at(recorder.address)), &clear("forward: true"));
    let front = Front::start(&config);
    let mut peer = connect(front.address(0));
    for (host, said) in [
        ("a.example.org", "a.example.org"),
        ("a.example.org", "a.example.org"),
        ("b.example.org", "b.example.org"),
        ("a.example.org:80", "\"a.example.org:80\""),
    ] {
        peer.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let seen = recorder.next().1;
        let forwarded = format!("forwarded: for=127.0.0.1;proto=http;host={said}\r\n");
        assert!(seen.has(&forwarded), "{host}: {}", seen.head());
        assert_eq!(answer(&mut peer).map(|(status, ..)| status), Some(200), "{host}");
    }
}

/// TLS ends with a balancer that says so: its client is not sent to https once more, and the backend hears
/// that it has come that way. Whatever the balancer has agreed on with it, HTTP/1.1 is spoken here.
#[test]
fn tls_that_ends_before_us_counts() {
    let (stage, python) = (Stage::set(), Python::start());
    let doors = tls("") + &clear("forward: false, proxy_from: [127.0.0.1]");
    let config = stage.config(&format!("w: {{ {} }}", at(python.address)), &doors);
    let front = Front::start(&config);
    let ask = |tlvs: &[u8]| {
        let mut peer = connect(front.address(1));
        peer.send(v2("203.0.113.9:4660", "198.51.100.2:443", tlvs));
        peer.send(format!("GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"));
        peer.rest()
    };
    let said = ask(b"");
    assert!(said.starts_with("HTTP/1.1 308 "), "in clear: {said}");
    let said =
        ask(&[tlv(ALPN, b"h2"), tlv(AUTHORITY, b"other.example.net"), tlv(SSL, &[1, 0, 0, 0, 0])]
            .concat());
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    let said = said.to_ascii_lowercase();
    assert!(said.contains("x-forwarded-proto") && said.contains("proto=https"), "{said}");
}

#[test]
fn what_a_front_before_us_says_stays_and_we_come_behind_it() {
    let (stage, python) = (Stage::set(), Python::start());
    let front = stage.front(&at(python.address), "forwarded_from: [127.0.0.0/8]");
    let more = [
        "-H",
        "X-Forwarded-For: 198.51.100.7",
        "-H",
        "X-Forwarded-Proto: http",
        "-H",
        "Forwarded: for=198.51.100.7",
        "-H",
        "X_Forwarded_For: 203.0.113.66",
        "-H",
        "Client-Cert: :Zm9yZ2Vk:",
    ];
    let told = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &more).told();
    assert_eq!(told.fields("x-forwarded-for"), ["198.51.100.7", "127.0.0.1"]);
    assert_eq!(told.fields("x-forwarded-proto"), ["http"]);
    assert_eq!(told.fields("forwarded").len(), 2);
    assert!(!told.0.to_string().contains("203.0.113.66") && !told.0.to_string().contains("Zm9y"));
}

#[test]
fn with_none_it_is_told_nothing_and_the_forged_is_taken_out_all_the_same() {
    let (stage, python) = (Stage::set(), Python::start());
    let front = stage.front(&format!("{}, identity: none", at(python.address)), "");
    let told = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &FORGED).told();
    let names = told.names();
    assert!(
        !names.iter().any(|name| name.contains("forward") || name.contains("cert")),
        "{names:?}"
    );
}

#[test]
fn a_clients_certificate_is_told_once_it_is_verified() {
    let (stage, python) = (Stage::set(), Python::start());
    let root = stage.root();
    let lines = format!("client_certificates: {{ mode: request, trust: [{}] }}", root.display());
    let front = stage.front(&at(python.address), &lines);
    let leaf = stage.ca.client("someone", 7);
    let cert = stage.folder.write("client.pem", leaf.fullchain());
    let key = stage.folder.write("client.key", &leaf.key);
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let more = ["--cert", &cert, "--key", &key, "-H", "X-Client-Cert-Verify: FAILED"];
    let told = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &more).told();
    assert_eq!(told.fields("x-client-cert-verify"), ["SUCCESS"]);
    assert!(told.fields("x-client-cert-subject")[0].contains("someone"), "{}", told.0);
    assert!(told.fields("client-cert")[0].starts_with(":MII"), "RFC 9440: {}", told.0);
    assert_eq!(told.fields("x-client-cert-fingerprint")[0].len(), 64);

    let other = crate::common::ca::Ca::new("Other").client("liar", 8);
    let cert = stage.folder.write("liar.pem", other.fullchain());
    let key = stage.folder.write("liar.key", &other.key);
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let told =
        get(&stage, front.address(0), &format!("{NAME}:PORT/"), &["--cert", &cert, "--key", &key])
            .told();
    assert!(told.fields("x-client-cert-verify")[0].starts_with("FAILED"), "{}", told.0);
    assert!(!told.0.to_string().contains("liar"), "{}", told.0);

    let key = Kind::Ecdsa.key();
    let own = authority("liar").self_signed(&key).unwrap().pem() + &key.serialize_pem();
    let own = stage.folder.write("own.pem", own).display().to_string();
    let told = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &["--cert", &own]).told();
    let why = "FAILED: it is an authority's own (CA:TRUE), which is no client's";
    assert_eq!(told.fields("x-client-cert-verify"), [why]);
}

/// Who decides by a name must not take one for another.
#[test]
fn names_in_certificates_are_told_without_doubt() {
    use rcgen::{DnType::*, ExtendedKeyUsagePurpose::ClientAuth};
    let (stage, python) = (Stage::set(), Python::start());
    let trust = stage.root();
    let lines = format!("client_certificates: {{ mode: require, trust: [{}] }}", trust.display());
    let front = stage.front(&at(python.address), &lines);
    let subject = |parts: &[(rcgen::DnType, &str)]| {
        let leaf = stage.ca.leaf_with(&["client"], Kind::Ecdsa, |params| {
            params.extended_key_usages = vec![ClientAuth];
            params.distinguished_name = rcgen::DistinguishedName::new();
            for (kind, value) in parts {
                params.distinguished_name.push(kind.clone(), *value);
            }
        });
        let pem = stage.folder.write("client.pem", leaf.fullchain() + &leaf.key);
        let pem = pem.display().to_string();
        let told = get(&stage, front.address(0), &format!("{NAME}:PORT/"), &["--cert", &pem]);
        let told = told.told();
        assert_eq!(told.fields("x-client-cert-issuer"), ["CN=Test CA 1"]);
        told.fields("x-client-cert-subject").concat()
    };
    assert_eq!(subject(&[(OrganizationName, "b"), (CommonName, "a")]), "CN=a,O=b");
    assert_eq!(subject(&[(CommonName, "a,O=b")]), "CN=a\\,O=b");
    assert_eq!(
        subject(&[(CommonName, "J\u{f6}rg \\ \u{3b1} ")]),
        "CN=J\\C3\\B6rg \\\\ \\CE\\B1\\20"
    );
    let own = CustomDnType(vec![1, 3, 6, 1, 4, 1, 99999, 1]);
    assert_eq!(subject(&[(own, "#")]), "1.3.6.1.4.1.99999.1=#0C0123");
    assert_eq!(subject(&[(CommonName, &"\u{3b1}".repeat(400))]), "", "it would have to be cut");
}

/// A backend that wants a PROXY header first, and tells of which client each request came.
fn proxied() -> (Recorder, std::sync::mpsc::Receiver<(u16, String)>) {
    use std::io::Read;
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let inner = Recorder::start();
    let to = inner.address;
    // Between the front and the recorder: takes the header off, and remembers whose it is.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut peer = crate::common::peer::Peer(stream);
            let octets = peer.proxy_v2();
            if octets[12] == 0x20 {
                continue;
            }
            let (header, stream) = (Header::parse(&octets), peer.0);
            let said = (header.source.port(), header.text(0x01).unwrap_or_default().to_owned());
            tell.lock().unwrap().send(said).unwrap();
            let mut backend = std::net::TcpStream::connect(to).unwrap();
            let mut stream = stream;
            let (mut up, mut down) = (stream.try_clone().unwrap(), backend.try_clone().unwrap());
            std::thread::spawn(move || {
                std::io::copy(&mut up, &mut backend)
                    .map(|_| backend.shutdown(std::net::Shutdown::Write))
            });
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(n @ 1..) = down.read(&mut buffer) {
                    let _ = stream.write_all(&buffer[..n]);
                }
            });
        }
    });
    let recorder = inner.behind(address);
    (recorder, told)
}

#[test]
fn under_proxy_a_connection_is_one_clients_alone() {
    let stage = Stage::set();
    let (recorder, told) = proxied();
    let front = stage.front(&format!("{}, identity: proxy-v2", at(recorder.address)), "");
    let mut clients: Vec<_> = (0..3).map(|_| enter(&stage, &front)).collect();
    for round in 0..3 {
        for (n, client) in clients.iter_mut().enumerate() {
            client.send(format!("GET /{round}/{n} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
            assert_eq!(answer(client).unwrap().0, 200);
        }
    }
    let mut ports: Vec<u16> = told.try_iter().map(|(port, _)| port).collect();
    let mut theirs: Vec<u16> =
        clients.iter().map(|c| c.0.sock.local_addr().unwrap().port()).collect();
    ports.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ports, theirs, "one connection each, with its own address");
    for _ in 0..9 {
        assert!(recorder.next().1.has("x-forwarded-for: 127.0.0.1"));
    }
}

#[test]
fn under_proxy_streams_at_a_time_have_connections_of_their_own() {
    let stage = Stage::set();
    let (recorder, told) = proxied();
    let front = stage.front(&format!("{}, identity: proxy-v2", at(recorder.address)), "");
    let mut client = H2::enter(&stage, &front);
    for n in 0..4_u32 {
        client.ask(2 * n + 1, &request("POST", "/a"), &[("content-length", "1")], 0);
    }
    for n in 0..4_u32 {
        client.send(crate::h2::DATA, END_STREAM, 2 * n + 1, b"x");
    }
    let mut answered = 0;
    while answered < 4 {
        answered += usize::from(client.next().expect("it lives").kind == crate::h2::HEADERS);
    }
    let port = client.0.sock.local_addr().unwrap().port();
    for _ in 0..4 {
        assert!(matches!(recorder.next().1, Seen::Request(_, body) if body == b"x"));
    }
    let all: Vec<_> = told.try_iter().collect();
    assert!((1..=4).contains(&all.len()) && all.iter().all(|(p, _)| *p == port), "{all:?}");
    // What is spoken with the backend is HTTP/1.1, whatever the client speaks.
    assert!(all.iter().all(|(_, alpn)| alpn == "http/1.1"), "{all:?}");
}

#[test]
fn in_fields_connections_are_shared_by_all() {
    let (stage, recorder) = (Stage::set(), Recorder::start());
    let front = stage.front(&at(recorder.address), "");
    let mut used = Vec::new();
    for n in 0..5 {
        let mut client = enter(&stage, &front);
        client.send(format!("GET /{n} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"));
        assert_eq!(answer(&mut client).unwrap().0, 200);
        used.push(recorder.next().0);
    }
    used.dedup();
    assert_eq!(used.len(), 1, "one connection for five clients, one after the other: {used:?}");
}

#[test]
fn routes_go_by_each_requests_host() {
    let stage = Stage::set();
    stage.certify(&["*.example.net"]);
    let named = |name: &'static str| {
        Recorder::answering(move |_, stream| {
            let length = name.len();
            stream
                .write_all(
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}").as_bytes(),
                )
                .is_ok()
        })
    };
    let (first, second) = (named("first"), named("second"));
    let backends = format!("w: {{ {} }}, other: {{ {} }}", at(first.address), at(second.address));
    let config = stage.config(&backends, &format!("{}{}", tls(""), clear("forward: true")))
        + "\nroutes: { web.example.org: other, \"*.example.net\": other }\n";
    let front = Front::start(&config);
    let body = |url: &str, more: &[&str]| {
        String::from_utf8(get(&stage, front.address(0), url, more).body).unwrap()
    };
    for version in VERSIONS {
        assert_eq!(body(&format!("{NAME}:PORT/"), &[version]), "first");
        assert_eq!(body("web.example.org:PORT/", &[version]), "second");
        assert_eq!(body("a.example.net:PORT/", &[version]), "second");
        // The certificate covers both names: one connection may ask for both.
        assert_eq!(
            body(&format!("{NAME}:PORT/"), &[version, "-H", "Host: web.example.org"]),
            "second"
        );
        // It does not cover that one: the client comes again.
        let other = get(
            &stage,
            front.address(0),
            &format!("{NAME}:PORT/"),
            &[version, "-H", "Host: a.example.net"],
        );
        assert_eq!(other.status, 421, "{other:?}");
    }
    let plain =
        |host: &str| curl(None, front.address(1), &format!("http://{host}:PORT/"), &[]).body;
    assert_eq!(plain("web.example.org"), b"second");
    assert_eq!(plain("elsewhere.example"), b"first");
}

#[test]
fn who_asks_for_no_name_may_ask_for_all_but_gets_around_nothing() {
    let (stage, python) = (Stage::set(), Python::start());
    let root = stage.root();
    let config = stage.config(&format!("w: {{ {} }}", at(python.address)), &tls(""))
        + &format!(
            "\nclient_certificates_by_name:\n  web.example.org: {{ mode: require, trust: [{}] }}\n",
            root.display()
        );
    let front = Front::start(&config);
    let ask = |host: &str| {
        let client = stage.client(&["http/1.1"]).asking_nothing();
        let mut client = client.shake(connect(front.address(0))).unwrap();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        answer(&mut client).unwrap().0
    };
    assert_eq!(ask(NAME), 200);
    assert_eq!(ask("127.0.0.1"), 200);
    assert_eq!(ask("whatever.example"), 200);
    assert_eq!(ask("web.example.org"), 421, "that one wants a certificate of its clients");
    let around =
        get(&stage, front.address(0), &format!("{NAME}:PORT/"), &["-H", "Host: web.example.org"]);
    assert_eq!(around.status, 421, "{around:?}");
}
