//! Drives a caller over a blocking stream, and writes down what is said.

use std::io::{self, Read, Write};

use super::Line;
use crate::protocol::{Called, Caller, Dialogue, Next};

/// The longest line that is read: 16 times what RFC 5321 §4.5.3.1.5 allows, in octets.
const LONGEST_LINE: usize = 8 << 10;
/// The most that is read of one dialogue.
pub(super) const MOST_OCTETS: usize = 64 << 10;

/// How a dialogue ended before its time.
#[derive(Debug)]
pub(super) enum Broken {
    /// The server closed the connection.
    Closed,
    /// The connection failed, or TLS did, or the time is over.
    Io(io::Error),
    /// A line does not end.
    TooLong,
    /// The server says too much.
    TooMuch,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
                f.write_str("the server kept silent until the time was over")
            }
            Self::Io(error) => error.fmt(f),
            Self::TooLong => f.write_str("the server says more than 8 KiB in one line"),
            Self::TooMuch => f.write_str("the server says more than 64 KiB, and nothing that ends"),
        }
    }
}

/// What is said in one part of a visit.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    /// Whether it goes through TLS.
    pub tls: bool,
    /// Where it is written down.
    pub lines: &'a mut Vec<Line>,
    /// What has been read and not understood yet.
    pub inbox: Vec<u8>,
}

impl Talk<'_> {
    /// Talks until the caller's errand is done.
    pub(super) fn converse<S: Read + Write>(
        &mut self,
        stream: &mut S,
        caller: &mut Caller,
    ) -> Result<Called, Broken> {
        let mut read = self.inbox.len();
        let mut out = Vec::new();
        caller.start(&mut out);
        loop {
            while !self.inbox.is_empty() {
                let (taken, next) = caller.step(&self.inbox, &mut out);
                let heard: Vec<u8> = self.inbox.drain(..taken).collect();
                self.write_down('S', &heard);
                match next {
                    Next::End(end) => {
                        // It may be the last word, to one who is gone.
                        let said = self.say(stream, &mut out);
                        return if matches!(end, Called::Begin(_)) {
                            said.map(|()| end).map_err(Broken::Io)
                        } else {
                            Ok(end)
                        };
                    }
                    Next::Read if taken == 0 => break,
                    Next::Read => {}
                }
            }
            let heard = self.say(stream, &mut out).map_err(Broken::Io).and_then(|()| {
                if longest_line(&self.inbox) > LONGEST_LINE {
                    return Err(Broken::TooLong);
                }
                if read >= MOST_OCTETS {
                    return Err(Broken::TooMuch);
                }
                self.hear(stream)
            });
            match heard {
                Ok(octets) => read += octets,
                Err(broken) => {
                    // What was half said may explain it.
                    let heard = std::mem::take(&mut self.inbox);
                    self.write_down('S', &heard[..heard.len().min(LONGEST_LINE)]);
                    return Err(broken);
                }
            }
        }
    }

    /// Reads once.
    pub(super) fn hear<S: Read>(&mut self, stream: &mut S) -> Result<usize, Broken> {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => Err(Broken::Closed),
            Ok(octets) => {
                self.inbox.extend_from_slice(&buffer[..octets]);
                Ok(octets)
            }
            // Without a close_notify: many servers do not send it.
            Err(error) if crate::error::is_disconnect(&error) => Err(Broken::Closed),
            Err(error) => Err(Broken::Io(error)),
        }
    }

    fn say<S: Write>(&mut self, stream: &mut S, out: &mut Vec<u8>) -> io::Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let said = std::mem::take(out);
        self.write_down('C', &said);
        // In one piece: a smuggler's command comes in the segment of the one before.
        stream.write_all(&said)?;
        stream.flush()
    }

    pub(super) fn write_down(&mut self, from: char, octets: &[u8]) {
        for line in octets.split_inclusive(|b| *b == b'\n') {
            let text = String::from_utf8_lossy(line).chars().filter(|c| !c.is_control()).collect();
            self.lines.push(Line { tls: self.tls, from, text });
        }
    }
}

fn longest_line(input: &[u8]) -> usize {
    input.split(|b| *b == b'\n').map(<[u8]>::len).max().unwrap_or_default()
}
