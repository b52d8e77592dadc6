//! Dates as mail writes them, all in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY: i64 = 86_400;

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

/// Days since 1970 of a moment.
pub(super) fn day_of(seconds: i64) -> i64 {
    seconds.div_euclid(DAY)
}

/// `" 7-Feb-1994 21:52:25 +0000"` (RFC 3501 §9 `date-time`, without its quotes).
pub(super) fn internal(seconds: i64) -> String {
    let (year, month, day) = civil(day_of(seconds));
    format!("{day:2}-{}-{year:04} {} +0000", MONTHS[month], clock(seconds))
}

/// `Mon, 7 Feb 1994 21:52:25 +0000` (RFC 5322 §3.3).
pub(super) fn rfc5322(seconds: i64) -> String {
    let (year, month, day) = civil(day_of(seconds));
    let weekday = usize::try_from(day_of(seconds).rem_euclid(7)).unwrap_or_default();
    format!("{}, {day} {} {year:04} {} +0000", DAYS[weekday], MONTHS[month], clock(seconds))
}

/// `Mon, 07 Feb 1994 21:52:25 GMT` (RFC 9110 §5.6.7).
pub(super) fn http(seconds: i64) -> String {
    let date = rfc5322(seconds).replace("+0000", "GMT");
    if date.as_bytes()[6] == b' ' { date.replacen(' ', " 0", 1) } else { date }
}

/// Reads what [`internal`] writes, in any zone.
pub(super) fn parse_internal(text: &str) -> Option<i64> {
    let mut words = text.split_ascii_whitespace();
    let (day, clock, zone) = (parse_day(words.next()?)?, words.next()?, words.next()?);
    let mut units = clock.split(':').map(|unit| unit.parse::<u8>().ok());
    let (hour, minute, second) = (units.next()??, units.next()??, units.next()??);
    if hour > 23 || minute > 59 || second > 60 || words.next().is_some() {
        return None;
    }
    let (sign, digits) = zone.split_at_checked(1)?;
    let digits = digits.parse::<u16>().ok().filter(|z| digits.len() == 4 && *z < 2400)?;
    let offset = (i64::from(digits) / 100 * 60 + i64::from(digits) % 100) * 60;
    let offset = match sign {
        "+" => offset,
        "-" => -offset,
        _ => return None,
    };
    Some(day * DAY + i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second) - offset)
}

/// Days since 1970 of `7-Feb-1994`.
pub(super) fn parse_day(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() { None } else { days(day, month, year) }
}

/// Days since 1970 of a `Date:` header field, its clock and zone disregarded as RFC 3501 §6.4.4
/// wants for SENTBEFORE, SENTON and SENTSINCE.
pub(super) fn header_day(text: &str) -> Option<i64> {
    let words: Vec<_> = text.split([' ', '\t', ',']).filter(|word| !word.is_empty()).collect();
    words.windows(3).find_map(|w| days(w[0], w[1], w[2]))
}

fn days(day: &str, month: &str, year: &str) -> Option<i64> {
    let month = MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month))?;
    let (day, year): (i64, i64) = (day.parse().ok()?, year.parse().ok()?);
    if !(1..=9999).contains(&year) || !(1..=month_length(year, month)).contains(&day) {
        return None;
    }
    Some(new_year(year) + (0..month).map(|m| month_length(year, m)).sum::<i64>() + day - 1)
}

fn civil(days: i64) -> (i64, usize, i64) {
    let mut year = 1970 + days.div_euclid(365);
    while new_year(year) > days {
        year -= 1;
    }
    let (mut left, mut month) = (days - new_year(year), 0);
    while month < 11 && left >= month_length(year, month) {
        left -= month_length(year, month);
        month += 1;
    }
    (year, month, left + 1)
}

/// Days from 1970 to the first of January of a year.
fn new_year(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
        - 477
}

fn month_length(year: i64, month: usize) -> i64 {
    match month {
        1 => 28 + new_year(year + 1) - new_year(year) - 365,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

fn clock(seconds: i64) -> String {
    let second = seconds.rem_euclid(DAY);
    format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written() {
        assert_eq!(parse_internal(" 7-Feb-1994 21:52:25 -0800"), Some(760_686_745));
        assert_eq!(internal(760_686_745), " 8-Feb-1994 05:52:25 +0000");
        assert_eq!(rfc5322(760_686_745), "Tue, 8 Feb 1994 05:52:25 +0000");
        assert_eq!(rfc5322(0), "Thu, 1 Jan 1970 00:00:00 +0000");
        assert_eq!(http(760_686_745), "Tue, 08 Feb 1994 05:52:25 GMT");
        assert_eq!(http(1_709_164_800), "Thu, 29 Feb 2024 00:00:00 GMT");
        assert_eq!(internal(1_709_164_800), "29-Feb-2024 00:00:00 +0000");
        assert_eq!(internal(-1), "31-Dec-1969 23:59:59 +0000");
        assert_eq!(header_day("Tue, 8 Feb 1994 23:52:25 -0800 (PST)"), parse_day("8-Feb-1994"));
        for bad in ["29-Feb-2023", "1-Foo-2023", "0-Jan-2023", "1-Jan", "1-Jan-99999"] {
            assert_eq!(parse_day(bad), None, "{bad}");
        }
    }
}
