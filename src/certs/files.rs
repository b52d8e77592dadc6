//! Files and folders, looked at so that what has not changed is not read again.

use std::{
    collections::HashMap,
    fs::{self, Metadata},
    hash::{DefaultHasher, Hash, Hasher},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Component, Path},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use memchr::memmem;
use rustix::fs::OFlags;
use rustls::{
    crypto::aws_lc_rs::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer},
    sign::SigningKey,
};

use super::{
    Code, Finding, Severity, foreign, now, pem,
    x509::{Parsed, SHORTEST_RSA},
};

/// The largest file that is looked into: thousands of certificates fit.
const LARGEST: u64 = 16 << 20;

/// What changes on disk within so many seconds of a look may have changed after it and look the same:
/// file systems count time in coarse steps.
const UNSETTLED: i64 = 2;

/// What tells a file or folder from its former self, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64);

impl Stamp {
    /// `None` if it changed just now: then it has to be read again next time.
    pub(super) fn of(meta: &Metadata) -> Option<Self> {
        // The time of the last change of any kind, which nobody can set.
        if !has_settled(meta.ctime(), now()) {
            return None;
        }
        // It follows every other: those of the content, of the mode, of the owner.
        let mut hasher = DefaultHasher::new();
        (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec()).hash(&mut hasher);
        Some(Self(hasher.finish()))
    }
}

/// Whether a change in this second would be told from one that comes now.
fn has_settled(changed: i64, now: i64) -> bool {
    changed <= now - UNSETTLED
}

/// A private key, ready to sign.
#[derive(Debug)]
pub(super) struct Key {
    /// SubjectPublicKeyInfo as DER.
    pub spki: Box<[u8]>,
    pub signing: Arc<dyn SigningKey>,
}

/// What a file holds for us.
#[derive(Debug, Default)]
pub(super) struct Contents {
    pub certificates: Vec<Arc<Parsed>>,
    pub keys: Vec<Arc<Key>>,
    /// Why it holds nothing.
    pub finding: Option<Box<Finding>>,
    /// The same, of a file that is no mistake where others hold what is served.
    pub aside: Option<Box<Finding>>,
}

/// A file, as it was when it was looked at.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub path: Arc<Path>,
    stamp: Option<Stamp>,
    /// Whether its mode lets everybody read it.
    pub is_exposed: bool,
    pub contents: Arc<Contents>,
    /// Where it is if it is a link, once that was asked for.
    straight: OnceLock<Option<Box<Path>>>,
}

/// Reads a file. `Ok(None)`: it is no PEM, and its name does not say that it is.
pub(super) fn read(path: &Path) -> Result<Option<pem::Content>, Finding> {
    let (octets, _) = octets(path)?;
    pem::parse(path, &octets)
}

/// Certificates that have been read before: of ten thousand copies, one is kept.
///
/// By their last octets, which are of the signature and so their own: to hash all of each would take
/// longer than to read it. Of two that somebody has made alike there, one is kept twice.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<[u8; 16], Arc<Parsed>>>);

impl Known {
    pub(super) fn of<'a>(certificates: impl Iterator<Item = &'a Arc<Parsed>>) -> Self {
        let by_end = certificates.filter_map(|c| Some((*c.der.last_chunk()?, c.clone())));
        Self(Mutex::new(by_end.collect()))
    }

    fn parsed(
        &self,
        der: &CertificateDer<'static>,
        before: &Contents,
    ) -> Result<Arc<Parsed>, String> {
        if let Some(same) = before.certificates.iter().find(|c| c.der == *der) {
            return Ok(same.clone());
        }
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end: Option<[u8; 16]> = der.last_chunk().copied();
        if let Some(known) = end.and_then(|end| lock().get(&end).filter(|c| c.der == *der).cloned())
        {
            return Ok(known);
        }
        let parsed = Arc::new(Parsed::new(der)?);
        if let Some(end) = end {
            lock().insert(end, parsed.clone());
        }
        Ok(parsed)
    }
}

impl File {
    /// What is there now; what was there, if nothing has changed.
    pub(super) fn look(path: &Path, previous: Option<&Self>, known: &Known) -> Self {
        if let Some(previous) = previous.filter(|p| p.stamp.is_some())
            && fs::metadata(path).is_ok_and(|meta| Stamp::of(&meta) == previous.stamp)
        {
            return previous.clone();
        }
        let (mut stamp, mut is_exposed) = (None, false);
        let read = octets(path).and_then(|(octets, meta)| {
            (stamp, is_exposed) = (Stamp::of(&meta), meta.mode() & 0o004 != 0);
            contents(path, &octets, known, previous.map_or(&Contents::default(), |p| &p.contents))
        });
        let contents = read.unwrap_or_else(|finding| Contents {
            finding: Some(Box::new(finding)),
            ..Contents::default()
        });
        let (path, contents, straight) = (path.into(), Arc::new(contents), OnceLock::new());
        Self { path, stamp, is_exposed, contents, straight }
    }

    /// Whether it is as it was, in a folder that is as it was: a link of it leads where it led.
    pub(super) fn is_settled(&self) -> bool {
        if self.stamp.is_none() {
            return false;
        }
        let straight = self.straight.get_or_init(|| straight(&self.path));
        let path = straight.as_deref().unwrap_or(&self.path);
        fs::metadata(path).is_ok_and(|meta| Stamp::of(&meta) == self.stamp)
    }
}

/// The way to a file that is not by this link, if there is one: `live/a/../../archive/a/key.pem` is
/// `archive/a/key.pem`. In a large store, half the time of a look goes into the ways.
fn straight(link: &Path) -> Option<Box<Path>> {
    let mut straight = link.parent()?.to_owned();
    for part in fs::read_link(link).ok()?.components() {
        match part {
            Component::ParentDir => drop(straight.pop()),
            Component::CurDir => {}
            part => straight.push(part),
        }
    }
    // Where folders are links themselves, the one above them is another.
    let (one, other) = (fs::metadata(link).ok()?, fs::metadata(&straight).ok()?);
    ((one.dev(), one.ino()) == (other.dev(), other.ino())).then(|| straight.into())
}

/// A file's octets, and what the system says of it.
fn octets(path: &Path) -> Result<(Vec<u8>, Metadata), Finding> {
    let failed = |error| unreadable(path, &error);
    // A pipe would be waited for, if it were opened without this.
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let mut options = fs::OpenOptions::new();
    let mut file = options.read(true).custom_flags(nonblock).open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if meta.is_dir() {
        let text = "it is a folder, and its name says that it is a file";
        return Err(Finding::new(Code::Unreadable, path, text));
    }
    if !meta.is_file() {
        let text = "it is a pipe or a device, where a file is wanted";
        return Err(Finding::new(Code::Unreadable, path, text));
    }
    if meta.len() <= LARGEST {
        return Ok((all(&mut file, meta.len()).map_err(failed)?, meta));
    }
    // What does not say that it is PEM may be as large as it likes.
    if !pem::is_promised(path) {
        return Ok((Vec::new(), meta));
    }
    Err(Finding::new(Code::NotPem, path, "it is longer than 16 MiB, which no PEM file is"))
}

/// What a file holds that has this length: that, and whether there is more, is asked for at once.
/// On some file systems a read may bring less than there is.
fn all(file: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut octets = vec![0; usize::try_from(length).unwrap_or(0) + 1];
    let mut have = 0;
    loop {
        let more = match file.read(&mut octets[have..]) {
            Ok(more) => more,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        have += more;
        if more == 0 || have as u64 == length || have as u64 > LARGEST {
            break;
        }
        if have == octets.len() {
            // It grows under our eyes.
            octets.resize(octets.len() * 2, 0);
        }
    }
    octets.truncate(have);
    Ok(octets)
}

pub(super) fn unreadable(path: &Path, error: &io::Error) -> Finding {
    Finding::new(Code::Unreadable, path, format!("it cannot be read: {error}"))
}

/// What these octets are. What was in the file before, and still is, stays what it was.
fn contents(
    path: &Path,
    octets: &[u8],
    known: &Known,
    before: &Contents,
) -> Result<Contents, Finding> {
    let Some(content) = pem::parse(path, octets)? else {
        let aside = foreign::aside(path, octets).map(Box::new);
        return Ok(Contents { aside, ..Contents::default() });
    };
    let damaged = |why| Finding::new(Code::Damaged, path, why);
    let certificates =
        content.certificates.iter().map(|der| known.parsed(der, before).map_err(damaged));
    let keys = content.keys.iter().map(|der| key(path, der).map(Arc::new));
    Ok(Contents {
        certificates: certificates.collect::<Result<_, _>>()?,
        keys: keys.collect::<Result<_, _>>()?,
        finding: None,
        aside: None,
    })
}

/// Understands a key.
fn key(path: &Path, der: &PrivateKeyDer<'static>) -> Result<Key, Finding> {
    let damaged = |why: String| Finding::new(Code::Damaged, path, why);
    let signing = any_supported_type(der).map_err(|e| match rsa_bits(der.secret_der()) {
        Some(bits) if bits < SHORTEST_RSA => Finding {
            severity: Severity::Error,
            ..Finding::new(
                Code::WeakKey,
                path,
                format!("the RSA key has {bits} bits: it cannot be used, and clients want {SHORTEST_RSA}"),
            )
        },
        _ => damaged(format!("the private key cannot be used: {e}")),
    })?;
    let spki = signing
        .public_key()
        .ok_or_else(|| damaged("the private key does not tell its public key".to_owned()))?;
    Ok(Key { spki: spki.as_ref().into(), signing })
}

/// The length of an RSA key in bits: of the first INTEGER behind its version, 0 (RFC 8017 §A.1.2).
fn rsa_bits(der: &[u8]) -> Option<usize> {
    let at = memmem::find(der, b"\x02\x01\x00\x02")? + 4;
    let octets = match *der.get(at..)? {
        [0x81, length, ..] => usize::from(length),
        [0x82, high, low, ..] => usize::from(u16::from_be_bytes([high, low])),
        _ => return None,
    };
    // In front is a zero, for the sign.
    Some(octets.saturating_sub(1) * 8)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// Brings three octets at a time, as a network may.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(3);
            self.0.read(&mut buffer[..most])
        }
    }

    /// What is written right after a look may have the same times as what was seen: steps of two
    /// seconds are the coarsest that there are.
    #[test]
    fn what_changed_just_now_is_read_again() {
        for (changed, now, settled) in [(100, 100, false), (100, 101, false), (100, 102, true)] {
            assert_eq!(has_settled(changed, now), settled, "{changed} at {now}");
        }
        let path = std::env::temp_dir().join(format!("vestibule-settled-{}", std::process::id()));
        fs::write(&path, "new").unwrap();
        let new = File::look(&path, None, &Known::default());
        let is_settled = new.is_settled();
        fs::remove_file(&path).unwrap();
        assert!(!is_settled, "it was written a moment ago");
    }

    /// Above a folder that is a link itself there is another folder than its name says.
    #[test]
    fn the_straight_way_ends_where_the_link_does() {
        let root = std::env::temp_dir().join(format!("vestibule-straight-{}", std::process::id()));
        for folder in ["archive/a", "live/a", "other/live/a", "other/archive/a"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let link = |place: &str, to: &str| symlink(to, root.join(place)).unwrap();
        fs::write(root.join("archive/a/x1.pem"), "one").unwrap();
        fs::write(root.join("other/archive/a/x1.pem"), "other").unwrap();
        link("live/a/x.pem", "../../archive/a/x1.pem");
        link("other/live/a/x.pem", "../../archive/a/x1.pem");
        link("led", "other/live");
        let found = |place: &str| straight(&root.join(place));
        let ways = ["live/a/x.pem", "led/a/x.pem", "archive/a/x1.pem"].map(found);
        let direct = root.join("archive/a/x1.pem");
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(ways, [Some(direct.into()), None, None]);
    }

    #[test]
    fn a_file_is_read_to_its_end_however_it_comes() {
        for (text, length) in [("", 0), ("abc", 3), ("abcdefgh", 8), ("cut off", 40), ("grown", 1)]
        {
            let read = all(&mut Slow(text.as_bytes()), length).unwrap();
            assert_eq!(read, text.as_bytes(), "{length}");
        }
    }
}
