//! Files with keys in them: whole or not there at all, and for nobody else to read.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Writes a file that is not there yet, with mode 0600. It never takes another's place:
/// [`io::ErrorKind::AlreadyExists`].
///
/// Written by root, it belongs to whom its folder belongs, so that the service can read it.
pub fn create(path: &Path, text: &str) -> io::Result<()> {
    place(path, text, false)
}

/// The same, and where the folder lets its group in and nobody else, the group can read the file: it
/// is how a service reads keys that belong to root.
pub fn create_for_group(path: &Path, text: &str) -> io::Result<()> {
    place(path, text, true)
}

/// Makes a folder for nobody else, and those above it. Made by root, each belongs to whom the folder
/// above it belongs.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = folder(path)?;
    create_folder(above)?;
    match DirBuilder::new().mode(0o700).create(path) {
        // Somebody else was faster.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => return Ok(()),
        made => made?,
    }
    give(&File::open(path)?, &fs::metadata(above)?)
}

fn place(path: &Path, text: &str, for_group: bool) -> io::Result<()> {
    let folder = folder(path)?;
    let new = Unfinished::write(folder, text)?;
    let owner = fs::metadata(folder)?;
    give(&new.file, &owner)?;
    let is_for_group = owner.mode() & 0o017 == 0o010 && new.file.metadata()?.gid() == owner.gid();
    if for_group && is_for_group {
        new.file.set_permissions(fs::Permissions::from_mode(0o640))?;
    }
    new.file.sync_all()?;
    // Unlike a rename, a link fails where something is.
    fs::hard_link(&new.path, path)?;
    drop(new);
    sync(folder)
}

/// Writes a file in the place of the one that is there. Its owner and group stay, and of its mode
/// what the owner may, and whether the group may read. A link is followed: what it leads to is
/// replaced.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let folder = folder(&path)?;
    let old = fs::metadata(&path)?;
    let new = Unfinished::write(folder, text)?;
    let mine = new.file.metadata()?;
    if (old.uid(), old.gid()) != (mine.uid(), mine.gid()) {
        fchown(&new.file, Some(old.uid()), Some(old.gid()))?;
    }
    let mode = (old.mode() & 0o640) | 0o600;
    new.file.set_permissions(fs::Permissions::from_mode(mode))?;
    new.file.sync_all()?;
    fs::rename(&new.path, &path)?;
    sync(folder)
}

/// Gives something new to this owner and group.
fn give(new: &File, to: &fs::Metadata) -> io::Result<()> {
    let mine = new.metadata()?;
    if (to.uid(), to.gid()) == (mine.uid(), mine.gid()) {
        return Ok(());
    }
    match fchown(new, Some(to.uid()), Some(to.gid())) {
        // Whoever is not root keeps what they write.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

fn folder(path: &Path) -> io::Result<&Path> {
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no name for a file"));
    }
    Ok(path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// The name is as durable as the folder that holds it.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A file beside its place. Its name begins with a dot, so nobody takes it for a certificate; it is
/// removed, whatever happens.
struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    fn write(folder: &Path, text: &str) -> io::Result<Self> {
        // Never the same name twice: after a rename it is free for another thread, whose file would be
        // removed when ours is dropped.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut tries = 0;
        loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!(".vestibule-{}-{n}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                // What a process that had our number left behind is not ours.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < 100 => tries += 1,
                file => {
                    let mut new = Self { path, file: file? };
                    new.file.write_all(text.as_bytes())?;
                    return Ok(new);
                }
            }
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path =
            std::env::temp_dir().join(format!("vestibule-write-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_new_file_is_ours_alone_and_takes_nobodys_place() {
        let folder = folder("create");
        let path = folder.join("a.pem");
        create(&path, "first").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let error = create(&path, "second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "first");
        // Not even that of a link to nowhere.
        std::os::unix::fs::symlink("/nowhere", folder.join("b.pem")).unwrap();
        assert!(create(&folder.join("b.pem"), "third").is_err());
        assert!(create(&folder.join("none/c.pem"), "fourth").is_err());
        assert!(create(Path::new("/"), "fifth").is_err());
        let mut left = names(&folder);
        left.sort();
        assert_eq!(left, ["a.pem", "b.pem"], "nothing is left over");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_replaced_file_keeps_its_readers_and_its_links() {
        let folder = folder("replace");
        let (path, link) = (folder.join("a.pem"), folder.join("link.pem"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink("a.pem", &link).unwrap();
        for (before, after) in [(0o640, 0o640), (0o644, 0o640), (0o600, 0o600), (0o400, 0o600)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(before)).unwrap();
            replace(&link, "new").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, after, "{before:o}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(replace(&folder.join("none.pem"), "new").is_err(), "nothing to replace");
        assert_eq!(names(&folder).len(), 2, "nothing is left over");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_group_reads_where_its_folder_is_for_it() {
        let folder = folder("group");
        for (mode, expected) in [(0o750, 0o640), (0o710, 0o640), (0o755, 0o600), (0o700, 0o600)] {
            fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
            let path = folder.join(format!("{mode:o}.pem"));
            create_for_group(&path, "new").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, expected, "{mode:o}");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    /// Root writes, and the service reads. Whoever is not root cannot give anything away.
    #[test]
    fn the_owner_is_the_folders_and_then_the_files() {
        let folder = folder("owner");
        if std::os::unix::fs::chown(&folder, Some(12_345), Some(12_345)).is_ok() {
            let path = folder.join("a.pem");
            let owner =
                || fs::metadata(&path).map(|m| (m.uid(), m.gid(), m.mode() & 0o777)).unwrap();
            create(&path, "new").unwrap();
            assert_eq!(owner(), (12_345, 12_345, 0o600));
            std::os::unix::fs::chown(&path, Some(54_321), Some(54_321)).unwrap();
            replace(&path, "newer").unwrap();
            assert_eq!(owner(), (54_321, 54_321, 0o600));
            let below = folder.join("some/way/below");
            create_folder(&below).unwrap();
            create_folder(&below).unwrap();
            for made in below.ancestors().take(3).map(|made| fs::metadata(made).unwrap()) {
                assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (12_345, 12_345, 0o700));
            }
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
