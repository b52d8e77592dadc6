//! A web server of one page (HTTP/1.1, RFC 9110 and RFC 9112), which tells what the front told.

use std::time::Duration;

use super::lexer::trim_line_end;
use super::line::{Literals, MAX_LINE};
use super::proxy::Peer;
use super::session::{Flow, Session};
use super::time;

/// Octets of a request's header.
const MAX_HEAD: usize = 2 * MAX_LINE;
const BAD: &str = "400 Bad Request";
const TOO_LARGE: &str = "431 Request Header Fields Too Large";
const FIELDS: &str = "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n\
    Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:\r\n";

/// One connection of a browser.
pub(super) struct Web {
    peer: Option<Peer>,
    request: Option<Request>,
}

/// A request as far as it has come.
#[derive(Default)]
struct Request {
    line: String,
    octets: usize,
    hosts: usize,
    malformed: bool,
    /// Nothing can follow, as the client says so or a body is on its way that nobody reads.
    last: bool,
}

impl Web {
    pub(super) fn new(peer: Option<Peer>) -> Self {
        Self { peer, request: None }
    }

    fn answer(&self, request: &Request, out: &mut Vec<u8>) -> Flow {
        let words: Vec<_> = request.line.split(' ').collect();
        let (method, target, version) = match words[..] {
            [method, target, version] => (method, target, version),
            _ => ("", "", ""),
        };
        let current = version.starts_with("HTTP/1.") && version != "HTTP/1.0";
        // RFC 9112 §3.2.2: a whole URL in place of the path is taken too.
        let path = target
            .split_once("://")
            .map_or(target, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
        let status = match (method, path.split('?').next()) {
            _ if !version.starts_with("HTTP/") || request.malformed => BAD,
            _ if !version.starts_with("HTTP/1.") => "505 HTTP Version Not Supported",
            // RFC 9112 §3.2: a missing Host, or a second one, is an error.
            _ if current && request.hosts != 1 => BAD,
            ("GET" | "HEAD", Some("/")) => "200 OK",
            ("GET" | "HEAD", _) => "404 Not Found",
            _ => "405 Method Not Allowed\r\nAllow: GET, HEAD",
        };
        let last = request.last || !current || status == BAD;
        self.put(status, method == "HEAD", last, out)
    }

    fn put(&self, status: &str, head_only: bool, last: bool, out: &mut Vec<u8>) -> Flow {
        let rows = match &self.peer {
            Some(Peer { address, tls }) => {
                let address = address.map_or("the front's own".to_owned(), |a| a.to_string());
                let tls = tls.as_deref().unwrap_or("none");
                format!("<dt>Your address<dd>{address}<dt>Your TLS<dd>{tls}")
            }
            None => UNKNOWN.to_owned(),
        };
        let heading = match status.lines().next().unwrap_or_default() {
            "200 OK" => "You came in through the vestibule",
            other => other,
        };
        let page = PAGE.replace("{heading}", heading).replace("{rows}", &rows);
        let (date, length) = (time::http(time::now()), page.len());
        let (connection, flow) = if last { ("close", Flow::End) } else { ("keep-alive", Flow::Go) };
        let head = format!(
            "HTTP/1.1 {status}\r\nDate: {date}\r\n{FIELDS}Content-Length: {length}\r\n\
            Connection: {connection}\r\n\r\n"
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(if head_only { b"" } else { page.as_bytes() });
        flow
    }
}

impl Session for Web {
    const LITERALS: Literals = Literals::None;
    const PATIENCE: Duration = Duration::from_secs(60);

    fn greet(&mut self, _out: &mut Vec<u8>) {}

    fn command(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Flow {
        let line = String::from_utf8_lossy(trim_line_end(frame));
        let Some(request) = &mut self.request else {
            // RFC 9112 §2.2: empty lines before a request are forgiven.
            if !line.is_empty() {
                self.request = Some(Request { line: line.into_owned(), ..Request::default() });
            }
            return Flow::Go;
        };
        request.octets += frame.len();
        if request.octets > MAX_HEAD {
            return self.put(TOO_LARGE, false, true, out);
        }
        if !line.is_empty() {
            request.field(&line);
            return Flow::Go;
        }
        match self.request.take() {
            Some(request) => self.answer(&request, out),
            None => Flow::Go,
        }
    }

    fn refuse(&mut self, _frame: &[u8], _closing: bool, out: &mut Vec<u8>) {
        let _ = self.put(TOO_LARGE, false, true, out);
    }
}

impl Request {
    /// Notes what a field of the header says.
    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or_default();
        // RFC 9112 §5.1 and §5.2: no space before the colon, and no folded lines.
        self.malformed |= name.is_empty() || name.contains([' ', '\t']);
        let closes = |word: &str| word.trim().eq_ignore_ascii_case("close");
        match &*name.to_ascii_lowercase() {
            "host" => self.hosts += 1,
            "connection" => self.last |= value.split(',').any(closes),
            "content-length" => self.last |= value.trim() != "0",
            "transfer-encoding" => self.last = true,
            _ => {}
        }
    }
}

const UNKNOWN: &str = "<dt>You<dd>not known here: Vestibule sends a web server no PROXY header, \
    unless its configuration says <code>identity: proxy-v2</code>";
const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<link rel=\"icon\" href=\"data:,\">
<title>Vestibule</title>
<style>
  :root { color-scheme: light dark }
  body { font: 1.1em/1.5 system-ui, sans-serif; max-width: 36em; margin: 12vh auto; padding: 0 1em }
  dl { border-left: .3em solid #2a7; padding-left: 1em }
  dt { opacity: .7 }
  dd { margin: 0 0 .5em; font-weight: 600 }
</style>
<h1>{heading}</h1>
<p>The server that wrote this page is small and speaks no TLS. Vestibule stands in front of it: it
took your connection, picked the certificate for the name that your browser asked for, and passed on
what was inside.
<dl>{rows}</dl>
<p>Write to <code>demo@localhost</code>, and read it as <code>demo</code> over IMAP or POP3.
Nothing here touches the disk: when the demo ends, all is forgotten.
</html>
";

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(web: &mut Web, request: &str) -> (String, Flow) {
        let (mut out, mut flow) = (Vec::new(), Flow::Go);
        for line in request.split_inclusive('\n') {
            assert_eq!((flow, out.len()), (Flow::Go, 0), "{request}");
            flow = web.command(line.as_bytes(), &mut out);
        }
        (String::from_utf8(out).unwrap(), flow)
    }

    #[test]
    fn a_connection_is_kept_as_the_client_wants() {
        let mut web = Web::new(None);
        for (request, status, wanted) in [
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", Flow::Go),
            ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK", Flow::Go),
            ("GET http://a/b/ HTTP/1.1\r\nHost: a\r\n\r\n", "404 Not Found", Flow::Go),
            ("HEAD /?a HTTP/1.1\r\nhost:a\r\nConnection: x, Close\r\n\r\n", "200 OK", Flow::End),
            ("GET / HTTP/1.0\r\n\r\n", "200 OK", Flow::End),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", "405 Meth", Flow::End),
            ("GET / HTTP/1.1\r\n\r\n", BAD, Flow::End),
            ("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", BAD, Flow::End),
            ("GET /\r\n\r\n", BAD, Flow::End),
            ("PRI * HTTP/2.0\r\n\r\n", "505 HTTP", Flow::End),
        ] {
            let (answer, flow) = ask(&mut web, request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
            assert_eq!(flow, wanted, "{request}");
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let length = format!("Content-Length: {}\r\n", body.len());
            assert_eq!(head.contains(&length), !request.contains("HEAD"), "{request}: {head}");
        }
        let many = "a: b\r\n".repeat(MAX_HEAD / 6 + 1);
        let (answer, flow) = ask(&mut web, &format!("GET / HTTP/1.1\r\n{many}"));
        assert!(answer.starts_with("HTTP/1.1 431 ") && flow == Flow::End, "{answer}");
    }

    #[test]
    fn the_page_tells_what_is_known_of_the_visitor() {
        let peer = Peer { address: "203.0.113.9:4660".parse().ok(), tls: Some("TLSv1.3".into()) };
        let (answer, _) = ask(&mut Web::new(Some(peer)), "GET / HTTP/1.0\r\n\r\n");
        assert!(answer.contains("<dd>203.0.113.9:4660<dt>Your TLS<dd>TLSv1.3"), "{answer}");
        let (answer, _) = ask(&mut Web::new(None), "GET / HTTP/1.0\r\n\r\n");
        assert!(answer.contains("<dd>not known here"), "{answer}");
    }
}
