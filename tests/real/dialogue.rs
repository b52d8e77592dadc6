//! As much of the protocols as the transcripts in these tests have in common.

use std::{io::Read as _, net::TcpStream};

use rustls::{ClientConnection, StreamOwned};

use crate::{
    clients::Protocol,
    common::peer::{Bytes, Peer},
};

/// The first login everywhere: `\0alice\0secret`.
pub(crate) const PLAIN: &str = "AGFsaWNlAHNlY3JldA==";

/// Logs alice in; returns all that was said in answer.
pub(crate) fn log_in<S: Bytes>(peer: &mut Peer<S>, protocol: Protocol) -> String {
    match protocol {
        Protocol::Imap => {
            peer.send("login LOGIN alice secret\r\n");
            peer.until("login OK")
        }
        Protocol::Pop3 => {
            peer.send("USER alice\r\n");
            let mut said = peer.until("+OK");
            peer.send("PASS secret\r\n");
            said.push_str(&peer.until("+OK"));
            said
        }
        Protocol::Sieve => {
            peer.send(format!("AUTHENTICATE \"PLAIN\" \"{PLAIN}\"\r\n"));
            peer.until("OK")
        }
    }
}

/// Asks for the capabilities; one element each, in the order in which they came.
pub(crate) fn capabilities<S: Bytes>(peer: &mut Peer<S>, protocol: Protocol) -> Vec<String> {
    match protocol {
        Protocol::Imap => {
            peer.send("caps CAPABILITY\r\n");
            imap_capabilities(&peer.until("caps OK"))
        }
        Protocol::Pop3 => {
            peer.send("CAPA\r\n");
            let listed = peer.until(".");
            listed
                .lines()
                .filter(|line| !line.starts_with("+OK") && *line != ".")
                .map(str::to_owned)
                .collect()
        }
        Protocol::Sieve => {
            peer.send("CAPABILITY\r\n");
            sieve_capabilities(&peer.until("OK"))
        }
    }
}

/// The capabilities in whatever form they came: untagged, or as a response code of the greeting or of a tagged OK.
pub(crate) fn imap_capabilities(said: &str) -> Vec<String> {
    let list =
        said.split_once("CAPABILITY ").unwrap_or_else(|| panic!("no capabilities in {said:?}")).1;
    let end = list.find(['\r', ']']).unwrap_or(list.len());
    list[..end].split(' ').map(str::to_owned).collect()
}

/// The lines before the OK.
pub(crate) fn sieve_capabilities(said: &str) -> Vec<String> {
    said.lines().take_while(|line| !line.starts_with("OK")).map(str::to_owned).collect()
}

/// Reads until what was read is complete.
pub(crate) fn read_to<S: Bytes>(peer: &mut Peer<S>, complete: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 65536];
    while !complete(&all) {
        let n = peer
            .0
            .read(&mut buffer)
            .unwrap_or_else(|e| panic!("{e}: no end after {} octets", all.len()));
        assert_ne!(n, 0, "the end of the stream came after {:?}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&buffer[..n]);
    }
    all
}

/// T18: the end of the session is announced as such: a stream that merely breaks off is an error here.
pub(crate) fn ends(peer: &mut Peer<StreamOwned<ClientConnection, TcpStream>>) {
    let mut rest = Vec::new();
    let end = peer.0.read_to_end(&mut rest);
    assert!(end.is_ok() && rest.is_empty(), "{end:?} after {:?}", String::from_utf8_lossy(&rest));
}
