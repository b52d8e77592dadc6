//! Chromium goes to port 80, is sent to https, shows the page, and echoes through a WebSocket.

use std::process::{Command, Stdio};

use crate::{
    common::{
        commands::shell,
        front::{Front, PATIENCE},
        tls::NAME,
    },
    servers::Python,
    stage::{Stage, at, clear, tls},
};

#[test]
fn a_redirect_a_page_and_a_web_socket() {
    let (stage, python) = (Stage::set(), Python::start());
    let listeners = format!("{}{}", tls("hsts: 1d"), clear(""));
    let front =
        Front::start(&stage.config(&format!("w: {{ {} }}", at(python.address)), &listeners));
    let (https, http) = (front.port(0), front.port(1));
    let folder = stage.folder.path();
    // The browser trusts this one key, and goes by the system's authorities for all others.
    let line = format!(
        "openssl x509 -in live/{NAME}/cert.pem -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64"
    );
    let pin = shell(folder, &line);
    let output = Command::new("timeout")
        .arg((PATIENCE * 3).as_secs().to_string())
        .args([
            "chromium",
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .arg(format!("--user-data-dir={}", folder.join("chromium").display()))
        .arg(format!("--ignore-certificate-errors-spki-list={}", pin.trim()))
        .arg("--host-resolver-rules=MAP * 127.0.0.1")
        .args(["--dump-dom", &format!("http://{NAME}:{http}/page")])
        .env("HOME", folder)
        .stdin(Stdio::null())
        .output()
        .expect("chromium runs (Debian: chromium)");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = format!("echo: through the vestibule at https://{NAME}:{https}/page");
    assert!(dom.contains(&expected), "{dom}\n{}", String::from_utf8_lossy(&output.stderr));
    front.wait("the page came by HTTP/2", 0, |line| {
        line["message"] == "session" && line["alpn"] == "h2"
    });
}
