//! Where answers to an authority's challenges go: to the front in this process, to one that runs
//! beside us, or into DNS. They are taken back by drop, or when the order has come to its end.

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::{Trouble, published::Published};
use crate::{
    certs::{Challenges, issue::challenge},
    values::{Challenge, acme_server_name},
};

/// Who answers on ports 80 and 443.
#[derive(Clone, Debug)]
pub enum Answers {
    /// The front in this process.
    Here(Arc<Challenges>),
    /// One that listens on this socket for what it is to answer.
    There(PathBuf),
}

/// How long a front may take that runs beside us.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer that is in the hands of the front until this is dropped.
pub(super) enum Given {
    Here(#[expect(dead_code, reason = "what counts is that it is dropped")] Lent),
    There(#[expect(dead_code, reason = "as above")] UnixStream),
}

/// What is asked, and what is answered.
pub(super) struct Question<'a> {
    /// The name, or the address, without `*.`.
    pub(super) identifier: &'a str,
    pub(super) token: &'a str,
    /// The key authorization (RFC 8555 §8.1).
    pub(super) authorization: &'a str,
    /// Its digest, as DNS has it.
    pub(super) record: String,
}

impl Answers {
    /// Sees to it that the authority gets its answer. `None`: it is in DNS.
    pub(super) async fn give(
        &self,
        how: &Challenge,
        question: &Question<'_>,
        published: &Published,
    ) -> Result<Option<Given>, Trouble> {
        let line = match how {
            Challenge::Http01 => Line {
                is_http: true,
                asked: question.token.to_owned(),
                answer: question.authorization.to_owned(),
            },
            Challenge::TlsAlpn01 => Line {
                is_http: false,
                asked: question.identifier.to_owned(),
                answer: question.authorization.to_owned(),
            },
            Challenge::Dns01 { hook, timeout } => {
                let name = format!("_acme-challenge.{}", question.identifier);
                published.present((hook, *timeout), &name, &question.record).await?;
                return Ok(None);
            }
        };
        Ok(Some(match self {
            Self::Here(challenges) => Given::Here(Lent::new(challenges, line)?),
            Self::There(socket) => Given::There(ask(socket, &line).await?),
        }))
    }
}

/// An answer as it goes over the socket: `http TOKEN ANSWER` or `alpn NAME ANSWER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    is_http: bool,
    asked: String,
    answer: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_http, asked, answer } = self;
        write!(f, "{} {asked} {answer}", if *is_http { "http" } else { "alpn" })
    }
}

impl FromStr for Line {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        let words: Vec<&str> = text.split(' ').collect();
        let [kind, asked, answer] = words[..] else { return Err(()) };
        if ![asked, answer].iter().all(|word| !word.is_empty() && word.chars().all(is_plain)) {
            return Err(());
        }
        let is_http = match kind {
            "http" => true,
            "alpn" => false,
            _ => return Err(()),
        };
        Ok(Self { is_http, asked: asked.to_owned(), answer: answer.to_owned() })
    }
}

/// An answer in the hands of the front in this process.
pub(super) struct Lent {
    challenges: Arc<Challenges>,
    is_http: bool,
    asked: String,
}

impl Lent {
    pub(super) fn new(challenges: &Arc<Challenges>, line: Line) -> Result<Self, Trouble> {
        let Line { is_http, mut asked, answer } = line;
        if is_http {
            challenges.set_http(&asked, Some(answer.into()));
        } else {
            let name = asked.parse().map_err(Trouble::ours)?;
            let shown = challenge(&name, &answer).map_err(|e| Trouble::ours(e.to_string()))?;
            asked = acme_server_name(&asked);
            if challenges.alpn(&asked).is_some() {
                return Err(Trouble::passing(format!(
                    "{asked}: the authority is asked about it by another order already: try again later"
                )));
            }
            challenges.set_alpn(&asked, Some(shown));
        }
        Ok(Self { challenges: challenges.clone(), is_http, asked })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.is_http {
            self.challenges.set_http(&self.asked, None);
        } else {
            self.challenges.set_alpn(&self.asked, None);
        }
    }
}

/// Asks a front that runs beside us to answer for as long as the connection stays.
async fn ask(socket: &Path, line: &Line) -> Result<UnixStream, Trouble> {
    let asking = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        let mut said = [0; 3];
        stream.read_exact(&mut said).await?;
        Ok::<_, std::io::Error>((stream, said))
    };
    match timeout(PATIENCE, asking).await {
        Ok(Ok((stream, said))) if said == *b"ok\n" => Ok(stream),
        Ok(Ok(_)) => Err(Trouble::passing(
            "the front does not take the answer: it may be ordering for that name itself",
        )),
        Ok(Err(e)) => Err(Trouble::ours(format!(
            "{}: {e}; the front answers the authority's challenges, so it has to run: start it, and it orders by itself",
            socket.display()
        ))),
        Err(_) => Err(Trouble::ours("the front does not take the answer in time")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_goes_when_it_is_not_wanted_any_more() {
        let challenges = Arc::new(Challenges::default());
        let line: Line = "http token token.thumbprint".parse().unwrap();
        assert_eq!(line.to_string(), "http token token.thumbprint");
        let lent = Lent::new(&challenges, line).unwrap();
        assert_eq!(challenges.http("token").as_deref(), Some("token.thumbprint"));
        drop(lent);
        assert!(challenges.http("token").is_none());
        let lent = Lent::new(&challenges, "alpn 192.0.2.1 a.b".parse().unwrap()).unwrap();
        assert!(challenges.alpn("1.2.0.192.in-addr.arpa").is_some());
        assert!(Lent::new(&challenges, "alpn 192.0.2.1 c.d".parse().unwrap()).is_err());
        assert!(challenges.alpn("1.2.0.192.in-addr.arpa").is_some());
        drop(lent);
        assert!(challenges.alpn("1.2.0.192.in-addr.arpa").is_none());
    }

    #[test]
    fn nonsense_is_no_answer() {
        for text in
            ["", "http a", "http  b", "http a b c", "dns a b", "http a/../b c", "http a\n b"]
        {
            assert!(text.parse::<Line>().is_err(), "{text}");
        }
    }
}
