//! Names → what is there for them, in two places of memory: however many names there are, a look takes
//! little longer than it takes the memory to answer twice.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
};

/// A table with room for a number of names, to which nothing is added later.
///
/// It is keyed, so that nobody can find names that collide: those in it are from certificates, and
/// whose they are is not for us to know.
pub(super) struct Table<V> {
    keys: RandomState,
    /// Part of a name's hash, and one more than where its record begins; 0 where nothing is. A power of
    /// two in number, and a fifth of them free at least: few enough to stay near the processor.
    places: Box<[u64]>,
    /// One record after the other: the value's number (4 octets), the name's length (1), the name. No
    /// name is longer than 253.
    records: Vec<u8>,
    values: Vec<V>,
}

/// So many bits of a place say where the record is: a tebibyte, which no memory holds.
const WHERE: u32 = 40;

impl<V: Default> Table<V> {
    /// With room for this many names.
    pub(super) fn with_room(names: usize) -> Self {
        let places = ((names + 1) * 5 / 4 + 1).next_power_of_two();
        Self {
            keys: RandomState::new(),
            places: vec![0; places].into_boxed_slice(),
            records: Vec::new(),
            values: Vec::with_capacity(names),
        }
    }

    /// What is there for this name; a new one, if nothing is.
    pub(super) fn entry(&mut self, name: &str) -> &mut V {
        let (value, at) = match self.find(name) {
            Ok(value) => (value, None),
            Err(at) => (self.values.len(), Some(at)),
        };
        if let Some((at, tag)) = at {
            self.places[at] = tag | (self.records.len() as u64 + 1);
            self.records.extend(u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes());
            self.records.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
            self.records.extend(name.as_bytes());
            self.values.push(V::default());
        }
        &mut self.values[value]
    }
}

impl<V> Table<V> {
    /// What is there for this name.
    pub(super) fn get(&self, name: &str) -> Option<&V> {
        self.values.get(self.find(name).ok()?)
    }

    /// The number of a name's value, or the free place where its own would be, with its tag.
    fn find(&self, name: &str) -> Result<usize, (usize, u64)> {
        let hash = self.keys.hash_one(name);
        let tag = hash >> WHERE << WHERE;
        let last = self.places.len() - 1;
        let mut at = hash as usize & last;
        loop {
            let place = self.places[at];
            if place == 0 {
                return Err((at, tag));
            }
            if place >> WHERE << WHERE == tag
                && let Some(value) = self.value(place - tag - 1, name)
            {
                return Ok(value);
            }
            at = (at + 1) & last;
        }
    }

    /// The number of the value in this record, if it is this name's.
    fn value(&self, at: u64, name: &str) -> Option<usize> {
        let record = self.records.get(usize::try_from(at).ok()?..)?;
        let (value, rest) = record.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first()?;
        let is_same =
            usize::from(*length) == name.len() && rest.get(..name.len())? == name.as_bytes();
        is_same.then(|| usize::try_from(u32::from_le_bytes(*value)).ok()).flatten()
    }
}

impl<V> fmt::Debug for Table<V> {
    /// Without what is in it: there may be thousands.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("names", &self.values.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_its_own_value() {
        let mut table = Table::with_room(1000);
        for n in 0..1000_u32 {
            *table.entry(&format!("{n}.example.org")) = n;
        }
        for n in 0..1000 {
            assert_eq!(table.get(&format!("{n}.example.org")), Some(&n));
        }
        *table.entry("7.example.org") = 1007;
        assert_eq!(table.get("7.example.org"), Some(&1007));
        for unknown in ["", "1000.example.org", "7.example.or", "7.example.orgx"] {
            assert_eq!(table.get(unknown), None, "{unknown}");
        }
        assert_eq!(Table::<u32>::with_room(0).get("7.example.org"), None);
    }
}
