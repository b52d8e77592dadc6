//! Whatever lies in the folder: a clear finding, and the rest is served.

use super::*;

#[test]
fn mistakes_in_files_are_named_with_what_to_do() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let leaf = ca.leaf(&["m.example"], ecdsa());
    folder.write("good.pem", &format!("{}{}{}", leaf.cert, leaf.key, ca.issuer_pem));
    folder.write(
        "encrypted.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    folder.write("binary.crt", "0\u{1}binary");
    folder.write("text.pem", "hello");
    folder.write("README", "certificates live here");
    std::os::unix::fs::symlink("/nowhere", folder.0.join("gone.pem")).unwrap();
    std::os::unix::fs::symlink(&folder.0, folder.0.join("circle")).unwrap();
    let store = folder.load(None);
    let said = errors(&store);
    for (file, why) in [
        ("encrypted.key", "openssl pkey -in"),
        ("binary.crt", "openssl x509 -inform der"),
        ("text.pem", "no PEM block"),
        ("gone.pem", "cannot be read"),
    ] {
        assert!(said.iter().any(|s| s.contains(file) && s.contains(why)), "{file}: {said:?}");
    }
    assert_eq!(said.len(), 4, "{said:?}");
    assert_eq!(store.certificates.len(), 1, "the rest is served");
}
