//! As much of DER as it takes to exchange a part of something.

/// The tag of a SEQUENCE.
pub(super) const SEQUENCE: u8 = 0x30;

/// A value, with what comes behind it.
pub(super) struct Value<'a> {
    /// Tag, length and content.
    pub(super) all: &'a [u8],
    pub(super) content: &'a [u8],
    pub(super) rest: &'a [u8],
}

/// The first value. `None`: it is cut off.
pub(super) fn value(der: &[u8]) -> Option<Value<'_>> {
    let (header, length) = match *der.get(1)? {
        length @ 0..=0x7f => (2, usize::from(length)),
        octets @ 0x81..=0x84 => {
            let header = 2 + usize::from(octets & 0x7f);
            let length = der.get(2..header)?;
            (header, length.iter().fold(0, |n, &octet| n << 8 | usize::from(octet)))
        }
        _ => return None,
    };
    let (all, rest) = der.split_at_checked(header.checked_add(length)?)?;
    Some(Value { all, content: &all[header..], rest })
}

/// The values inside the first value, each with tag and length.
pub(super) fn fields(der: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = value(der)?.content;
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let field = value(rest)?;
        fields.push(field.all);
        rest = field.rest;
    }
    Some(fields)
}

/// A value with this tag and content.
pub(super) fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().take_while(|&&octet| octet == 0).count()..];
    let mut der = vec![tag];
    match length {
        [] => der.push(0),
        [short @ 0..=0x7f] => der.push(*short),
        long => {
            der.push(0x80 | u8::try_from(long.len()).unwrap_or_default());
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(content);
    der
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrapped_can_be_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let der = [wrap(SEQUENCE, &content), vec![5, 0]].concat();
            let read = value(&der).unwrap();
            assert_eq!((read.content, read.rest), (content.as_slice(), &[5, 0][..]), "{length}");
            assert_eq!(read.all.len(), der.len() - 2);
        }
        let pair = wrap(SEQUENCE, &[wrap(4, b"a"), wrap(2, &[0; 200])].concat());
        assert_eq!(fields(&pair).unwrap(), [wrap(4, b"a"), wrap(2, &[0; 200])]);
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x81],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(value(der).is_none(), "{der:?}");
        }
        assert!(fields(&[0x30, 2, 4, 1]).is_none());
    }
}
