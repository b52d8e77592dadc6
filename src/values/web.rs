//! What a web listener does besides passing requests on.

use std::time;

use super::Network;

/// The keys of a listener with `protocol: http`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebRules {
    /// `max-age` of Strict-Transport-Security (RFC 6797); `None`: the header is not ours.
    pub hsts: Option<time::Duration>,
    /// Whether requests in clear are passed on, and not sent to https; `None`: only where there is none.
    pub forward: Option<bool>,
    /// Networks of HTTP proxies before this one: what they say of their clients is believed.
    pub forwarded_from: Vec<Network>,
    /// The MTA-STS policy (RFC 8461) that is shown to senders; `None`: the backend's affair.
    pub mta_sts: Option<MtaSts>,
    /// Whether Thunderbird's autoconfig is answered.
    pub autoconfig: bool,
    /// Whether Outlook's autodiscover (POX) is answered.
    pub autodiscover: bool,
    /// Whether Apple's configuration profile is answered.
    pub apple_profile: bool,
}

/// An MTA-STS policy: RFC 8461 §3.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MtaSts {
    /// What senders do where they find no TLS, or no certificate that fits.
    pub mode: MtaStsMode,
    /// How long senders keep it.
    pub max_age: time::Duration,
    /// The names of the mail servers, exact or `*.` and a name.
    pub mx: Vec<String>,
}

/// The key `mode` of a policy.
#[derive(Clone, Copy, Debug, serde::Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum MtaStsMode {
    /// They do not deliver.
    Enforce,
    /// There is no policy any more.
    None,
    /// They deliver, and report.
    Testing,
}

impl std::fmt::Display for MtaStsMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Enforce => "enforce",
            Self::None => "none",
            Self::Testing => "testing",
        })
    }
}
