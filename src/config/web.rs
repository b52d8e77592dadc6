//! The keys of a listener with `protocol: http`.

use super::section::Section;
use crate::values::{Duration, MtaSts, MtaStsMode, WebRules};

/// The keys that only web listeners have.
const KEYS: [&str; 7] =
    ["hsts", "forward", "forwarded_from", "mta_sts", "autoconfig", "autodiscover", "apple_profile"];

/// Reads them. `is_http`: whether this listener may have them; `in_clear`: whether it has no TLS.
pub(super) fn rules(section: &mut Section<'_>, is_http: bool, in_clear: bool) -> WebRules {
    if !is_http {
        for key in KEYS {
            if section.value(key).is_some() {
                section.note(key, "only listeners with protocol: http have this key");
            }
        }
        return WebRules::default();
    }
    let hsts: Option<Duration> = section.take("hsts");
    if hsts.is_some() && in_clear {
        section.note(
            "hsts",
            "with tls: none, browsers must not look at it (RFC 6797): write it where TLS is",
        );
    }
    let forward = section.take("forward");
    if forward.is_some() && !in_clear {
        section.note("forward", "it is about requests in clear: write it where tls: none is");
    }
    WebRules {
        hsts: hsts.map(|duration| duration.0),
        forward,
        forwarded_from: section.list("forwarded_from").unwrap_or_default(),
        mta_sts: mta_sts(section, in_clear),
        autoconfig: section.take("autoconfig").unwrap_or_default(),
        autodiscover: section.take("autodiscover").unwrap_or_default(),
        apple_profile: section.take("apple_profile").unwrap_or_default(),
    }
}

fn mta_sts(section: &mut Section<'_>, in_clear: bool) -> Option<MtaSts> {
    if in_clear && section.value("mta_sts").is_some() {
        section.note(
            "mta_sts",
            "senders ask for it over https alone (RFC 8461): write it where TLS is",
        );
    }
    let mut policy = section.section("mta_sts")?;
    let mode: Option<MtaStsMode> = policy.take("mode");
    let max_age = policy.take("max_age").map_or(WEEK, |age: Duration| age.0);
    let mx: Vec<String> = policy.list("mx").unwrap_or_default();
    let mode = mode.unwrap_or(MtaStsMode::Testing);
    if mx.is_empty() && mode != MtaStsMode::None {
        policy.note("mx", "it is missing: the names of the mail servers, as the MX records have them, or `*.` and a name");
    }
    for (n, name) in mx.iter().enumerate() {
        if !super::routes::is_name(name) {
            policy.note(
                &format!("mx[{n}]"),
                format!("`{name}` is not a host's name, nor `*.` and one"),
            );
        }
    }
    policy.finish();
    Some(MtaSts { mode, max_age, mx })
}

const WEEK: std::time::Duration = std::time::Duration::from_secs(7 * 86400);
