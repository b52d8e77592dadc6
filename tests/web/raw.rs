//! A client that writes each octet of HTTP/1.1 itself.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use rustls::{ClientConnection, StreamOwned};

use crate::common::{
    front::Front,
    peer::{Peer, connect},
};
use crate::stage::Stage;

pub(crate) type Tls = Peer<StreamOwned<ClientConnection, TcpStream>>;

/// Shakes hands with the first listener and speaks HTTP/1.1.
pub(crate) fn enter(stage: &Stage, front: &Front) -> Tls {
    stage.client(&["http/1.1"]).shake(connect(front.address(0))).expect("the handshake succeeds")
}

/// Reads one answer: its status, its head and its body. `None`: there is none.
pub(crate) fn answer<S: Read + Write>(peer: &mut Peer<S>) -> Option<(u16, String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let line = peer.try_line()?;
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let lower = head.to_ascii_lowercase();
    let mut body = Vec::new();
    if let Some((_, rest)) = lower.split_once("content-length: ") {
        body.resize(rest.split('\r').next()?.parse().ok()?, 0);
        peer.0.read_exact(&mut body).ok()?;
    } else if lower.contains("transfer-encoding: chunked") {
        loop {
            let size = usize::from_str_radix(peer.try_line()?.trim_end(), 16).ok()?;
            let mut chunk = vec![0; size];
            peer.0.read_exact(&mut chunk).ok()?;
            body.extend_from_slice(&chunk);
            let end = peer.try_line()?;
            if size == 0 {
                // Trailers end with an empty line.
                let mut line = end;
                while line != "\r\n" {
                    head.push_str(&line);
                    line = peer.try_line()?;
                }
                break;
            }
        }
    }
    Some((status, head, body))
}

/// Sends these octets on a connection of their own, and returns the statuses that come back until it
/// ends, or until as many as were wanted have come.
pub(crate) fn statuses(stage: &Stage, front: &Front, octets: &[u8], most: usize) -> Vec<u16> {
    let mut peer = enter(stage, front);
    // The front may have answered, and closed, before it has seen all of it.
    let _ = peer.0.write_all(octets).and_then(|()| peer.0.flush());
    std::iter::from_fn(|| answer(&mut peer).map(|(status, ..)| status)).take(most).collect()
}
