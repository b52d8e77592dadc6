//! A certificate authority that only says what a test wants it to say: what Pebble cannot.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use rustls::{ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::common::{
    ca::{Ca, Kind},
    tls::{VERSIONS, server},
};

/// What is answered to an order: a status, more lines of header, and a problem.
pub(crate) type Answer = (u16, &'static str, Value);

/// What it does.
pub(crate) struct Script {
    /// When certificates are to be renewed, as RFC 3339 writes it.
    pub(crate) window: (String, String),
    /// What is answered to orders.
    pub(crate) order: Box<dyn Fn(&Value) -> Answer + Send + Sync>,
}

/// A running one. It ends with the test's process.
pub(crate) struct Authority {
    pub(crate) address: SocketAddr,
    orders: Arc<Mutex<Vec<Value>>>,
}

impl Authority {
    pub(crate) fn start(ca: &Ca, script: Script) -> Self {
        let leaf = ca.leaf(&["127.0.0.1"], Kind::Ecdsa);
        let config = server(&leaf, &leaf.key, &VERSIONS, &[]);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let orders = Arc::new(Mutex::new(Vec::new()));
        let (script, heard) = (Arc::new(script), orders.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                let (config, script, heard) = (config.clone(), script.clone(), heard.clone());
                std::thread::spawn(move || {
                    let tls = ServerConnection::new(config).expect("a server");
                    attend(StreamOwned::new(tls, stream), address, &script, &heard);
                });
            }
        });
        Self { address, orders }
    }

    /// The orders that have come.
    pub(crate) fn orders(&self) -> Vec<Value> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn directory(&self) -> String {
        format!("https://{}/dir", self.address)
    }
}

fn attend(
    stream: StreamOwned<ServerConnection, TcpStream>,
    address: SocketAddr,
    script: &Script,
    heard: &Mutex<Vec<Value>>,
) {
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
    let at = |path: &str| format!("https://{address}/{path}");
    let (status, more, answer) = match path.as_str() {
        "/dir" => (
            200,
            String::new(),
            json!({ "newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("order"), "renewalInfo": at("renewal") }),
        ),
        "/nonce" => (200, String::new(), json!({})),
        "/account" => {
            (201, format!("Location: {}\r\n", at("account/1")), json!({ "status": "valid" }))
        }
        "/order" => {
            let order = payload(&body);
            let (status, more, answer) = (script.order)(&order);
            heard.lock().unwrap_or_else(PoisonError::into_inner).push(order);
            (status, more.to_owned(), answer)
        }
        path if path.starts_with("/renewal/") => {
            let (start, end) = &script.window;
            let window = json!({ "start": start, "end": end });
            let answer =
                json!({ "suggestedWindow": window, "explanationURL": "https://example.org/why" });
            (200, "Retry-After: 21600\r\n".to_owned(), answer)
        }
        other => panic!("nobody asks for {other}"),
    };
    let text = answer.to_string();
    let _ = write!(
        stream.get_mut(),
        "HTTP/1.1 {status} Said\r\nReplay-Nonce: {}\r\n{more}Content-Length: {}\r\n\r\n{text}",
        line.len(),
        text.len()
    );
    let _ = stream.get_mut().flush();
}

/// What a signed request says.
fn payload(body: &[u8]) -> Value {
    let request: Value = serde_json::from_slice(body).expect("JSON");
    let text = request["payload"].as_str().expect("a payload");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
}
