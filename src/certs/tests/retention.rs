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
        let kept: Vec<&str> = after.kept().iter().map(|c| c.label()).collect();
        assert_eq!(kept, ["m.example"], "{why}");
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
        assert!(mended.kept().is_empty(), "{why}");
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

/// The same, where it is not the file with the leaf.
#[test]
fn an_unreadable_chain_is_remembered_for_the_others() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (a, b) = (ca.leaf(&["a.example"], ecdsa()), ca.leaf(&["b.example"], ecdsa()));
    folder.write("a/all.pem", format!("{}{}", a.cert, a.key));
    folder.write("a/chain.pem", &ca.issuer_pem);
    folder.write("b/all.pem", format!("{}{}", b.cert, b.key));
    let before = folder.load(None);
    folder.write("a/chain.pem", "");
    let after = folder.load(Some(&before));
    for (name, leaf) in [("a.example", &a), ("b.example", &b)] {
        let served = chosen(&set(&after), Some(name), ANYWHERE).0;
        assert_eq!(chain(&served), ders(&[&leaf.cert, &ca.issuer_pem]), "{name}");
    }
    assert!(after.kept().is_empty());
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

/// A place that cannot be read takes nothing with it that lies below it.
#[test]
fn what_lies_below_an_unreadable_place_is_kept() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (a, b) = (ca.leaf(&["a.example"], ecdsa()), ca.leaf(&["b.example"], ecdsa()));
    folder.write("a/all.pem", format!("{}{}", a.cert, a.key));
    folder.write("live/b.example/all.pem", format!("{}{}", b.cert, b.key));
    let sources =
        Sources { certificates: vec![folder.path("a"), folder.path("live")], ..Sources::default() };
    let before = load(&sources, None);
    fs::rename(folder.path("live"), folder.path("away")).unwrap();
    let after = load(&sources, Some(&before));
    assert_eq!(errors(&after).len(), 1, "{:?}", errors(&after));
    assert_eq!(labels(&after), ["a.example", "b.example"]);
    // And so it is the next time.
    let later = load(&sources, Some(&after));
    assert_eq!(labels(&later), ["a.example", "b.example"]);
}

/// The same where a link leads nowhere for a moment; and once it does again, what is there is a folder.
#[test]
fn a_link_to_a_folder_may_lead_nowhere_for_a_moment() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (a, b) = (ca.leaf(&["a.example"], ecdsa()), ca.leaf(&["b.example"], ecdsa()));
    folder.write("live/a/all.pem", format!("{}{}", a.cert, a.key));
    folder.write("data/b/all.pem", format!("{}{}", b.cert, b.key));
    folder.link("../data/b", "live/b");
    let sources = Sources { certificates: vec![folder.path("live")], ..Sources::default() };
    let before = load(&sources, None);
    assert_eq!(labels(&before), ["a.example", "b.example"]);
    fs::rename(folder.path("data"), folder.path("away")).unwrap();
    let after = load(&sources, Some(&before));
    assert_eq!(errors(&after).len(), 1, "{:?}", errors(&after));
    assert_eq!(labels(&after), ["a.example", "b.example"]);
    fs::rename(folder.path("away"), folder.path("data")).unwrap();
    let mended = load(&sources, Some(&after));
    assert_eq!(errors(&mended), Vec::<String>::new());
    assert_eq!(labels(&mended), ["a.example", "b.example"]);
}

/// Somebody else's damage in the same folder brings no name back that was given up.
#[test]
fn a_name_that_was_given_up_is_not_kept_for_a_neighbours_damage() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let old = ca.leaf(&["m.example", "given-up.example"], ecdsa());
    let new = ca.leaf(&["m.example"], ecdsa());
    let other = ca.leaf(&["o.example"], ecdsa());
    let together = |leaf: &Leaf| format!("{}{}", leaf.cert, leaf.key);
    folder.write("m.pem", together(&old));
    folder.write("o.pem", together(&other));
    let before = folder.load(None);
    folder.write("m.pem", together(&new));
    folder.write("o.pem", "");
    let after = folder.load(Some(&before));
    let set = set(&after);
    assert!(set.covers("o.example"));
    assert!(!set.covers("given-up.example"), "{:?}", labels(&after));
}

/// What the configuration does not name any more is not kept.
#[test]
fn a_file_that_is_not_named_any_more_is_forgotten() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (a, b) = (ca.leaf(&["a.example"], ecdsa()), ca.leaf(&["b.example"], ecdsa()));
    folder.write("a.pem", format!("{}{}", a.cert, a.key));
    folder.write("b.pem", format!("{}{}", b.cert, b.key));
    let named = |names: &[&str]| Sources {
        certificates: names.iter().map(|name| folder.path(name)).collect(),
        ..Sources::default()
    };
    let before = load(&named(&["a.pem", "b.pem"]), None);
    folder.write("a.pem", "");
    let after = load(&named(&["a.pem"]), Some(&before));
    assert_eq!(labels(&after), ["a.example"]);
}

/// A certificate without a name that could be asked for is one, too.
#[test]
fn a_certificate_for_an_address_is_kept_as_well() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let a = ca.leaf(&["a.example"], ecdsa());
    let address = ca.leaf(&["192.0.2.7"], ecdsa());
    folder.write("a/all.pem", format!("{}{}", a.cert, a.key));
    folder.write("ip/all.pem", format!("{}{}", address.cert, address.key));
    let before = folder.load(None);
    assert_eq!(before.certificates.len(), 2);
    folder.write("ip/all.pem", "");
    let after = folder.load(Some(&before));
    assert_eq!(after.certificates.len(), 2, "{:?}", labels(&after));
}

/// A wrong signature that is to be refused is no reason to lose what was there before.
#[test]
fn a_liar_that_is_refused_leaves_what_was_before() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let good = ca.leaf(&["a.example"], ecdsa());
    // Two with one name and one key id, and not with one key.
    let one_of_two = || {
        Entity::authority("CA 1").with(|params| {
            params.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![7; 20]);
        })
    };
    let new = Entity::leaf(&["a.example"]);
    let (cert, liar) = (new.by(&one_of_two()), one_of_two().by(&Entity::authority("Root")));
    let lying = format!("{cert}{liar}{}", new.key());
    let refused = Policy([(Code::SignatureWrong, Action::Refuse)].into());
    let refusing = Sources { policy: refused, ..folder.sources() };
    folder.write("a/all.pem", format!("{}{}{}", good.cert, ca.issuer_pem, good.key));
    let before = load(&refusing, None);
    assert_eq!(labels(&before), ["a.example"]);
    folder.write("a/all.pem", lying);
    let after = load(&refusing, Some(&before));
    assert_eq!(codes(&after).iter().filter(|c| *c == "V008").count(), 1, "{:?}", codes(&after));
    assert_eq!(only_chain(&after), ders(&[&good.cert, &ca.issuer_pem]));

    // What was found out once is said again, and a policy that comes later sees it as well.
    let first = folder.load(None);
    for sources in [folder.sources(), refusing] {
        let again = load(&sources, Some(&first));
        assert_eq!(texts(&again, Code::SignatureWrong).len(), 1, "{:?}", said(&again.findings));
    }
}

/// Nobody is kept from being refused by having been served.
#[test]
fn a_policy_that_changes_takes_effect() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let good = ca.leaf(&["good.example"], ecdsa());
    let old = ca.issue(&Entity::leaf(&["old.example"]).valid(2000, 2020));
    for (name, leaf) in [("good", &good), ("old", &old)] {
        let text = format!("{}{}{}", leaf.cert, ca.issuer_pem, leaf.key);
        folder.write(&format!("{name}/all.pem"), text);
    }
    let before = folder.load(None);
    assert_eq!(labels(&before), ["good.example", "old.example"]);
    let policy = Policy([(Code::Expired, Action::Refuse)].into());
    let refusing = Sources { policy, ..folder.sources() };
    let after = load(&refusing, Some(&before));
    assert_eq!(labels(&after), ["good.example"]);
    assert_eq!(errors(&after).len(), 1, "{:?}", errors(&after));
    assert!(after.kept().is_empty());
    // What served before it is kept, all the same.
    let renewed = ca.leaf(&["old.example"], ecdsa());
    folder.write("old/all.pem", format!("{}{}{}", renewed.cert, ca.issuer_pem, renewed.key));
    let fine = load(&refusing, Some(&after));
    folder.write("old/all.pem", format!("{}{}{}", old.cert, ca.issuer_pem, old.key));
    let again = load(&refusing, Some(&fine));
    let served = chosen(&set(&again), Some("old.example"), ANYWHERE).0;
    assert_eq!(chain(&served)[0], ders(&[&renewed.cert])[0]);
    assert_eq!(again.kept().len(), 1);
}

/// A new certificate whose chain breaks off gives way where the old one can be shown, and nowhere else.
#[test]
fn names_that_only_the_new_one_has_are_served_with_it() {
    let (ca, unknown, folder) = (Authority::new(), Authority::named(" of others"), Folder::new());
    let old = ca.leaf(&["m.example"], ecdsa());
    let names = ["m.example", "new.example", "newer.example"];
    let new = unknown.issue(&Entity::leaf(&names).valid(2000, 5000));
    folder.write("m/all.pem", format!("{}{}{}", old.cert, ca.issuer_pem, old.key));
    let mut store = folder.load(None);
    folder.write("m/all.pem", format!("{}{}", new.cert, new.key));
    // And so it is the next time.
    for _ in 0..2 {
        store = folder.load(Some(&store));
        let (set, more) = CertificateSet::new(&store, &Wishes::default());
        assert_eq!(said(&more), Vec::<String>::new(), "it has been said");
        for (name, leaf) in [("m.example", &old), ("new.example", &new), ("newer.example", &new)] {
            let served = chosen(&set, Some(name), ANYWHERE).0;
            assert_eq!(chain(&served)[0], ders(&[&leaf.cert])[0], "{name}");
        }
        let said = texts(&store, Code::PreviousKept);
        assert!(said[0].contains("not for new.example and 1 more"), "{said:?}");
        assert_eq!(store.kept().len(), 1);
    }
}

/// Links to one folder are as good as the folder, for files that are named.
#[test]
fn named_files_are_found_by_way_of_links() {
    let (ca, folder) = (Authority::new(), Folder::new());
    let (a, b) = (ca.leaf(&["a.example"], ecdsa()), ca.leaf(&["b.example"], ecdsa()));
    folder.write("d/a.pem", format!("{}{}", a.cert, a.key));
    folder.write("d/b.pem", format!("{}{}", b.cert, b.key));
    folder.link("d", "l");
    let sources = Sources {
        certificates: vec![folder.path("d/a.pem"), folder.path("l/b.pem")],
        ..Sources::default()
    };
    assert_eq!(labels(&load(&sources, None)), ["a.example", "b.example"]);
}
