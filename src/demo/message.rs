//! Messages taken apart: header fields, addresses, the MIME tree.

/// Depth and number of parts that are looked into; what is beyond stays text.
const MAX_DEPTH: usize = 16;
const MAX_PARTS: usize = 1000;

/// A message or a part of one.
pub(super) struct Part<'a> {
    /// With the empty line that ends it.
    pub(super) header: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) media: Value,
    /// The parts of a multipart, or the one message within a message/rfc822.
    pub(super) children: Vec<Part<'a>>,
}

/// A field such as Content-Type: a value and its parameters.
pub(super) struct Value {
    /// As written, in lower case.
    pub(super) name: String,
    pub(super) parameters: Vec<(String, String)>,
}

/// One address of an address list, or with no host the start (with a `local`) or the end of a
/// group, as RFC 3501 §7.4.2 wants them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) name: Option<String>,
    pub(super) local: Option<String>,
    pub(super) host: Option<String>,
}

impl<'a> Part<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Self {
        Self::nested(bytes, "text/plain", 0, &mut 0)
    }

    pub(super) fn is_multipart(&self) -> bool {
        self.media.name.starts_with("multipart/")
    }

    /// The message that a message/rfc822 part holds.
    pub(super) fn message(&self) -> Option<&Part<'a>> {
        self.children.first().filter(|_| !self.is_multipart())
    }

    fn nested(bytes: &'a [u8], default: &str, depth: usize, count: &mut usize) -> Self {
        let (header, body) = split(bytes);
        let written = field(header, "Content-Type").map(|text| Value::parse(&text));
        let mut media = written
            .filter(|media| media.name.contains('/'))
            .unwrap_or_else(|| Value { name: default.to_owned(), parameters: Vec::new() });
        let mut children = Vec::new();
        *count += 1;
        let deeper = depth < MAX_DEPTH && *count < MAX_PARTS;
        if media.name == "message/rfc822" && deeper {
            children.push(Part::nested(body, "text/plain", depth + 1, count));
        } else if media.name.starts_with("multipart/") {
            // RFC 2046 §5.1.5: what a digest holds are messages unless it says otherwise.
            let digest = media.name == "multipart/digest";
            let default = if digest { "message/rfc822" } else { "text/plain" };
            let boundary = media.parameter("boundary").unwrap_or_default().to_owned();
            for piece in pieces(body, boundary.as_bytes()) {
                if deeper && *count < MAX_PARTS {
                    children.push(Part::nested(piece, default, depth + 1, count));
                }
            }
        }
        if children.is_empty() && !media.name.starts_with("text/") {
            // A multipart without parts cannot be told in a BODYSTRUCTURE.
            let container = media.name.starts_with("multipart/") || media.name == "message/rfc822";
            if container {
                media = Value { name: "text/plain".to_owned(), parameters: Vec::new() };
            }
        }
        Self { header, body, media, children }
    }
}

impl Value {
    /// `text/plain; charset="utf-8"`, its comments left in (they are as good as extinct).
    pub(super) fn parse(text: &str) -> Self {
        let mut pieces = Vec::from([String::new()]);
        let (mut quoted, mut escaped) = (false, false);
        for c in text.chars() {
            let last = pieces.len() - 1;
            match c {
                _ if escaped => {
                    escaped = false;
                    pieces[last].push(c);
                }
                '\\' if quoted => escaped = true,
                '"' => quoted = !quoted,
                ';' if !quoted => pieces.push(String::new()),
                c => pieces[last].push(c),
            }
        }
        let mut pieces = pieces.into_iter();
        let name = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let parameters = pieces
            .filter_map(|piece| {
                let (key, value) = piece.split_once('=')?;
                Some((key.trim().to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect();
        Self { name, parameters }
    }

    fn parameter(&self, key: &str) -> Option<&str> {
        self.parameters.iter().find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }
}

/// Header (with the empty line) and body.
pub(super) fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        end += line.len();
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
    }
    bytes.split_at(end)
}

/// The fields of a header, each with its name and all of its text, folds and line end included.
pub(super) fn fields(header: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut fields = Vec::new();
    let mut rest = header;
    while !rest.is_empty() {
        let mut end = 0;
        for (n, line) in rest.split_inclusive(|b| *b == b'\n').enumerate() {
            if n > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                break;
            }
            end += line.len();
        }
        let (field, next) = rest.split_at(end);
        if let Some(colon) = memchr::memchr(b':', field) {
            fields.push((field[..colon].trim_ascii_end(), field));
        }
        rest = next;
    }
    fields
}

/// The unfolded value of a field's first occurrence.
pub(super) fn field(header: &[u8], name: &str) -> Option<String> {
    let fields = fields(header);
    let (own, raw) = fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))?;
    Some(unfold(raw.get(own.len()..)?))
}

/// The text after the colon without its line ends (RFC 5322 §2.2.3).
pub(super) fn unfold(raw: &[u8]) -> String {
    let value = &raw[memchr::memchr(b':', raw).map_or(0, |at| at + 1)..];
    String::from_utf8_lossy(value).replace(['\r', '\n', '\0'], "").trim().to_owned()
}

/// The addresses in a field's unfolded value (RFC 5322 §3.4).
pub(super) fn addresses(value: &str) -> Vec<Address> {
    let mut list = Vec::new();
    let mut pending = Pending::default();
    let mut in_group = false;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                while let Some(c) = chars.next().filter(|c| *c != '"') {
                    pending.words.extend(if c == '\\' { chars.next() } else { Some(c) });
                }
            }
            '(' => {
                let mut depth = 1;
                pending.comment.clear();
                for c in chars.by_ref() {
                    depth += i32::from(c == '(') - i32::from(c == ')');
                    if depth == 0 {
                        break;
                    }
                    pending.comment.push(c);
                }
            }
            '<' => pending.angle = Some(chars.by_ref().take_while(|c| *c != '>').collect()),
            ',' => list.extend(pending.finish()),
            ':' if !in_group => {
                in_group = true;
                let name = std::mem::take(&mut pending).words.trim().to_owned();
                list.push(Address { name: None, local: Some(name), host: None });
            }
            ';' if in_group => {
                in_group = false;
                list.extend(pending.finish());
                list.push(Address { name: None, local: None, host: None });
            }
            c => pending.words.push(c),
        }
    }
    list.extend(pending.finish());
    list
}

#[derive(Default)]
struct Pending {
    words: String,
    angle: Option<String>,
    comment: String,
}

impl Pending {
    fn finish(&mut self) -> Option<Address> {
        let Self { words, angle, comment } = std::mem::take(self);
        let words = words.trim();
        let (name, spec) = match &angle {
            // RFC 5322 §4.4: an old source route before a colon means nothing any more.
            Some(angle) => (words, angle.rsplit(':').next().unwrap_or_default().trim()),
            None => (comment.as_str(), words),
        };
        if spec.is_empty() && name.is_empty() {
            return None;
        }
        let (local, host) = spec.rsplit_once('@').unwrap_or((spec, ""));
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        Some(Address { name, local: Some(local.to_owned()), host: Some(host.to_owned()) })
    }
}

/// What stands between the boundary lines of a multipart's body (RFC 2046 §5.1.1).
fn pieces<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let (mut start, mut at) = (None, 0);
    for line in body.split_inclusive(|b| *b == b'\n') {
        let after = line.strip_prefix(b"--").and_then(|rest| rest.strip_prefix(boundary));
        let after = after.map(<[u8]>::trim_ascii).filter(|rest| matches!(*rest, b"" | b"--"));
        if let Some(after) = after.filter(|_| !boundary.is_empty()) {
            if let Some(start) = start.take() {
                // The line end before a boundary belongs to the boundary.
                let piece = &body[start..at];
                let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
                pieces.push(piece.strip_suffix(b"\r").unwrap_or(piece));
            }
            if after == b"--" || pieces.len() > MAX_PARTS {
                return pieces;
            }
            start = Some(at + line.len());
        }
        at += line.len();
    }
    // Cut short: the last part goes to the end.
    pieces.extend(start.map(|start| &body[start..]));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_apart() {
        let message = Part::parse(
            b"Content-Type: multipart/mixed;\r\n boundary=\"=_1\"\r\n\r\npreamble\r\n--=_1\r\n\r\n\
              one\r\n--=_1\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ntwo\r\n\
              --=_1--\r\nepilogue",
        );
        assert!(message.is_multipart());
        assert_eq!(message.children.len(), 2);
        assert_eq!(message.children[0].body, b"one");
        let inner = message.children[1].message().unwrap();
        assert_eq!(inner.body, b"two");
        assert_eq!(field(inner.header, "subject").as_deref(), Some("in"));
        assert_eq!(Part::parse(b"Content-Type: multipart/x\r\n\r\n").media.name, "text/plain");
    }

    #[test]
    fn addresses_come_in_many_forms() {
        let text = "\"Doe, J.\" <j@a.test>, k@b.test (Kay), team: <l@c.test>;, broken";
        let told: Vec<_> = addresses(text)
            .into_iter()
            .map(|a| [a.name, a.local, a.host].map(|part| part.unwrap_or("NIL".into())).join("|"))
            .collect();
        let right =
            ["Doe, J.|j|a.test", "Kay|k|b.test", "NIL|team|NIL", "NIL|l|c.test", "NIL|NIL|NIL"];
        assert_eq!(told[..5], right);
        assert_eq!(told[5..], ["NIL|broken|"]);
    }
}
