//! What several servers have in common: a client that is told this is told nothing wrong, whichever
//! of them it comes to.

use std::sync::Arc;

use super::{Learned, Protocol};

impl Learned {
    /// What all of these can do, in the order and the spelling of the first, whose banner it is, too.
    /// `None`: there are none.
    #[must_use]
    pub fn common(protocol: Protocol, all: &[Arc<Self>]) -> Option<Self> {
        let (first, others) = all.split_first()?;
        let others: Vec<Vec<Entry<'_>>> =
            others.iter().map(|l| entries(protocol, &l.capabilities)).collect();
        let shared = |entry: Entry<'_>| {
            let mut entry = Shared {
                keyword: entry.keyword,
                sep: entry.sep,
                value: entry.value.map(str::to_owned),
            };
            for other in &others {
                let same = other.iter().find(|o| o.is_of(entry.keyword, entry.sep))?;
                entry.value = meet(protocol, entry.keyword, entry.value.as_deref(), same.value)?;
            }
            Some(entry.line())
        };
        let capabilities =
            entries(protocol, &first.capabilities).into_iter().filter_map(shared).collect();
        Some(Self { banner: first.banner.clone(), capabilities })
    }
}

/// A capability in its parts.
struct Entry<'a> {
    keyword: &'a str,
    /// What stands between keyword and value.
    sep: char,
    value: Option<&'a str>,
}

/// A capability that is made anew.
struct Shared<'a> {
    keyword: &'a str,
    sep: char,
    value: Option<String>,
}

impl Shared<'_> {
    fn line(self) -> String {
        match self.value {
            Some(value) => format!("{}{}{value}", self.keyword, self.sep),
            None => self.keyword.to_owned(),
        }
    }
}

impl Entry<'_> {
    fn is_of(&self, keyword: &str, sep: char) -> bool {
        self.keyword.eq_ignore_ascii_case(keyword)
            && (self.value.is_none()
                || self.sep == sep
                || !self.keyword.eq_ignore_ascii_case("AUTH"))
    }
}

fn entries<'a>(protocol: Protocol, capabilities: &'a [String]) -> Vec<Entry<'a>> {
    capabilities
        .iter()
        .map(|line| {
            let split = match protocol {
                // `AUTH=PLAIN` is a capability of its own (RFC 9051 §7.2.2); a limit is not.
                Protocol::Imap => line.find('=').filter(|at| is_least(protocol, &line[..*at])),
                // Some servers say AUTH again as `AUTH=`, for very old clients.
                Protocol::Smtp | Protocol::Submission => line.find([' ', '=']),
                _ => line.find(' '),
            };
            match split {
                Some(at) => Entry {
                    keyword: &line[..at],
                    sep: line[at..].chars().next().unwrap_or(' '),
                    value: Some(&line[at + 1..]),
                },
                None => Entry { keyword: line, sep: ' ', value: None },
            }
        })
        .collect()
}

/// Whether a capability's value is a number of which the least is what all can do.
fn is_least(protocol: Protocol, keyword: &str) -> bool {
    let least: &[&str] = match protocol {
        Protocol::Imap => &["APPENDLIMIT"],                 // RFC 7889
        Protocol::Smtp | Protocol::Submission => &["SIZE"], // RFC 1870
        Protocol::Sieve => &["MAXREDIRECTS"],               // RFC 5804 §1.7
        _ => &[],
    };
    least.iter().any(|l| l.eq_ignore_ascii_case(keyword))
}

/// The value that holds for both; `None`: there is none, and so no capability. What a server says of
/// itself for people to read is the first one's.
fn meet(
    protocol: Protocol,
    keyword: &str,
    a: Option<&str>,
    b: Option<&str>,
) -> Option<Option<String>> {
    let own = |value: Option<&str>| value.map(str::to_owned);
    if is_least(protocol, keyword) {
        return Some(least(a, b));
    }
    let is_prose = keyword.eq_ignore_ascii_case("IMPLEMENTATION");
    let (Some(a), Some(b)) = (a, b) else {
        // With parameters or without: it is there, and no parameter is common.
        return Some(if is_prose { own(a) } else { None });
    };
    if is_prose || a.eq_ignore_ascii_case(b) {
        return Some(own(Some(a)));
    }
    if keyword.eq_ignore_ascii_case("LIMITS") {
        return limits(a, b).map(Some);
    }
    let common = words(a, |word| b.split_ascii_whitespace().any(|o| o.eq_ignore_ascii_case(word)));
    // RFC 5804 §1.7: SASL and SIEVE are listed in any case.
    (!common.is_empty() || protocol == Protocol::Sieve).then_some(Some(common))
}

fn words(text: &str, keeps: impl Fn(&str) -> bool) -> String {
    text.split_ascii_whitespace().filter(|word| keeps(word)).collect::<Vec<_>>().join(" ")
}

/// RFC 1870 §4: without a number, or with 0, there is no limit that is known.
fn least(a: Option<&str>, b: Option<&str>) -> Option<String> {
    let number = |text: Option<&str>| text?.trim().parse::<u64>().ok().filter(|n| *n > 0);
    match (number(a), number(b)) {
        (Some(a), Some(b)) => Some(a.min(b).to_string()),
        (Some(n), None) | (None, Some(n)) => Some(n.to_string()),
        (None, None) => a.map(str::to_owned),
    }
}

/// RFC 9422 §3: `RCPTMAX=100 MAILMAX=10`. A limit of one is a limit of all.
fn limits(a: &str, b: &str) -> Option<String> {
    let mut all: Vec<(&str, u64)> = Vec::new();
    for limit in a.split_ascii_whitespace().chain(b.split_ascii_whitespace()) {
        let Some((name, value)) = limit.split_once('=') else { continue };
        let Ok(value) = value.parse::<u64>() else { continue };
        match all.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, least)) => *least = value.min(*least),
            None => all.push((name, value)),
        }
    }
    let said = all.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    (!said.is_empty()).then(|| said.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(banner: &str, capabilities: &[&str]) -> Arc<Learned> {
        let capabilities = capabilities.iter().map(|&c| c.to_owned()).collect();
        Arc::new(Learned { banner: banner.into(), capabilities })
    }

    fn common(protocol: Protocol, all: &[&[&str]]) -> Vec<String> {
        let all: Vec<_> = all.iter().map(|c| learned("hi", c)).collect();
        Learned::common(protocol, &all).unwrap().capabilities
    }

    #[test]
    fn what_all_have_is_what_each_has_and_the_first_speaks_for_them() {
        let [a, b] = [learned("a ready", &["X", "Y"]), learned("b ready", &["Y", "X"])];
        assert_eq!(Learned::common(Protocol::Imap, &[]), None);
        assert_eq!(Learned::common(Protocol::Imap, std::slice::from_ref(&a)).as_ref(), Some(&*a));
        assert_eq!(Learned::common(Protocol::Imap, &[a.clone(), b]).as_ref(), Some(&*a));
    }

    #[test]
    fn smtp_keywords_with_their_parameters() {
        let all: [&[&str]; 3] = [
            &[
                "PIPELINING",
                "SIZE 2000",
                "AUTH PLAIN LOGIN XOAUTH2",
                "AUTH=PLAIN LOGIN",
                "8BITMIME",
                "CHUNKING",
                "LIMITS RCPTMAX=100 MAILMAX=5",
            ],
            &[
                "size 1000",
                "pipelining",
                "AUTH LOGIN PLAIN",
                "AUTH=LOGIN",
                "8BITMIME",
                "CHUNKING",
                "LIMITS MAILMAX=7",
            ],
            &[
                "PIPELINING",
                "SIZE 0",
                "AUTH PLAIN CRAM-MD5",
                "AUTH=LOGIN",
                "8BITMIME",
                "LIMITS RCPTMAX=50",
            ],
        ];
        assert_eq!(
            common(Protocol::Smtp, &all),
            [
                "PIPELINING",
                "SIZE 1000",
                "AUTH PLAIN",
                "AUTH=LOGIN",
                "8BITMIME",
                "LIMITS RCPTMAX=50 MAILMAX=5"
            ]
        );
        assert_eq!(
            common(Protocol::Smtp, &[&["SIZE", "AUTH PLAIN"], &["SIZE 0", "AUTH LOGIN"]]),
            ["SIZE"]
        );
        assert_eq!(common(Protocol::Smtp, &[&["SIZE 10"], &["CHUNKING"]]), [""; 0]);
    }

    #[test]
    fn imap_lists() {
        let all: [&[&str]; 2] = [
            &[
                "IMAP4rev1",
                "AUTH=PLAIN",
                "AUTH=LOGIN",
                "IDLE",
                "APPENDLIMIT=5000",
                "QUOTA=RES-STORAGE",
            ],
            &["AUTH=PLAIN", "imap4rev1", "APPENDLIMIT=700", "QUOTA=RES-MESSAGE", "LITERAL+"],
        ];
        assert_eq!(common(Protocol::Imap, &all), ["IMAP4rev1", "AUTH=PLAIN", "APPENDLIMIT=700"]);
    }

    #[test]
    fn pop3_lists() {
        let all: [&[&str]; 2] = [
            &["USER", "SASL PLAIN LOGIN", "UIDL", "IMPLEMENTATION one", "EXPIRE 30"],
            &["UIDL", "SASL LOGIN", "USER", "IMPLEMENTATION other", "EXPIRE 10"],
        ];
        assert_eq!(
            common(Protocol::Pop3, &all),
            ["USER", "SASL LOGIN", "UIDL", "IMPLEMENTATION one"]
        );
    }

    #[test]
    fn sieve_lists() {
        let all: [&[&str]; 2] = [
            &[
                "IMPLEMENTATION A 1",
                "SIEVE fileinto reject vacation",
                "SASL PLAIN",
                "MAXREDIRECTS 5",
                "VERSION 1.0",
            ],
            &[
                "IMPLEMENTATION B",
                "SIEVE vacation fileinto",
                "SASL LOGIN",
                "MAXREDIRECTS 4",
                "VERSION 1.0",
            ],
        ];
        assert_eq!(
            common(Protocol::Sieve, &all),
            [
                "IMPLEMENTATION A 1",
                "SIEVE fileinto vacation",
                "SASL ",
                "MAXREDIRECTS 4",
                "VERSION 1.0"
            ]
        );
    }
}
