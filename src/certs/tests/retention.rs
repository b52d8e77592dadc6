//! What goes on being served, and what is forgotten.

use super::*;

/// What goes wrong in a folder.
type Break<'a> = &'a dyn Fn(&Path);

/// O2, O3: what cannot be used is named, and what was served before goes on.
#[test]
fn a_broken_place_keeps_what_it_had() {
    let (ca, another) = (Authority::new(), Authority::named(" of another"));
    let (old, new, other) = (
        ca.leaf(&["m.example"], ecdsa()),
        ca.leaf(&["m.example"], ecdsa()),
        another.leaf(&["o.example"], ecdsa()),
    );
    let full = |leaf: &Leaf| format!("{}{}", leaf.cert, ca.issuer_pem);
    let together = |leaf: &Leaf| format!("{}{}{}", leaf.cert, another.issuer_pem, leaf.key);
    let half = &full(&new)[..full(&new).len() / 3];
    let broken: [(&str, Break<'_>); 6] = [
        ("the key in", &|m| fs::write(m.join("fullchain.pem"), full(&new)).unwrap()),
        ("it is cut short", &|m| fs::write(m.join("fullchain.pem"), half).unwrap()),
        ("the certificate for this key", &|m| fs::remove_file(m.join("fullchain.pem")).unwrap()),
        ("it is empty", &|m| fs::write(m.join("privkey.pem"), "").unwrap()),
        ("there is no private key", &|m| fs::remove_file(m.join("privkey.pem")).unwrap()),
        ("the issuer CN=CA 1 is not at hand", &|m| {
            fs::write(m.join("fullchain.pem"), &new.cert).unwrap();
            fs::write(m.join("privkey.pem"), &new.key).unwrap();
        }),
    ];
    for (why, break_it) in broken {
        let folder = Folder::new();
        folder.write("m/fullchain.pem", full(&old));
        folder.write("m/privkey.pem", &old.key);
        folder.write("o/all.pem", together(&other));
        let before = folder.load(None);
        break_it(&folder.0.join("m"));
        let renewed = another.leaf(&["o.example"], ecdsa());
        folder.write("o/all.pem", together(&renewed));

        let after = folder.load(Some(&before));
        let said = errors(&after);
        assert!(
            said.len() == 1 && said[0].contains(why) && said[0].contains("/m/"),
            "{why}: {said:?}"
        );
        let served = |name| chain(&chosen(&set(&after), Some(name), ANYWHERE).0).remove(0);
        assert_eq!(served("m.example"), ders(&[&old.cert]).remove(0), "{why}");
        assert_eq!(
            served("o.example"),
            ders(&[&renewed.cert]).remove(0),
            "{why}: others are renewed"
        );

        // Mended, it is served.
        folder.write("m/fullchain.pem", full(&new));
        folder.write("m/privkey.pem", &new.key);
        let mended = folder.load(Some(&after));
        assert_eq!(errors(&mended), Vec::<String>::new(), "{why}");
        assert_eq!(
            chain(&chosen(&set(&mended), Some("m.example"), ANYWHERE).0),
            ders(&[&full(&new)]),
            "{why}"
        );
    }
}

/// What one place cannot give for a moment, another must not lose.
#[test]
fn an_unreadable_place_keeps_its_authorities_for_the_others() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (a, b) = (ca.leaf(&["a.example"], ecdsa()), ca.leaf(&["b.example"], ecdsa()));
    folder.write("a/all.pem", format!("{}{}{}", a.cert, a.key, ca.issuer_pem));
    folder.write("b/all.pem", format!("{}{}", b.cert, b.key));
    let before = folder.load(None);
    folder.write("a/all.pem", "");
    let after = folder.load(Some(&before));
    assert_eq!(errors(&after).len(), 1, "{:?}", errors(&after));
    let served = chosen(&set(&after), Some("b.example"), ANYWHERE).0;
    assert_eq!(chain(&served), ders(&[&b.cert, &ca.issuer_pem]));
}

/// A folder that is taken away is taken out of service: that is how a domain is removed.
#[test]
fn a_removed_place_is_forgotten() {
    let (ca, folder) = (Authority::new(), Folder::new());
    for name in ["a.example", "b.example"] {
        let leaf = ca.leaf(&[name], ecdsa());
        folder.write(&format!("{name}/all.pem"), format!("{}{}", leaf.cert, leaf.key));
    }
    let before = folder.load(None);
    fs::remove_dir_all(folder.0.join("b.example")).unwrap();
    let after = folder.load(Some(&before));
    assert_eq!(errors(&after), Vec::<String>::new());
    assert_eq!(after.certificates.iter().map(|c| c.label()).collect::<Vec<_>>(), ["a.example"]);
}
