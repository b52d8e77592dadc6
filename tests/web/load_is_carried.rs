//! h2load, with more at a time than there are connections behind: every request is answered.

use std::process::{Command, Stdio};

use crate::{
    common::{front::Front, tls::NAME},
    servers::Nginx,
    stage::{Stage, tls},
};

fn load(front: &Front, more: &[&str]) -> String {
    let address = front.address(0);
    let output = Command::new("timeout")
        .args(["60", "h2load", "-n", "3000", "-c", "30"])
        .args(more)
        .args(["--connect-to", &address.to_string()])
        .arg(format!("https://{NAME}:{}/", address.port()))
        .stdin(Stdio::null())
        .output()
        .expect("h2load runs (Debian: nghttp2-client)");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn in_both_versions() {
    let (stage, nginx) = (Stage::set(), Nginx::start(""));
    nginx.put("index.html", "x".repeat(10_000));
    let config = stage.config(&format!("w: {{ {} }}", nginx.at()), &tls(""));
    let front = Front::start(&format!("{config}\nlog: json info\n"));
    for more in [&["--h1"][..], &["-m", "20"][..]] {
        let said = load(&front, more);
        assert!(said.contains("3000 succeeded, 0 failed, 0 errored"), "{more:?}: {said}");
        assert!(said.contains("status codes: 3000 2xx"), "{more:?}: {said}");
    }
}
