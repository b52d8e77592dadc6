//! A configuration profile for Apple's mail programs: payload `com.apple.mail.managed`.

use super::{escaped, mail_host};
use crate::{certs::tlsa, http::Web, protocol::Protocol};

/// There is no standard for the place; this is the one that we tell of.
pub(super) const PATH: &str = "/apple.mobileconfig";

/// IMAP before POP3, and TLS first before STARTTLS: a profile has one of each.
pub(super) fn text(web: &Web, domain: &str, email: Option<&str>) -> String {
    let best = |wanted: Protocol| {
        let of = web.offers.iter().filter(|offer| offer.protocol == wanted);
        of.max_by_key(|offer| offer.is_implicit)
    };
    let host = escaped(&mail_host(web, domain));
    let mut keys = String::new();
    let mut string = |name: &str, value: &str| {
        keys.push_str(&format!("      <key>{name}</key><string>{value}</string>\n"));
    };
    if let Some(email) = email {
        let email = escaped(email);
        string("EmailAddress", &email);
        string("IncomingMailServerUsername", &email);
        string("OutgoingMailServerUsername", &email);
    }
    let incoming = best(Protocol::Imap).or_else(|| best(Protocol::Pop3));
    let is_pop = incoming.is_some_and(|offer| offer.protocol == Protocol::Pop3);
    string("EmailAccountType", if is_pop { "EmailTypePOP" } else { "EmailTypeIMAP" });
    let sides = [("Incoming", incoming), ("Outgoing", best(Protocol::Submission))];
    for (side, _) in sides.iter().filter(|(_, offer)| offer.is_some()) {
        string(&format!("{side}MailServerHostName"), &host);
        string(&format!("{side}MailServerAuthentication"), "EmailAuthPassword");
    }
    for (side, offer) in sides {
        let Some(offer) = offer else { continue };
        let port = offer.port;
        keys.push_str(&format!(
            "      <key>{side}MailServerPortNumber</key><integer>{port}</integer>\n      \
             <key>{side}MailServerUseSSL</key><true/>\n"
        ));
    }
    keys.push_str("      <key>OutgoingPasswordSameAsIncomingPassword</key><true/>\n");
    let plain = escaped(domain);
    let (inner, outer) = (uuid(&format!("mail {domain}")), uuid(&format!("profile {domain}")));
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\"><dict>\n  <key>PayloadContent</key><array>\n    <dict>\n{keys}      \
         <key>EmailAccountDescription</key><string>{plain}</string>\n      \
         <key>PayloadType</key><string>com.apple.mail.managed</string>\n      \
         <key>PayloadVersion</key><integer>1</integer>\n      \
         <key>PayloadIdentifier</key><string>mail.{plain}</string>\n      \
         <key>PayloadUUID</key><string>{inner}</string>\n      \
         <key>PayloadDisplayName</key><string>{plain}</string>\n    </dict>\n  </array>\n  \
         <key>PayloadDisplayName</key><string>{plain}</string>\n  \
         <key>PayloadIdentifier</key><string>profile.{plain}</string>\n  \
         <key>PayloadType</key><string>Configuration</string>\n  \
         <key>PayloadVersion</key><integer>1</integer>\n  \
         <key>PayloadUUID</key><string>{outer}</string>\n</dict></plist>\n"
    )
}

/// The same for the same text, so that a profile replaces the one of last year (RFC 9562 §5.8).
fn uuid(text: &str) -> String {
    let digest = tlsa::fingerprint(text.as_bytes());
    let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
    format!("{}-{}-8{}-8{}-{}", part(0, 8), part(8, 12), part(12, 15), part(15, 18), part(18, 30))
}
