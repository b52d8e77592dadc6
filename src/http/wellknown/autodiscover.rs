//! Outlook's autodiscover, in its old form of plain XML (MS-OXDSCLI, "POX").

use std::{future::poll_fn, pin::Pin};

use hyper::{StatusCode, body::Body};
use tokio::time::timeout;

use super::{escaped, is_address, mail_host};
use crate::{
    http::{
        Web,
        answer::Refusal,
        upload::{self, Upload},
    },
    protocol::Protocol,
};

/// In any case: Outlook has written it in several.
pub(super) const PATH: &str = "/autodiscover/autodiscover.xml";

/// A request is one address and one schema.
const LONGEST: usize = 16 << 10;
const OUTLOOK: &str =
    "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";
const OUTER: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";

/// What Outlook is told, or that it asks for what is not to be had.
pub(super) async fn answer(web: &Web, body: &mut Upload) -> Result<String, Refusal> {
    let patience = web.timeouts.http_body;
    let request = timeout(patience, read(body)).await.unwrap_or(Err(upload::SLOW))?;
    let address = element(&request, "EMailAddress");
    let Some(address) = address.filter(|address| is_address(address)) else {
        return Ok(error(600, "Invalid Request"));
    };
    let schema = element(&request, "AcceptableResponseSchema");
    if schema.is_some_and(|schema| !schema.eq_ignore_ascii_case(OUTLOOK)) {
        // ActiveSync, for one, which only the server itself can speak for.
        return Ok(error(601, "Provider is not available"));
    }
    let (_, domain) = address.split_once('@').unwrap_or_default();
    Ok(text(web, &address, domain))
}

async fn read(body: &mut Upload) -> Result<String, Refusal> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|error| upload::fault(&*error))?.into_data() else { continue };
        if whole.len() + data.len() > LONGEST {
            let text = "That is too long for this.\n";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        whole.extend_from_slice(&data);
    }
    Ok(String::from_utf8_lossy(&whole).into_owned())
}

/// What is in the first element of this name, in whatever namespace, if it is nothing but text.
fn element(xml: &str, name: &str) -> Option<String> {
    let mut tags = xml.split('<').skip(1).filter_map(|tag| tag.split_once('>'));
    let is_named = |tag: &str| {
        let full = tag.split_ascii_whitespace().next().unwrap_or_default();
        full.rsplit_once(':').map_or(full, |(_, local)| local) == name && !full.starts_with('/')
    };
    let (_, inside) = tags.find(|(tag, _)| is_named(tag))?;
    tags.next().filter(|(next, _)| next.starts_with('/'))?;
    unescaped(inside.trim())
}

/// XML 1.0 §4.1 and §4.6; `None`: there is an entity that not every document has.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        plain.push(match entity {
            "amp" => '&',
            "apos" => '\'',
            "gt" => '>',
            "lt" => '<',
            "quot" => '"',
            other => by_number(other.strip_prefix('#')?)?,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

fn by_number(number: &str) -> Option<char> {
    let code = match number.strip_prefix('x') {
        Some(hexadecimal) => u32::from_str_radix(hexadecimal, 16),
        None => number.parse(),
    };
    char::from_u32(code.ok()?)
}

fn text(web: &Web, address: &str, domain: &str) -> String {
    let (host, login) = (escaped(&mail_host(web, domain)), escaped(address));
    let mut protocols = String::new();
    for offer in &web.offers {
        let kind = match offer.protocol {
            Protocol::Imap => "IMAP",
            Protocol::Pop3 => "POP3",
            Protocol::Submission => "SMTP",
            _ => continue,
        };
        let (port, ssl) = (offer.port, if offer.is_implicit { "SSL" } else { "TLS" });
        protocols.push_str(&format!(
            "      <Protocol>\n        <Type>{kind}</Type>\n        <Server>{host}</Server>\n        \
             <Port>{port}</Port>\n        <LoginName>{login}</LoginName>\n        \
             <DomainRequired>off</DomainRequired>\n        <SPA>off</SPA>\n        <SSL>on</SSL>\n        \
             <Encryption>{ssl}</Encryption>\n        <AuthRequired>on</AuthRequired>\n      </Protocol>\n"
        ));
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Autodiscover xmlns=\"{OUTER}\">\n  \
         <Response xmlns=\"{OUTLOOK}\">\n    <User><DisplayName>{login}</DisplayName></User>\n    \
         <Account>\n      <AccountType>email</AccountType>\n      <Action>settings</Action>\n{protocols}    \
         </Account>\n  </Response>\n</Autodiscover>\n"
    )
}

fn error(code: u16, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<Autodiscover xmlns=\"{OUTER}\">\n  <Response>\n    \
         <Error Time=\"00:00:00\" Id=\"0\">\n      <ErrorCode>{code}</ErrorCode>\n      \
         <Message>{message}</Message>\n      <DebugData />\n    </Error>\n  </Response>\n</Autodiscover>\n"
    )
}
