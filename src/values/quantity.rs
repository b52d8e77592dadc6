//! Numbers with a unit.

use std::{fmt, str::FromStr, time};

/// A span of time as the configuration writes it: `10s`, `5m`, `2h`, `250ms`, `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub time::Duration);

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let number: u64 = number.parse().map_err(|_| wrong_duration(text))?;
        let millis = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            "h" => number.checked_mul(3_600_000),
            "d" => number.checked_mul(86_400_000),
            _ => return Err(wrong_duration(text)),
        };
        // A year is more than any timer here can mean, and keeps sums of instants in range.
        match millis {
            Some(millis @ 1..=31_536_000_000) => Ok(Self(time::Duration::from_millis(millis))),
            _ => Err(format!("`{text}` is out of range: from 1ms to 365d")),
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            _ if millis.is_multiple_of(60_000) => write!(f, "{}m", millis / 60_000),
            _ if millis.is_multiple_of(1_000) => write!(f, "{}s", millis / 1_000),
            _ => write!(f, "{millis}ms"),
        }
    }
}

fn wrong_duration(text: &str) -> String {
    format!(
        "`{text}` is not a duration: write a whole number and a unit, such as 500ms, 10s, 5m, 2h or 1d"
    )
}

/// A number of octets as the configuration writes it: `16KiB`, `1MiB`, `512B`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a size: write a whole number and a unit, such as 512B, 16KiB or 1MiB"
            )
        };
        let (number, unit) = split(text);
        let number: usize = number.parse().map_err(|_| wrong())?;
        let factor = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return Err(wrong()),
        };
        number.checked_mul(factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n % (1 << 20) == 0 && n > 0 => write!(f, "{}MiB", n >> 20),
            n if n % (1 << 10) == 0 && n > 0 => write!(f, "{}KiB", n >> 10),
            n => write!(f, "{n}B"),
        }
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..digits], text[digits..].trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_a_sane_value() {
        assert_eq!("31m".parse(), Ok(Duration(time::Duration::from_secs(1860))));
        assert_eq!("250ms".parse::<Duration>().unwrap().to_string(), "250ms");
        for wrong in [
            "31",
            "m",
            "-1s",
            "1.5s",
            "0s",
            "400d",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert!(wrong.parse::<Duration>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_need_a_unit() {
        assert_eq!("16KiB".parse(), Ok(Size(16384)));
        for wrong in ["16", "16K", "16KB", "-1B"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
