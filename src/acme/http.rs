//! HTTPS to the authority: one request a connection, all of it bounded. The only user of hyper's
//! client.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt, Full, Limited};
pub(super) use hyper::{
    Request, Response, StatusCode,
    body::Bytes,
    header::{CONTENT_TYPE, HeaderMap},
};
use hyper::{
    Uri,
    body::Body,
    client::conn::http1,
    header::{HOST, HeaderValue, LINK, LOCATION, RETRY_AFTER, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use super::Trouble;
use crate::{
    certs::{self, Finding, Severity},
    tls,
    wire::Link,
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(30);

/// How long one of a host's addresses may take.
const ONE: Duration = Duration::from_secs(6);

/// How long a request may take, with its answer.
const WHOLE: Duration = Duration::from_secs(90);

/// The longest answer that is read: a long chain has 20 KiB.
const LARGEST: usize = 1 << 20;

/// The longest wait that is believed.
const LONGEST_WAIT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The longest address of a page that is shown.
const LONGEST_PAGE: usize = 1000;

/// What we are called: RFC 8555 §6.1 wants a name.
const NAME: &str = concat!("vestibule/", env!("CARGO_PKG_VERSION"));

/// A whole answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// The authorities in `acme.trust`.
pub(super) fn trusted(file: &Path) -> Result<Vec<CertificateDer<'static>>, Vec<Finding>> {
    let about = |f: Finding| Finding {
        severity: Severity::Error,
        text: format!("acme.trust: {}", f.text),
        ..f
    };
    let known = certs::authorities(&[file.to_owned()], &[])
        .map_err(|findings| findings.into_iter().map(about).collect::<Vec<Finding>>())?;
    Ok(known.certificates.into_iter().map(|(_, der)| der).collect())
}

/// A way to an authority.
#[derive(Clone)]
pub(super) struct Web {
    tls: Arc<ClientConfig>,
    aside: Arc<Mutex<Aside>>,
}

/// What the authority has said besides its answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Aside {
    /// When the last refusal says that another request makes sense.
    pub(super) after: Option<Duration>,
    /// The address of what was made last.
    pub(super) made: Option<String>,
    /// The page that somebody has to visit, if its last refusal said so.
    page: Option<String>,
}

impl Web {
    /// It trusts this machine's authorities, and those in this file.
    pub(super) fn new(trust: Option<&Path>) -> Result<Self, Trouble> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(file) = trust {
            roots.add_parsable_certificates(trusted(file).map_err(|findings| {
                let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
                Trouble::ours(said.join("; "))
            })?);
        }
        let config = ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(|e| Trouble::ours(format!("TLS cannot be set up: {e}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: Arc::new(config), aside: Arc::default() })
    }

    /// What the authority has said besides.
    pub(super) fn aside(&self) -> Aside {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A plain GET.
    pub(super) async fn get(&self, address: &str) -> Result<Answer, Trouble> {
        let request = Request::get(address).body(Full::<Bytes>::default());
        self.send(request.map_err(|e| Trouble::ours(format!("{address}: {e}")))?).await
    }

    pub(super) async fn send<B>(&self, request: Request<B>) -> Result<Answer, Trouble>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let uri = request.uri().clone();
        let place = uri.authority().map_or("", |place| place.as_str());
        let answer = timeout(WHOLE, self.exchange(request)).await;
        let answer = answer
            .unwrap_or_else(|_| Err(Trouble::passing("it does not answer in time")))
            .map_err(|trouble| trouble.about(place))?;
        self.hear(&answer);
        let is_problem = serde_json::from_slice::<Problem>(answer.body()).is_ok();
        if is_refusal(&answer) && !is_problem {
            // It may be of somebody who stands before the authority, and knows nothing of RFC 8555 §6.7.
            let trouble = Trouble::unexplained(answer.status()).about(&uri.to_string());
            return Err(self.explained(trouble));
        }
        Ok(answer.map(Full::new))
    }

    fn hear(&self, answer: &Response<Bytes>) {
        let headers = answer.headers();
        let mut aside = self.aside.lock().unwrap_or_else(PoisonError::into_inner);
        aside.after = wait(headers, SystemTime::now()).filter(|_| is_refusal(answer));
        aside.page = page(answer).filter(|_| is_refusal(answer));
        if answer.status() == StatusCode::CREATED {
            aside.made = text(headers, LOCATION.as_str());
        }
    }

    /// What is wrong, with what the authority has just said besides.
    pub(super) fn explained(&self, trouble: Trouble) -> Trouble {
        let Aside { after, page, .. } = self.aside();
        let trouble = Trouble { after: trouble.after.or(after), ..trouble };
        match page.filter(|_| trouble.is("userActionRequired")) {
            Some(page) => trouble.and(&format!("somebody has to visit {page}")),
            None => trouble,
        }
    }

    async fn exchange<B>(&self, mut request: Request<B>) -> Result<Response<Bytes>, Trouble>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let uri = request.uri().clone();
        let tls = timeout(CONNECT, self.connect(&uri))
            .await
            .map_err(|_| Trouble::passing("a connection takes too long"))??;
        let failed = |e: hyper::Error| Trouble::passing(format!("it speaks no HTTP: {e}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(failed)?;
        let host = uri.authority().map_or("", |a| a.as_str());
        let host =
            HeaderValue::from_str(host).map_err(|_| Trouble::ours("that is no name of a host"))?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(NAME));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() =
            path.parse().map_err(|e| Trouble::ours(format!("`{path}` is no path: {e}")))?;
        let exchange = async {
            let (parts, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
            let body = Limited::new(body, LARGEST).collect().await;
            let body =
                body.map_err(|e| Trouble::passing(format!("its answer cannot be read: {e}")))?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        tokio::pin!(exchange);
        tokio::pin!(connection);
        // The connection has to be polled for anything to happen, and may end first.
        tokio::select! {
            answer = &mut exchange => answer,
            _ = &mut connection => exchange.await,
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<Link, Trouble> {
        if uri.scheme_str() != Some("https") {
            return Err(Trouble::ours(format!(
                "{uri}: an address that begins with https:// is wanted"
            )));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|e| Trouble::ours(format!("{host}: {e}")))?;
        let tcp = reach(host, uri.port_u16().unwrap_or(443))
            .await
            .map_err(|e| Trouble::passing(format!("it cannot be reached: {e}")))?;
        Link::Tcp(tcp)
            .secure(self.tls.clone(), name)
            .await
            .map_err(|e| Trouble::passing(format!("no TLS with it: {e}{}", advice(&e))))
    }
}

/// Where somebody is to go who has to do something, or to read new terms first: RFC 8555 §7.3.3.
fn page(answer: &Response<Bytes>) -> Option<String> {
    let problem: Option<serde_json::Value> = serde_json::from_slice(answer.body()).ok();
    let instance = problem.and_then(|problem| Some(problem.get("instance")?.as_str()?.to_owned()));
    let page = instance.or_else(|| {
        let links = answer.headers().get_all(LINK).iter().filter_map(|link| link.to_str().ok());
        links.flat_map(|links| links.split(',')).find_map(terms)
    })?;
    // It is shown on terminals and in logs.
    (page.len() <= LONGEST_PAGE && page.bytes().all(|b| b.is_ascii_graphic())).then_some(page)
}

/// The address in `<address>;rel="terms-of-service"` (RFC 8288 §3).
fn terms(link: &str) -> Option<String> {
    let (address, rest) = link.trim().strip_prefix('<')?.split_once('>')?;
    rest.contains("terms-of-service").then(|| address.to_owned())
}

fn is_refusal(answer: &Response<Bytes>) -> bool {
    answer.status().is_client_error() || answer.status().is_server_error()
}

/// Connects to the first of a host's addresses that answers.
async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in lookup_host((host, port)).await? {
        match timeout(ONE, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(e)) => failed = e,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

fn advice(error: &io::Error) -> &'static str {
    let unknown = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
    let is_unknown =
        error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) == Some(&unknown);
    if is_unknown { "; a private authority's own root belongs into `acme.trust`" } else { "" }
}

/// A line of a header, where there is one.
pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// What Retry-After says (RFC 9110 §10.2.3).
pub(super) fn wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => httpdate(text)?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST_WAIT))
}

/// `Fri, 31 Dec 1999 23:59:59 GMT`: the one form that is sent today (RFC 9110 §5.6.7).
fn httpdate(text: &str) -> Option<SystemTime> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let words: Vec<&str> = text.split([' ', ':', ',']).filter(|w| !w.is_empty()).collect();
    let [_, day, month, year, hour, minute, second, "GMT"] = words[..] else { return None };
    let month = MONTHS.find(month).filter(|_| month.len() == 3)? / 3 + 1;
    let number = |text: &str| text.parse::<u64>().ok();
    let (day, year, month) = (number(day)?, number(year)?, u64::try_from(month).ok()?);
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970, with years that begin in March, so that the leap day is the last one.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + number(hour)? * 3600 + number(minute)? * 60 + number(second)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

impl HttpClient for Web {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let web = self.clone();
        Box::pin(async move {
            let answer = web.send(request).await.map_err(|e| Error::Other(Box::new(e)))?;
            Ok(BytesResponse::from(answer))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_what_somebody_has_to_read() {
        let page = |body: &'static str, link: &str| {
            let answer = Response::builder().header(LINK, link);
            page(&answer.body(Bytes::from_static(body.as_bytes())).unwrap())
        };
        let link = r#"<https://a/dir>;rel="index", <https://a/terms>;rel="terms-of-service""#;
        assert_eq!(page("{}", link).as_deref(), Some("https://a/terms"));
        assert_eq!(page(r#"{"instance":"https://a/you"}"#, link).as_deref(), Some("https://a/you"));
        for (body, link) in
            [("{}", "<https://a/dir>;rel=index"), ("", "x"), (r#"{"instance":"\n"}"#, "")]
        {
            assert_eq!(page(body, link), None, "{body} {link}");
        }
    }

    #[test]
    fn it_is_known_how_long_to_wait() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(946_684_799 - 30);
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            wait(&headers, now)
        };
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(wait("Tue, 29 Feb 2000 00:00:00 GMT"), Some(LONGEST_WAIT));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(wait("99999999999"), Some(LONGEST_WAIT));
        for nonsense in ["", "soon", "-3", "Fri, 31 Foo 1999 23:59:59 GMT"] {
            assert_eq!(wait(nonsense), None, "{nonsense}");
        }
        assert_eq!(
            httpdate("Mon, 01 Mar 2100 00:00:00 GMT")
                .unwrap()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
            4_107_542_400
        );
    }
}
