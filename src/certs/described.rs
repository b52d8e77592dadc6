//! A certificate in words: what a client has been sent.

use super::{Certificate, x509};

/// What a client that was shown a certificate has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// How many certificates: the leaf, and what leads up from it.
    pub sent: usize,
    /// The issuer of the last of them, which the client has to know.
    pub last_issuer: String,
    /// Whether nothing is missing between the last of them and an authority.
    pub complete: bool,
}

impl Certificate {
    /// The chain as it is sent. Reads it anew: not for every handshake.
    #[must_use]
    pub fn described(&self) -> Description {
        let chain = &self.certified.cert;
        let last = chain.last().and_then(|der| x509::Parsed::new(der).ok());
        let is_root = last.as_ref().is_some_and(x509::Parsed::is_self_issued);
        let common_name = chain.last().and_then(|der| x509::common_names(der).1);
        Description {
            sent: chain.len(),
            last_issuer: common_name.or(last.map(|l| l.issuer.1)).unwrap_or_default(),
            complete: chain.len() > 1 || is_root,
        }
    }

    /// Whether it is for this name: RFC 9525 §6.3.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|own| {
            *own == name || own.strip_prefix("*.").is_some_and(|own| Some(own) == parent)
        })
    }
}

/// The day of a moment, in UTC: `2026-11-21`.
#[must_use]
pub fn day(seconds: i64) -> String {
    // Howard Hinnant's `civil_from_days`: years begin in March, so that a leap day is a year's last.
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_735_689_599, "2024-12-31"),
            (4_102_444_800, "2100-01-01"),
        ] {
            assert_eq!(day(seconds), expected);
        }
    }
}
