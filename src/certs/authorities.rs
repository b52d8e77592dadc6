//! Whose word counts about clients: authorities' certificates, and their revocation lists.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
};

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

use super::{
    Code, Finding, date, files, now,
    pem::Content,
    x509::{Parsed, ParsedList},
};

/// What clients' certificates are verified by, each with the file that it is from.
#[derive(Debug, Default)]
pub struct Authorities {
    /// Certificates of authorities, and of clients that vouch for themselves.
    pub certificates: Vec<(PathBuf, CertificateDer<'static>)>,
    /// Revocation lists; of two by one issuer the newer comes first.
    pub revocation_lists: Vec<(PathBuf, CertificateRevocationListDer<'static>)>,
    /// What is worth a word.
    pub findings: Vec<Finding>,
}

/// Reads certificates from `trust` and lists from `crl`: files, and folders with all of their files
/// (not those below). All or nothing: with one authority less, clients would be turned away; with
/// one list less, revoked ones would come in.
pub fn authorities(trust: &[PathBuf], crl: &[PathBuf]) -> Result<Authorities, Vec<Finding>> {
    let (mut found, mut problems) = (Authorities::default(), Vec::new());
    let mut known = HashSet::new();
    for source in trust {
        let add = |(file, content): (PathBuf, Content)| {
            let mut count = 0;
            for der in content.certificates {
                check_authority(&file, &der)?;
                count += 1;
                if known.insert(der.clone()) {
                    found.certificates.push((file.clone(), der));
                }
            }
            Ok(count)
        };
        read(source, "no authority's certificate is found there", add, &mut problems);
    }
    let mut lists = Vec::new();
    for source in crl {
        let add = |(file, content): (PathBuf, Content)| {
            let count = content.revocation_lists.len();
            for der in content.revocation_lists {
                let list =
                    ParsedList::new(&der).map_err(|why| Finding::new(Code::Damaged, &file, why))?;
                found.findings.extend(has_expired(&file, &list));
                lists.push((list.this_update, (file.clone(), der)));
            }
            Ok(count)
        };
        read(
            source,
            "no revocation list (-----BEGIN X509 CRL-----) is found there",
            add,
            &mut problems,
        );
    }
    // The first that speaks for an issuer is the one that is asked.
    lists.sort_by_key(|(this_update, _)| std::cmp::Reverse(*this_update));
    found.revocation_lists = lists.into_iter().map(|(_, list)| list).collect();
    if problems.is_empty() { Ok(found) } else { Err(problems) }
}

/// Reads a file or a folder. `add` takes what a file holds, and says how much of it was wanted.
fn read(
    source: &Path,
    nothing: &str,
    mut add: impl FnMut((PathBuf, Content)) -> Result<usize, Finding>,
    problems: &mut Vec<Finding>,
) {
    let mut count = 0;
    let before = problems.len();
    match list(source) {
        Err(error) => {
            let text = format!("it cannot be read: {error}");
            problems.push(Finding::new(Code::Unreadable, source, text));
        }
        Ok(files) => {
            for file in files {
                let read = files::read(&file).and_then(|content| match content {
                    Some(content) => add((file, content)),
                    None => Ok(0),
                });
                match read {
                    Ok(wanted) => count += wanted,
                    Err(finding) => problems.push(finding),
                }
            }
        }
    }
    if count == 0 && problems.len() == before {
        problems.push(Finding::new(Code::NothingThere, source, nothing));
    }
}

fn list(source: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !fs::metadata(source)?.is_dir() {
        return Ok(vec![source.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(source)? {
        let path = entry?.path();
        if !path.is_dir() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A certificate below another one would never be taken for an authority's, and whoever put it
/// there would wonder.
fn check_authority(file: &Path, der: &CertificateDer<'static>) -> Result<(), Finding> {
    let parsed = Parsed::new(der).map_err(|why| Finding::new(Code::Damaged, file, why))?;
    if parsed.is_ca || parsed.is_self_signed() {
        return Ok(());
    }
    let text = format!(
        "{} is no authority's certificate; put that of its issuer, {}, there",
        parsed.subject.1, parsed.issuer.1
    );
    Err(Finding::new(Code::NothingThere, file, text))
}

fn has_expired(file: &Path, list: &ParsedList) -> Option<Finding> {
    let due = list.next_update.filter(|due| *due < now())?;
    let text = format!(
        "the revocation list of {} has expired on {}: until a newer one is there, no client of that authority is verified",
        list.issuer,
        date(due)
    );
    Some(Finding::new(Code::Expired, file, text))
}
