//! Thunderbird's autoconfig: the file `config-v1.1.xml`, in Mozilla's ISPDB format.

use super::{escaped, mail_host};
use crate::{http::Web, protocol::Protocol};

/// At `autoconfig.` and the domain, and at the domain itself.
pub(super) fn is_path(host: &str, path: &str) -> bool {
    path == "/.well-known/autoconfig/mail/config-v1.1.xml"
        || (path == "/mail/config-v1.1.xml" && host.starts_with("autoconfig."))
}

pub(super) fn text(web: &Web, domain: &str) -> String {
    let (host, plain) = (escaped(&mail_host(web, domain)), escaped(domain));
    let mut servers = String::new();
    for offer in &web.offers {
        let (element, kind) = match offer.protocol {
            Protocol::Imap => ("incomingServer", "imap"),
            Protocol::Pop3 => ("incomingServer", "pop3"),
            Protocol::Submission => ("outgoingServer", "smtp"),
            _ => continue,
        };
        let (port, socket) = (offer.port, if offer.is_implicit { "SSL" } else { "STARTTLS" });
        servers.push_str(&format!(
            "    <{element} type=\"{kind}\">\n      <hostname>{host}</hostname>\n      \
             <port>{port}</port>\n      <socketType>{socket}</socketType>\n      \
             <authentication>password-cleartext</authentication>\n      \
             <username>%EMAILADDRESS%</username>\n    </{element}>\n"
        ));
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  \
         <emailProvider id=\"{plain}\">\n    <domain>{plain}</domain>\n    \
         <displayName>{plain}</displayName>\n    <displayShortName>{plain}</displayShortName>\n\
         {servers}  </emailProvider>\n</clientConfig>\n"
    )
}
