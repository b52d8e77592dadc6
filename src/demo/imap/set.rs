//! Sequence sets (RFC 3501 §9).

use crate::demo::lexer::{Lexer, Malformed};

/// Ranges of numbers, in which `None` is `*`, the largest there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Set(Vec<(Option<u32>, Option<u32>)>);

impl Set {
    pub(super) fn parse(line: &mut Lexer<'_>) -> Result<Self, Malformed> {
        let mut ranges = Vec::new();
        loop {
            let from = bound(line)?;
            let to = if line.eat(b':') { bound(line)? } else { from };
            ranges.push((from, to));
            if !line.eat(b',') {
                return Ok(Self(ranges));
            }
        }
    }

    pub(super) fn contains(&self, number: u32, largest: u32) -> bool {
        self.0.iter().any(|(a, b)| {
            let (a, b) = (a.unwrap_or(largest), b.unwrap_or(largest));
            (a.min(b)..=a.max(b)).contains(&number)
        })
    }

    /// Whether it names no number beyond `largest`, and `*` means something.
    pub(super) fn fits(&self, largest: u32) -> bool {
        let fits = |bound: Option<u32>| largest > 0 && bound.is_none_or(|n| n <= largest);
        self.0.iter().all(|(a, b)| fits(*a) && fits(*b))
    }
}

fn bound(line: &mut Lexer<'_>) -> Result<Option<u32>, Malformed> {
    if line.eat(b'*') {
        return Ok(None);
    }
    match line.number()? {
        0 => Err(Malformed),
        number => Ok(Some(number)),
    }
}

/// Numbers in rising order, with their runs joined, for COPYUID (RFC 4315 §3).
pub(super) fn compact(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, to)) if *to + 1 == *number => *to = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let told = ranges.iter().map(|(from, to)| match from == to {
        true => from.to_string(),
        false => format!("{from}:{to}"),
    });
    told.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_the_largest_and_ranges_go_both_ways() {
        let set = |text: &str| Set::parse(&mut Lexer::new(text.as_bytes())).unwrap();
        let within = |text, n| set(text).contains(n, 9);
        assert!(within("*:7", 8) && within("2,4:3", 3) && within("*", 9) && within("20:*", 9));
        assert!(!within("2,4:3", 5) && !within("20:*", 8) && !within("20", 9));
        assert!(set("1:*").fits(1) && !set("1:*").fits(0) && !set("2").fits(1));
        assert!(Set::parse(&mut Lexer::new(b"0:1")).is_err());
        assert_eq!(compact(&[1, 2, 3, 5, 7, 8]), "1:3,5,7:8");
    }
}
