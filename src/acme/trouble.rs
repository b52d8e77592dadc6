//! Why an order did not come to its end, in the authority's own words where it has any.

use std::{fmt, time::Duration};

use instant_acme::{Error, Problem};

use super::http::StatusCode;

/// What is wrong, and when it makes sense to try again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Whose fault it is, roughly.
    pub kind: Kind,
    /// What is wrong, and what to do about it.
    pub text: String,
    /// How long the authority wants to be left alone.
    pub after: Option<Duration>,
}

/// What kind of trouble it is: it decides how soon the next attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The authority cannot be reached, or is not well.
    Passing,
    /// The authority has looked, and says no.
    Refused,
    /// The authority says that it was too much.
    Limited,
    /// Something here is not as it should be.
    Ours,
    /// The authority has issued, and what it has issued is of no use: each attempt costs it another.
    Useless,
}

impl Trouble {
    /// Something here is not as it should be.
    pub(super) fn ours(text: impl Into<String>) -> Self {
        Self { kind: Kind::Ours, text: text.into(), after: None }
    }

    /// The authority cannot be reached, or is not well.
    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self { kind: Kind::Passing, text: text.into(), after: None }
    }

    /// What the authority has issued is of no use.
    pub(super) fn useless(text: impl Into<String>) -> Self {
        Self { kind: Kind::Useless, text: text.into(), after: None }
    }

    /// With what it was about in front.
    pub(super) fn about(mut self, what: &str) -> Self {
        self.text = format!("{what}: {}", self.text);
        self
    }

    /// With what to do about it behind.
    pub(super) fn and(mut self, what: &str) -> Self {
        self.text = format!("{}: {what}", self.text);
        self
    }

    /// What the authority has said.
    pub(super) fn said(problem: &Problem) -> Self {
        let kind = match short(problem) {
            Some("rateLimited") => Kind::Limited,
            _ if problem.status == Some(429) => Kind::Limited,
            // A nonce that was used up is nobody's fault.
            Some("badNonce" | "serverInternal") => Kind::Passing,
            _ if problem.status.is_some_and(|status| status >= 500) => Kind::Passing,
            _ => Kind::Refused,
        };
        Self { kind, text: words(problem), after: None }
    }

    /// The authority refuses, and does not say why.
    pub(super) fn unexplained(status: StatusCode) -> Self {
        let is_limited = status == StatusCode::TOO_MANY_REQUESTS;
        let kind = if is_limited { Kind::Limited } else { Kind::Passing };
        Self { kind, text: format!("it answers {status}"), after: None }
    }

    /// Whether this is that problem of RFC 8555 §6.7.
    pub(super) fn is(&self, name: &str) -> bool {
        let end = self.text.strip_suffix(')').and_then(|text| text.strip_suffix(name));
        end.is_some_and(|text| text.ends_with('('))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Trouble {}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::said(&problem),
            Error::Timeout(_) => Self::passing("the authority has not come to an end in time"),
            Error::Json(error) => {
                Self::passing(format!("the authority's answer cannot be understood: {error}"))
            }
            Error::Other(error) => match error.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::passing(other.to_string()),
            },
            other => Self::passing(other.to_string()),
        }
    }
}

/// The longest text of theirs that is kept.
const LONGEST: usize = 1000;

/// What a problem says of itself and of each name, and its type without the common beginning.
fn words(problem: &Problem) -> String {
    let mut text = problem.detail.clone().unwrap_or_default();
    if text.is_empty() {
        text.push_str("the authority gives no reason");
    }
    for part in &problem.subproblems {
        let name = part.identifier.as_ref().map(|name| name.authorized(false).to_string());
        let detail = part.detail.as_deref().unwrap_or("no reason given");
        text.push_str("; ");
        if let Some(name) = name {
            text.push_str(&name);
            text.push_str(": ");
        }
        text.push_str(detail);
    }
    // It is shown on terminals and in logs.
    let mut text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
    }
    match short(problem) {
        Some(kind) if kind.chars().all(|c| c.is_ascii_alphanumeric()) => format!("{text} ({kind})"),
        _ => text,
    }
}

fn short(problem: &Problem) -> Option<&str> {
    problem.r#type.as_deref()?.strip_prefix("urn:ietf:params:acme:error:")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Trouble {
        Trouble::said(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn the_authoritys_own_reason_is_told() {
        let said = problem(
            r#"{"type":"urn:ietf:params:acme:error:dns","detail":"NXDOMAIN looking up A for\na.example","status":400}"#,
        );
        assert_eq!(said.text, "NXDOMAIN looking up A for a.example (dns)");
        assert_eq!(said.kind, Kind::Refused);
        let said = problem(
            r#"{"type":"urn:ietf:params:acme:error:malformed","detail":"some names are bad","subproblems":[
               {"identifier":{"type":"dns","value":"a.example"},"detail":"no such domain"}]}"#,
        );
        assert_eq!(said.text, "some names are bad; a.example: no such domain (malformed)");
    }

    #[test]
    fn it_is_known_when_another_attempt_may_help() {
        let kind = |json| problem(json).kind;
        assert_eq!(kind(r#"{"type":"urn:ietf:params:acme:error:rateLimited"}"#), Kind::Limited);
        assert_eq!(kind(r#"{"type":"urn:ietf:params:acme:error:badNonce"}"#), Kind::Passing);
        assert_eq!(kind(r#"{"status":503}"#), Kind::Passing);
        assert_eq!(kind(r#"{"type":"about:blank","status":403}"#), Kind::Refused);
        assert_eq!(problem("{}").text, "the authority gives no reason");
        let long = format!(r#"{{"detail":"{}"}}"#, "é".repeat(5000));
        assert_eq!(problem(&long).text.chars().count(), LONGEST);
    }
}
