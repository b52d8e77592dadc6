//! A key, a certificate and what came with them → one file for the store.
//!
//! What is checked is what will be served: the parts are laid out in a hidden folder, and loaded from
//! there as the front loads them.

use std::{
    collections::BTreeSet,
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    Certificate, Code, Finding, Policy, Severity, Sources, files, load,
    pem::{self, Content},
    x509::Parsed,
};

/// Where the parts lie.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The file with the private key.
    pub key: &'a Path,
    /// The file with the certificate, and with others of its chain or not.
    pub certificate: &'a Path,
    /// Files with the rest of the chain.
    pub chain: &'a [PathBuf],
    /// Files and folders to complete the chain from.
    pub intermediates: &'a [PathBuf],
    /// What is done about findings where it will be served.
    pub policy: &'a Policy,
}

/// What came of the parts.
#[derive(Debug, Default)]
pub struct Combined {
    /// The file to be, if the certificate could be served.
    pub whole: Option<Whole>,
    /// What is wrong with the parts.
    pub findings: Vec<Finding>,
}

/// A certificate with its key and its chain.
pub struct Whole {
    /// Key, leaf and intermediates in their order, as PEM.
    pub text: String,
    /// The names that the certificate covers, in lower case.
    pub names: Vec<String>,
    /// How many certificates are sent.
    pub certificates: usize,
    /// What will be served.
    pub certificate: Arc<Certificate>,
}

/// Checks the parts and puts them together. `folder` is where the result will lie: for a moment, a
/// hidden folder in it holds the parts.
///
/// Errors: that folder cannot be made or written.
pub fn combine(parts: Parts<'_>, folder: &Path) -> io::Result<Combined> {
    let mut combined = Combined::default();
    let key = combined.read(parts.key);
    let leaf = combined.read(parts.certificate);
    let chain: Vec<Content> = parts.chain.iter().map(|file| combined.read(file)).collect();
    if !combined.findings.is_empty() {
        return Ok(combined);
    }
    let wanted = [
        (key.keys.len() != 1, parts.key, Code::NoKey, "one key", key.keys.len()),
        (leaf.certificates.is_empty(), parts.certificate, Code::Damaged, "a certificate", 0),
    ];
    for (is_wrong, file, code, what, n) in wanted {
        if is_wrong {
            let text = format!("{what} is wanted, and it holds {n}");
            combined.findings.push(Finding::new(code, file, text));
        }
    }
    let [key] = key.keys.as_slice() else { return Ok(combined) };

    let mut stage = Stage::new(folder)?;
    let key_text = pem::encode_key(key);
    stage.lay("key.pem", parts.key, &key_text)?;
    stage.lay("certificate.pem", parts.certificate, &certificates(&leaf))?;
    for (n, (file, content)) in parts.chain.iter().zip(&chain).enumerate() {
        stage.lay(&format!("chain{n}.pem"), file, &certificates(content))?;
    }
    let sources = Sources {
        certificates: vec![stage.folder.clone()],
        intermediates: parts.intermediates.to_vec(),
        policy: parts.policy.clone(),
        ..Sources::default()
    };
    let store = load(&sources, None);
    combined.findings.extend(store.findings.into_iter().map(|f| stage.told(f)));
    combined.whole = store.certificates.first().map(|certificate| {
        let chain = certificate.sent_chain();
        let chain_text = chain.iter().map(|der| pem::encode_certificate(der));
        Whole {
            text: std::iter::once(key_text).chain(chain_text).collect(),
            names: certificate.names().to_vec(),
            certificates: chain.len(),
            certificate: certificate.clone(),
        }
    });
    let is_refused = combined.findings.iter().any(|f| f.severity == Severity::Error);
    if combined.whole.is_none() && !is_refused {
        let text = "it cannot be served: is it an authority's?";
        combined.findings.push(Finding::new(Code::NothingThere, parts.certificate, text));
    }
    Ok(combined)
}

impl Combined {
    fn read(&mut self, file: &Path) -> Content {
        let content = files::read(file).and_then(|content| {
            content.ok_or_else(|| {
                Finding::new(Code::NotPem, file, "it holds no PEM block (-----BEGIN …)")
            })
        });
        content.unwrap_or_else(|finding| {
            self.findings.push(finding);
            Content::default()
        })
    }
}

impl fmt::Debug for Whole {
    /// Without the text: there is a key in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Whole {
    /// Why this must not take the place of the file that is there: it holds another certificate than
    /// an older one for the same names. `None`: it may.
    #[must_use]
    pub fn is_no_successor_of(&self, file: &Path) -> Option<String> {
        let leaf = |content: Content| {
            let der = content.certificates.into_iter().next()?;
            Parsed::new(&der).ok()
        };
        let old = files::read(file).ok().flatten().and_then(leaf);
        let new = pem::parse(file, self.text.as_bytes()).ok().flatten().and_then(leaf);
        let (Some(old), Some(new)) = (old, new) else {
            return Some("it is there already, and no certificate can be read from it".to_owned());
        };
        let names = |leaf: &Parsed| leaf.names.iter().cloned().collect::<BTreeSet<_>>();
        if names(&old) != names(&new) {
            let names = old.names.join(", ");
            return Some(format!("it is there already, with a certificate for {names}"));
        }
        if old.der != new.der && old.not_before >= new.not_before {
            return Some("it is there already, with a certificate that is not older".to_owned());
        }
        None
    }

    /// The name of its file: its first name, `_wildcard` in place of `*`, and `.pem`. `None`: it has
    /// no name.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        let name = self.names.first()?.replacen('*', "_wildcard", 1);
        // Names are host names here; none of them leads out of the folder.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        (name.chars().all(is_plain) && !name.starts_with('.')).then(|| format!("{name}.pem"))
    }
}

fn certificates(content: &Content) -> String {
    content.certificates.iter().map(|der| pem::encode_certificate(der)).collect()
}

/// How the names of hidden folders begin.
const STAGE: &str = ".vestibule-import-";

/// No import takes so long.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// Removes what imports have left behind that were killed: there are keys in it.
fn sweep(folder: &Path) {
    let is_left_over = |entry: &fs::DirEntry| {
        let meta = entry.metadata().ok()?;
        let age = meta.modified().ok()?.elapsed().ok()?;
        let is_ours = meta.is_dir() && meta.uid() == rustix::process::geteuid().as_raw();
        (is_ours && age > LONGEST).then_some(())
    };
    // What cannot be looked at or removed is no reason not to import.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(STAGE.as_bytes())
            && is_left_over(&entry).is_some()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A hidden folder for nobody else. It is removed, whatever happens.
struct Stage {
    folder: PathBuf,
    /// What lies there, and where it came from: the key, the certificate, the chain.
    parts: Vec<(PathBuf, PathBuf)>,
}

impl Stage {
    fn new(folder: &Path) -> io::Result<Self> {
        sweep(folder);
        let mut n = 0;
        loop {
            let path = folder.join(format!("{STAGE}{}-{n}", std::process::id()));
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                // What a process that had our number left behind is not ours.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && n < 100 => n += 1,
                made => {
                    return made.map(|()| Self { folder: path, parts: Vec::new() });
                }
            }
        }
    }

    fn lay(&mut self, name: &str, from: &Path, text: &str) -> io::Result<()> {
        let path = self.folder.join(name);
        super::create(&path, text)?;
        self.parts.push((path, from.to_owned()));
        Ok(())
    }

    /// A finding in terms of the files that the parts came from.
    fn told(&self, mut finding: Finding) -> Finding {
        // What is wrong with the intermediates at hand is not the fault of what is imported.
        if !finding.file.starts_with(&self.folder) {
            finding.severity = finding.severity.min(Severity::Warning);
        }
        for (staged, from) in &self.parts {
            let (staged_text, from_text) = (staged.to_string_lossy(), from.to_string_lossy());
            finding.text = finding.text.replace(&*staged_text, &from_text);
            if finding.file == *staged {
                finding.file.clone_from(from);
            }
        }
        if finding.file == self.folder
            && let Some((_, certificate)) = self.parts.get(1)
        {
            finding.file.clone_from(certificate);
        }
        finding
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
