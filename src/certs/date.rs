//! Dates, as people write them.

/// Seconds of a day.
pub(super) const DAY: i64 = 24 * 60 * 60;

/// The day of a time in seconds since 1970, UTC: `2026-11-21`.
#[must_use]
pub fn date(seconds: i64) -> String {
    // Counted from a first of March, a year ends with its leap day, and an era of 400 years always
    // has the same number of days.
    let days = seconds.div_euclid(DAY) + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (1_709_251_199, "2024-02-29"),
            (1_709_251_200, "2024-03-01"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
            (1_795_219_200, "2026-11-21"),
        ] {
            assert_eq!(super::date(seconds), day);
        }
    }
}
