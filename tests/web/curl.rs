//! curl, with its answers taken apart.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{common::front::PATIENCE, stage::Stage};

/// Both versions, as curl is told of them.
pub(crate) const VERSIONS: [&str; 2] = ["--http1.1", "--http2"];

/// What came of a request.
#[derive(Debug)]
pub(crate) struct Answer {
    /// curl's exit code.
    pub(crate) exit: i32,
    pub(crate) status: u16,
    /// `HTTP/1.1`, `HTTP/2`.
    pub(crate) version: String,
    pub(crate) head: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.head.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// What the server in Python was asked.
    pub(crate) fn told(&self) -> Told {
        let value = serde_json::from_slice(&self.body);
        Told(value.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body))))
    }
}

/// A request, as the backend saw it.
pub(crate) struct Told(pub(crate) Value);

impl Told {
    pub(crate) fn fields(&self, name: &str) -> Vec<String> {
        let fields = self.0["fields"].as_array().expect("fields");
        fields
            .iter()
            .filter(|f| f[0].as_str().unwrap().eq_ignore_ascii_case(name))
            .map(|f| f[1].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let fields = self.0["fields"].as_array().expect("fields");
        fields.iter().map(|f| f[0].as_str().unwrap().to_ascii_lowercase()).collect()
    }
}

/// Asks `https://HOST:PORT/PATH` of the front at this address.
pub(crate) fn get(stage: &Stage, to: SocketAddr, url: &str, more: &[&str]) -> Answer {
    curl(Some(&stage.root()), to, &format!("https://{url}"), more)
}

/// Asks for this URL, whose host is at this address; `PORT` in it is that address's.
pub(crate) fn curl(root: Option<&Path>, to: SocketAddr, url: &str, more: &[&str]) -> Answer {
    let url = url.replace("PORT", &to.port().to_string());
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--include", "--path-as-is", "--max-time"])
        .arg(PATIENCE.as_secs().to_string())
        .args(["--connect-to", &format!("::{to}")])
        .args(more)
        .arg(&url)
        .stdin(Stdio::null());
    if let Some(root) = root {
        command.arg("--cacert").arg(root);
    }
    let output = command.output().expect("curl runs (Debian: curl)");
    let mut rest = output.stdout.as_slice();
    let (mut status, mut version, mut head) = (0, String::new(), Vec::new());
    // Those before the last one are interim.
    while status < 200
        && let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n")
    {
        let text = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 4..];
        let mut lines = text.split("\r\n");
        let mut words = lines.next().expect("a status line").split(' ');
        version = words.next().unwrap_or_default().to_owned();
        status = words.next().and_then(|s| s.parse().ok()).unwrap_or_default();
        head = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
    }
    let exit = output.status.code().unwrap_or(-1);
    Answer { exit, status, version, head, body: rest.to_vec() }
}
