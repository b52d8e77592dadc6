//! What is in a folder, and which of it is worth a look.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{
    files::{File, Stamp},
    pem,
};

/// What is in a folder, in order of name, without what is hidden.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing {
    pub stamp: Option<Stamp>,
    pub files: Vec<PathBuf>,
    pub folders: Vec<PathBuf>,
    /// Whether all that certbot links into a folder is there as links.
    pub is_certbots: bool,
}

/// What certbot links into a folder: what is served from, and parts of that.
const CERTBOT: [&str; 4] = ["fullchain.pem", "privkey.pem", "cert.pem", "chain.pem"];
const PARTS: [&str; 2] = [CERTBOT[2], CERTBOT[3]];

impl Listing {
    /// What is there now, and what tells the folder from all others.
    pub(super) fn look(folder: &Path) -> io::Result<(Self, (u64, u64))> {
        let meta = fs::metadata(folder)?;
        let (mut files, mut folders) = (BTreeSet::new(), BTreeSet::new());
        let (mut stamp, mut links) = (Stamp::of(&meta), 0);
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if is_not_for_us(&name) {
                continue;
            }
            let path = entry.path();
            // Somebody expects a file there: to say that it is none, it has to be read.
            let is_promised = pem::is_promised(&path);
            let kind = match entry.file_type()? {
                kind if kind.is_symlink() && is_promised => {
                    links += usize::from(CERTBOT.iter().any(|one| name == *one));
                    kind
                }
                kind if kind.is_symlink() => fs::metadata(&path).map_or_else(
                    |_| {
                        // A link to nowhere is said to be unreadable when it is read. What it leads
                        // to may come, file or folder, and nothing here changes by that.
                        stamp = None;
                        kind
                    },
                    |meta| meta.file_type(),
                ),
                kind => kind,
            };
            if kind.is_dir() && !is_promised {
                folders.insert(path);
            } else {
                files.insert(path);
            }
        }
        let listing = Self {
            stamp,
            files: files.into_iter().collect(),
            folders: folders.into_iter().collect(),
            is_certbots: links == CERTBOT.len(),
        };
        Ok((listing, (meta.dev(), meta.ino())))
    }

    /// What was there, to judge by the files of it that have been read.
    pub(super) fn again(folder: &Path, place: &Self, files: &[File]) -> Self {
        let parts = place.is_certbots.then_some(PARTS).into_iter().flatten();
        let parts = parts.map(|part| folder.join(part));
        let files: BTreeSet<PathBuf> =
            files.iter().map(|file| file.path.to_path_buf()).chain(parts).collect();
        Self { files: files.into_iter().collect(), ..place.clone() }
    }

    /// What tells a folder from all others, if it still is as it was.
    pub(super) fn is_settled(stamp: Option<Stamp>, folder: &Path) -> Option<(u64, u64)> {
        let meta = fs::metadata(folder).ok()?;
        (stamp.is_some() && Stamp::of(&meta) == stamp).then(|| (meta.dev(), meta.ino()))
    }

    /// The files that may have to be read, and those that need not be if the others are whole:
    /// half of what certbot links repeats the other half.
    pub(super) fn split(&self) -> (Vec<&Path>, Vec<&Path>) {
        let is_part = |path: &&Path| {
            let name = path.file_name();
            self.is_certbots && PARTS.iter().any(|part| name == Some(OsStr::new(part)))
        };
        let (parts, files) = self.files.iter().map(PathBuf::as_path).partition(is_part);
        (files, parts)
    }
}

/// Whether the files that certbot's parts repeat are all that is needed: a key, and its certificate
/// with a chain in its order.
pub(super) fn is_whole(files: &[File]) -> bool {
    let named = |name: &str| files.iter().find(|f| f.path.file_name() == Some(OsStr::new(name)));
    let (Some(chain), Some(key)) = (named(CERTBOT[0]), named(CERTBOT[1])) else { return false };
    let (certificates, keys) = (&chain.contents.certificates, &key.contents.keys);
    let [leaf, _, ..] = certificates.as_slice() else { return false };
    keys.first().is_some_and(|key| *key.spki == *leaf.spki)
        && certificates.windows(2).all(|pair| pair[1].is_named_issuer_of(&pair[0]))
}

/// Whether a file is hidden, certbot's word to those who look into its folders, or a key that is only
/// to be published: `tlsa::next_key` reads it.
fn is_not_for_us(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "README" || is_staged(name)
}

/// Whether a file is for later: `next.key`, `NAME.next.pem`.
fn is_staged(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let stem = name.strip_suffix(".key").or_else(|| name.strip_suffix(".pem"));
    stem.is_some_and(|stem| stem == "next" || stem.ends_with(".next"))
}
