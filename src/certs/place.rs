//! What lies together belongs together: folders with their files, found in the configured sources.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Finding,
    files::{File, Key, Known, unreadable},
    listing::{Listing, is_whole},
    parallel,
    x509::Parsed,
};

/// How deep folders are searched.
const DEEPEST: usize = 8;

/// A folder with its files.
#[derive(Debug)]
pub(super) struct Place {
    pub path: Arc<Path>,
    /// In order of name.
    pub files: Vec<File>,
    /// The files whose certificates are served, if they were named one by one: the others only help.
    pub serves: Option<BTreeSet<PathBuf>>,
    /// Why the folder itself cannot be read.
    finding: Option<Finding>,
    /// What the folder holds besides these files.
    listing: Listing,
}

/// What tells a folder from all others.
type Id = (u64, u64);

impl Place {
    /// What is wrong with its files, apart from those that are only there to help.
    pub(super) fn findings(&self) -> impl Iterator<Item = &Finding> {
        let files = self.files.iter().filter(|f| self.is_served(f));
        self.finding.iter().chain(files.filter_map(|f| f.contents.finding.as_deref()))
    }

    /// What is wrong with it if nothing else in it can be served: binary files.
    pub(super) fn asides(&self) -> impl Iterator<Item = &Finding> {
        let files = self.files.iter().filter(|f| self.is_served(f));
        files.filter_map(|f| f.contents.aside.as_deref())
    }

    /// Whether all that it should have could be read.
    pub(super) fn is_readable(&self) -> bool {
        self.findings().next().is_none()
    }

    /// Whether the certificates in a file of it are served.
    pub(super) fn is_served(&self, file: &File) -> bool {
        self.wants(&file.path)
    }

    /// Whether certificates would be served from this file, if it is there.
    pub(super) fn wants(&self, file: &Path) -> bool {
        self.serves.as_ref().is_none_or(|serves| serves.contains(file))
    }

    /// Whether a file is there, as far as can be seen.
    pub(super) fn may_have(&self, path: &Path) -> bool {
        self.finding.is_some() || self.files.iter().any(|file| *file.path == *path)
    }

    pub(super) fn certificates(&self) -> impl Iterator<Item = (&File, &Arc<Parsed>)> {
        self.files.iter().flat_map(|file| file.contents.certificates.iter().map(move |c| (file, c)))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = (&File, &Arc<Key>)> {
        self.files.iter().flat_map(|file| file.contents.keys.iter().map(move |key| (file, key)))
    }

    /// Of which nothing can be read.
    fn unreadable(path: &Path, finding: Finding) -> Arc<Self> {
        Arc::new(Self {
            path: path.into(),
            files: Vec::new(),
            serves: None,
            finding: Some(finding),
            listing: Listing::default(),
        })
    }

    /// The folder as it is now: the very same place, if nothing in it has changed.
    fn look(
        wanted: &Wanted,
        previous: Option<&Arc<Self>>,
        known: &Known,
    ) -> (Arc<Self>, Option<Id>) {
        let Wanted { path, serves } = wanted;
        let (listing, id) = match previous.and_then(|p| Some((p, p.settled()?))) {
            // Of what has not changed, other files may be wanted now.
            Some((same, id))
                if same.serves == *serves && same.files.iter().all(File::is_settled) =>
            {
                return (same.clone(), Some(id));
            }
            Some((same, id)) => (Listing::again(path, &same.listing, &same.files), id),
            None => match Listing::look(path) {
                Ok(looked) => looked,
                // Whoever may only look at the file itself has named it.
                Err(_) if serves.is_some() => (Listing::default(), (0, 0)),
                Err(e) => return (Self::unreadable(path, unreadable(path, &e)), None),
            },
        };
        let (mut paths, parts) = listing.split();
        // Hidden ones are served too, if they are named.
        let listed: HashSet<&Path> = paths.iter().chain(&parts).copied().collect();
        let named = serves.iter().flatten().map(PathBuf::as_path);
        paths.extend(named.filter(|path| !listed.contains(path)));
        let old: HashMap<&OsStr, &File> =
            previous.iter().flat_map(|p| &p.files).map(|f| (f.path.as_os_str(), f)).collect();
        let look = |path: &&Path| File::look(path, old.get(path.as_os_str()).copied(), known);
        let mut files = parallel::map(&paths, look);
        if !parts.is_empty() && (serves.is_some() || !is_whole(&files)) {
            files.extend(parallel::map(&parts, look));
            files.sort_by(|one, other| one.path.cmp(&other.path));
        }
        let place = Self {
            path: path.as_path().into(),
            files,
            serves: serves.clone(),
            finding: None,
            listing: Listing { files: Vec::new(), ..listing },
        };
        (Arc::new(place), Some(id))
    }

    fn settled(&self) -> Option<Id> {
        Listing::is_settled(self.listing.stamp, &self.path)
    }
}

/// A folder to look into.
#[derive(Clone)]
struct Wanted {
    path: PathBuf,
    serves: Option<BTreeSet<PathBuf>>,
}

/// All places in these sources, and below them. What has not changed is not read again.
pub(super) fn walk(sources: &[PathBuf], previous: &[Arc<Place>], known: &Known) -> Vec<Arc<Place>> {
    let old: HashMap<(&OsStr, bool), &Arc<Place>> = previous
        .iter()
        .map(|place| ((place.path.as_os_str(), place.serves.is_some()), place))
        .collect();
    let mut seen: HashSet<Id> = HashSet::new();
    let mut places = Vec::new();
    let mut level: Vec<(usize, Wanted)> = Vec::new();
    // Files of one folder are one place, so that ten thousand of them do not read it as often.
    let mut named: BTreeMap<&Path, (usize, BTreeSet<PathBuf>)> = BTreeMap::new();
    for (n, source) in sources.iter().enumerate() {
        match fs::metadata(source) {
            Ok(meta) if meta.is_dir() => {
                level.push((n, Wanted { path: source.clone(), serves: None }));
            }
            Ok(_) => {
                let folder = source.parent().unwrap_or(Path::new("/"));
                named.entry(folder).or_insert((n, BTreeSet::new())).1.insert(source.clone());
            }
            Err(e) => places.push((n, Place::unreadable(source, unreadable(source, &e)))),
        }
    }
    level.extend(
        named.into_iter().map(|(folder, (n, files))| {
            (n, Wanted { path: folder.to_owned(), serves: Some(files) })
        }),
    );
    for _ in 0..DEEPEST {
        let looked = parallel::map(&level, |(_, wanted)| {
            let previous = old.get(&(wanted.path.as_os_str(), wanted.serves.is_some())).copied();
            Place::look(wanted, previous, known)
        });
        let mut next = Vec::new();
        for ((n, wanted), (place, id)) in level.iter().zip(looked) {
            // Links may lead in circles, or twice to one place. Files that are named are found by
            // whatever way they are named.
            if wanted.serves.is_none() && id.is_some_and(|id| !seen.insert(id)) {
                continue;
            }
            if wanted.serves.is_none() {
                let below =
                    place.listing.folders.iter().map(|f| Wanted { path: f.clone(), serves: None });
                next.extend(below.map(|wanted| (*n, wanted)));
            }
            places.push((*n, place));
        }
        level = next;
    }
    // The order in which somebody would find them: source by source, a folder before those in it.
    places.sort_by(|(a, one), (b, other)| a.cmp(b).then_with(|| one.path.cmp(&other.path)));
    places.into_iter().map(|(_, place)| place).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sources are older than the test, so nobody has to wait until they have settled.
    #[test]
    fn other_files_of_a_folder_that_has_not_changed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/certs");
        let (one, other) = (folder.join("load.rs"), folder.join("place.rs"));
        let look = |file: &Path, previous: Option<&Arc<Place>>| {
            let wanted = Wanted { path: folder.clone(), serves: Some([file.to_owned()].into()) };
            Place::look(&wanted, previous, &Known::default()).0
        };
        let before = look(&one, None);
        assert!(Arc::ptr_eq(&before, &look(&one, Some(&before))), "it is as it was");
        let after = look(&other, Some(&before));
        assert!(after.wants(&other) && !after.wants(&one));
        assert!(look(&one, Some(&after)).wants(&one), "and back");
    }
}
