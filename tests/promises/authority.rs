//! A certificate authority that only says what a test wants it to say: what Pebble cannot.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use rcgen::{CertificateParams, PublicKeyData};
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

use crate::common::{
    ca::{Ca, Kind},
    tls::{VERSIONS, server},
};

/// An answer: a status, more lines of header, and what it says.
pub(crate) type Answer = (u16, &'static str, Value);

/// An answer to a request for this path, or none that is unusual.
pub(crate) type Instead = Box<dyn Fn(&str) -> Option<Answer> + Send + Sync>;

/// What it does.
pub(crate) struct Script {
    /// When certificates are to be renewed, as RFC 3339 writes it.
    pub(crate) window: (String, String),
    /// What is answered to orders. One that is answered with 201 is ready: a certificate can be had.
    pub(crate) order: Box<dyn Fn(&Value) -> Answer + Send + Sync>,
    /// What its certificates are like.
    pub(crate) issue: Box<dyn Fn(&mut CertificateParams) + Send + Sync>,
    /// What is answered to a request for this path, in place of what usually is.
    pub(crate) instead: Instead,
}

impl Default for Script {
    /// It issues what is ordered, and wants none of it renewed.
    fn default() -> Self {
        Self {
            window: ("2931-02-03T04:00:00Z".to_owned(), "2931-02-04T04:00:00Z".to_owned()),
            order: Box::new(|order| (201, "", json!({ "replaces": order["replaces"] }))),
            issue: Box::new(|_| ()),
            instead: Box::new(|_| None),
        }
    }
}

/// A running one. It ends with the test's process.
pub(crate) struct Authority {
    pub(crate) address: SocketAddr,
    desk: Arc<Desk>,
}

/// What it knows.
struct Desk {
    script: Script,
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    paths: Vec<String>,
    orders: Vec<Value>,
    /// The keys of the accounts, in the order of their numbers.
    accounts: Vec<Value>,
    /// What was issued for each order, as PEM.
    issued: BTreeMap<usize, String>,
}

impl Authority {
    pub(crate) fn start(ca: &Ca, script: Script) -> Self {
        let leaf = ca.leaf(&["127.0.0.1"], Kind::Ecdsa);
        let config = server(&leaf, &leaf.key, &VERSIONS, &[]);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let issuer = ca.another("Issuing");
        let desk = Arc::new(Desk { script, issuer, heard: Mutex::default() });
        let here = desk.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let (config, desk) = (config.clone(), here.clone());
                std::thread::spawn(move || {
                    let tls = ServerConnection::new(config).expect("a server");
                    attend(StreamOwned::new(tls, stream), address, &desk);
                });
            }
        });
        Self { address, desk }
    }

    /// The orders that have come.
    pub(crate) fn orders(&self) -> Vec<Value> {
        self.desk.heard().orders.clone()
    }

    /// How often it was asked for something below this path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.desk.heard().paths.iter().filter(|p| p.starts_with(path)).count()
    }

    /// It knows nothing of the accounts that there were.
    pub(crate) fn forget(&self) {
        self.desk.heard().accounts.fill(Value::Null);
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }
}

fn attend(stream: StreamOwned<ServerConnection, TcpStream>, address: SocketAddr, desk: &Desk) {
    let mut stream = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    if stream.read_line(&mut line).is_err() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or("").to_owned();
    loop {
        let mut header = String::new();
        match stream.read_line(&mut header) {
            Ok(n) if n > 2 => {}
            _ => break,
        }
        if let Some(n) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a whole request");
    desk.heard().paths.push(path.clone());
    let unusual = (desk.script.instead)(&path).or_else(|| desk.stranger(&body));
    let (status, more, text) = match unusual {
        Some((status, more, answer)) => (status, more.to_owned(), answer.to_string()),
        None => desk.answer(&path, &body, address),
    };
    // What HEAD is answered with ends with its header.
    let text = if line.starts_with("HEAD ") { String::new() } else { text };
    let _ = write!(
        stream.get_mut(),
        "HTTP/1.1 {status} Said\r\nReplay-Nonce: {}\r\n{more}Content-Length: {}\r\n\r\n{text}",
        line.len(),
        text.len()
    );
    let _ = stream.get_mut().flush();
}

impl Desk {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What somebody is told whose account is not known.
    fn stranger(&self, body: &[u8]) -> Option<Answer> {
        if body.is_empty() {
            return None;
        }
        let header = part(body, "protected");
        let (_, n) = header["kid"].as_str()?.rsplit_once('/').expect("an address");
        let n: usize = n.parse().expect("a number");
        let is_known = self.heard().accounts.get(n - 1).is_some_and(|key| !key.is_null());
        let problem = json!({ "type": "urn:ietf:params:acme:error:accountDoesNotExist" });
        (!is_known).then_some((400, "", problem))
    }

    /// A status, more lines of header, and a body.
    fn answer(&self, path: &str, body: &[u8], address: SocketAddr) -> (u16, String, String) {
        let at = |path: &str| format!("https://{address}/{path}");
        let (_, first) = path.split_once('/').expect("a path");
        let (first, n) = first.split_once('/').unwrap_or((first, ""));
        let n: usize = n.parse().unwrap_or_default();
        let mut more = String::new();
        let mut status = 200;
        let answer = match first {
            "dir" => {
                json!({ "newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("order"), "revokeCert": at("revoke"), "renewalInfo": at("renewal"), "meta": { "profiles": { "short": "for a week" } } })
            }
            "nonce" | "revoke" => json!({}),
            "account" => {
                if n == 0 {
                    let n = self.heard().account(&part(body, "protected")["jwk"]);
                    more = format!("Location: {}\r\n", at(&format!("account/{n}")));
                }
                json!({ "status": "valid", "contact": ["mailto:known@example.org"] })
            }
            "order" if n == 0 => {
                let order = part(body, "payload");
                let (said, lines, mut answer) = (self.script.order)(&order);
                let n = {
                    let mut heard = self.heard();
                    heard.orders.push(order);
                    heard.orders.len()
                };
                (status, more) = (said, lines.to_owned());
                if status == 201 {
                    more = format!("{more}Location: {}\r\n", at(&format!("order/{n}")));
                    answer = self.order(n, &answer, address);
                }
                answer
            }
            "order" => self.order(n, &json!({}), address),
            "finalize" => {
                self.issue(n, &part(body, "payload"));
                self.order(n, &json!({}), address)
            }
            "certificate" => return (200, more, self.heard().issued[&n].clone()),
            "renewal" => {
                more = "Retry-After: 21600\r\n".to_owned();
                let (start, end) = &self.script.window;
                json!({ "suggestedWindow": { "start": start, "end": end }, "explanationURL": "https://example.org/why" })
            }
            other => panic!("nobody asks for {other}"),
        };
        (status, more, answer.to_string())
    }

    /// How far an order is, with what else is to be said of it.
    fn order(&self, n: usize, more: &Value, address: SocketAddr) -> Value {
        let heard = self.heard();
        let is_issued = heard.issued.contains_key(&n);
        let mut order = json!({
            "status": if is_issued { "valid" } else { "ready" },
            "identifiers": heard.orders[n - 1]["identifiers"],
            "authorizations": [],
            "finalize": format!("https://{address}/finalize/{n}"),
        });
        if is_issued {
            order["certificate"] = format!("https://{address}/certificate/{n}").into();
        }
        for (key, value) in more.as_object().expect("an object") {
            order[key] = value.clone();
        }
        order
    }

    fn issue(&self, n: usize, request: &Value) {
        let request = request["csr"].as_str().expect("a request");
        let der = BASE64_URL_SAFE_NO_PAD.decode(request).expect("base64url");
        let (_, request) = X509CertificationRequest::from_der(&der).expect("PKCS #10");
        let key = request.certification_request_info.subject_pki.subject_public_key.data.to_vec();
        let identifiers = self.heard().orders[n - 1]["identifiers"].clone();
        let names = identifiers.as_array().expect("names").iter();
        let names: Vec<String> =
            names.map(|name| name["value"].as_str().expect("a name").to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.use_authority_key_identifier_extension = true;
        (self.script.issue)(&mut params);
        let leaf = params.signed_by(&Asked(key), &self.issuer).expect("a leaf");
        self.heard().issued.insert(n, format!("{}{}", leaf.pem(), self.issuer.pem()));
    }
}

impl Heard {
    /// The number of the account with this key, which is made if there is none.
    fn account(&mut self, key: &Value) -> usize {
        let known = self.accounts.iter().position(|known| known == key);
        let n = known.unwrap_or_else(|| {
            self.accounts.push(key.clone());
            self.accounts.len() - 1
        });
        n + 1
    }
}

/// The key of a request: a point on P-256.
struct Asked(Vec<u8>);

impl PublicKeyData for Asked {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// A part of a signed request.
fn part(body: &[u8], name: &str) -> Value {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    let text = request[name].as_str().expect("a part");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
}
