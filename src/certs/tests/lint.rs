//! Every code: what brings it about, how bad it is, and what the configuration can do about it.

use std::time::Duration;

use crate::certs::now;

use super::*;

/// What brings a finding about, and nothing else.
struct Fixture {
    folder: Folder,
    roots: String,
    wishes: Wishes,
    /// Whether there was something good there before.
    previous: Option<Store>,
}

impl Fixture {
    /// With a certificate in `m.pem`, and its chain.
    fn of(leaf: &Entity) -> Self {
        let ca = Authority::new();
        let leaf = ca.issue(leaf);
        let folder =
            Folder::of(&[("m.pem", &format!("{}{}{}", leaf.cert, leaf.key, ca.issuer_pem))]);
        Self { folder, roots: ca.root_pem, wishes: Wishes::default(), previous: None }
    }

    fn good() -> Self {
        Self::of(&Entity::leaf(&["m.example"]))
    }

    fn write(self, name: &str, text: &str) -> Self {
        self.folder.write(name, text);
        self
    }

    fn sh(self, command: &str) -> Self {
        self.folder.sh(command);
        self
    }

    /// What the front would serve and say under this policy.
    fn load(&self, policy: &Policy) -> (Store, Vec<Finding>) {
        let sources = Sources { policy: policy.clone(), ..self.folder.sources() };
        let store = trusting(&anchors(&[&self.roots]), &sources, self.previous.as_ref());
        let (_, more) = CertificateSet::new(&store, &self.wishes);
        let findings = store.findings.iter().chain(&more).cloned().collect();
        (store, findings)
    }
}

/// Valid from and to these days, counted from now.
fn lasting(from: f64, to: f64) -> Entity {
    let day = |days: f64| {
        let seconds = now() + (days * 86400.0) as i64;
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.unsigned_abs())
    };
    Entity::leaf(&["m.example"])
        .with(|params| (params.not_before, params.not_after) = (day(from), day(to)))
}

/// An intermediate and its leaf, by OpenSSL, which makes what nobody else makes any more.
fn old_fashioned(bits: u32, hash: &str) -> Fixture {
    let fixture = Fixture { folder: Folder::new(), ..Fixture::good() };
    let root = Entity::authority("Old Root");
    fixture.folder.write("work/root.key", root.key());
    let roots = root.by_itself();
    fixture.folder.write("work/root.pem", &roots);
    fixture.folder.write("work/m.key", ecdsa().serialize_pem());
    fixture.folder.sh(&format!(
        "cd work
        openssl genrsa -out ca.key {bits}
        openssl req -x509 -new -key ca.key -subj /CN=Old -CA root.pem -CAkey root.key -days 90 \
            -addext basicConstraints=critical,CA:TRUE -out ca.pem
        openssl req -x509 -new -key m.key -subj /CN=m.example -CA ca.pem -CAkey ca.key -days 90 \
            -addext basicConstraints=CA:FALSE -addext subjectAltName=DNS:m.example -{hash} -out m.pem
        cat m.pem m.key ca.pem >../m.pem
        cd ..; rm -r work"
    ));
    Fixture { roots, ..fixture }
}

fn fixture(code: Code) -> Fixture {
    let key = ecdsa().serialize_pem();
    let other = Authority::named(" of others").issuer_pem;
    let alone = |leaf: &Entity, issuer: &Entity| {
        let fixture = Fixture { folder: Folder::new(), ..Fixture::good() };
        fixture.write("m.pem", &format!("{}{}", leaf.by(issuer), leaf.key()))
    };
    let leaf = Entity::leaf(&["m.example"]);
    match code {
        Code::KeyMismatch => {
            Fixture::good().sh("openssl x509 -in m.pem -out m.crt; rm m.pem").write("m.key", &key)
        }
        Code::KeyEncrypted => Fixture::good().sh(
            "openssl pkcs8 -topk8 -in m.pem -passout pass:secret >e; openssl x509 -in m.pem >>e; mv e m.pem",
        ),
        Code::NoKey => Fixture::good().sh("openssl x509 -in m.pem -out m.pem"),
        Code::Unreadable => Fixture::good().sh("rm m.pem; mkdir m.pem"),
        Code::Damaged => Fixture::good().sh("head -c 300 m.pem >n.pem; mv n.pem m.pem"),
        Code::NotPem => Fixture::good().sh("echo hello >m.pem"),
        Code::ChainIncomplete => Fixture::good()
            .sh("openssl x509 -in m.pem >c; openssl pkey -in m.pem >>c; mv c m.pem"),
        Code::SignatureWrong => {
            let id = |p: &mut CertificateParams| {
                p.key_identifier_method = rcgen::KeyIdMethod::PreSpecified(vec![7; 20]);
            };
            let root = Entity::authority("Root");
            let wrong = Entity::authority("CA 1").with(id).by(&root);
            let fixture = alone(&leaf, &Entity::authority("CA 1").with(id)).write("ca.pem", &wrong);
            Fixture { roots: root.by_itself(), ..fixture }
        }
        Code::PrivateAuthority => Fixture { roots: other, ..Fixture::good() },
        Code::SelfSigned => {
            let fixture = Fixture { folder: Folder::new(), ..Fixture::good() };
            fixture.write("m.pem", &format!("{}{}", leaf.by_itself(), leaf.key()))
        }
        Code::Expired => Fixture::of(&lasting(-90.0, -0.1)),
        Code::NotYetValid => Fixture::of(&lasting(0.1, 90.0)),
        Code::ExpiresSoon => Fixture::of(&lasting(-80.0, 10.0)),
        Code::KeyExposed => Fixture::good().sh("chmod 755 .; chmod 644 m.pem"),
        Code::WeakKey => old_fashioned(1024, "sha256"),
        Code::Sha1 => old_fashioned(2048, "sha1"),
        Code::NoSan => Fixture::of(
            &Entity::leaf(&[])
                .with(|p| p.distinguished_name.push(DnType::CommonName, "m.example")),
        ),
        Code::NameUnusable => Fixture::of(&Entity::leaf(&["m.example", "192.0.2.1"])),
        Code::DuplicateName => {
            let ca = Authority::new();
            let (one, two) = (ca.leaf(&["m.example"], ecdsa()), ca.issue(&leaf));
            let fixture = Fixture { folder: Folder::new(), roots: ca.root_pem, ..Fixture::good() };
            let text = format!("{}{}{}", one.cert, one.key, ca.issuer_pem);
            fixture.write("m.pem", &text).write("n.pem", &format!("{}{}", two.cert, two.key))
        }
        Code::NameNotCovered => {
            let wishes = Wishes { default: Some("x.example".into()), ..Wishes::default() };
            Fixture { wishes, ..Fixture::good() }
        }
        Code::NothingThere => Fixture::good().sh("rm m.pem"),
        Code::PreviousKept => {
            let fixture = Fixture::good().sh("openssl pkey -in m.pem -out m.key");
            let previous = Some(fixture.load(&Policy::default()).0);
            Fixture { previous, ..fixture.sh("rm m.pem") }
        }
        Code::TlsaMismatch | Code::OrderFailed | Code::OrderPending => {
            unreachable!("it is not about files")
        }
    }
}

/// What the default does: a key that does not match and an encrypted one refuse, the rest warns.
#[test]
fn each_code_has_its_severity_and_the_policy_changes_it() {
    use Severity::{Error, Note, Warning};
    let defaults = [
        ("V001", Error),
        ("V002", Error),
        ("V003", Error),
        ("V004", Error),
        ("V005", Error),
        ("V006", Error),
        ("V007", Warning),
        ("V008", Warning),
        ("V009", Note),
        ("V010", Warning),
        ("V011", Warning),
        ("V012", Warning),
        ("V013", Warning),
        ("V014", Warning),
        ("V015", Warning),
        ("V016", Warning),
        ("V017", Warning),
        ("V018", Warning),
        ("V019", Warning),
        ("V020", Warning),
        ("V021", Warning),
        ("V022", Error),
    ];
    for (name, severity) in defaults {
        let code: Code = name.parse().unwrap();
        let fixture = fixture(code);
        // Of these the certificates know nothing, or there is one all the same.
        let is_apart = code >= Code::DuplicateName;
        let is_served = |store: &Store| !store.certificates.is_empty();
        let under = |action: Option<Action>| {
            let policy = Policy(action.map(|action| (code, action)).into_iter().collect());
            let (store, findings) = fixture.load(&policy);
            let what = said(&findings);
            for finding in &findings {
                assert!(finding.code == code, "{name} under {action:?}: {what:?}");
                assert!(
                    !finding.text.is_empty() && finding.file.is_absolute()
                        || code == Code::NameNotCovered
                );
            }
            let is_served = is_served(&store);
            (findings.iter().map(|f| f.severity).max(), is_served)
        };
        let (found, served) = under(None);
        assert_eq!(found, Some(severity), "{name} by default");
        if !is_apart {
            assert_eq!(served, severity < Error, "{name} by default");
        }
        let (found, served) = under(Some(Action::Refuse));
        assert_eq!(found, Some(Error), "{name} refused");
        assert!(is_apart || !served, "{name} refused");
        if !code.is_final() {
            assert_eq!(
                under(Some(Action::Warn)),
                (Some(Warning), code != Code::NothingThere),
                "{name}"
            );
            assert_eq!(under(Some(Action::Ignore)), (None, code != Code::NothingThere), "{name}");
        }
    }
    assert_eq!(Code::all().count(), defaults.len() + 3, "DNS and orders are not about files");
}

/// Whether it is said that a certificate with this life expires soon.
fn expires_soon(from: f64, to: f64) -> bool {
    let (_, findings) = Fixture::of(&lasting(from, to)).load(&Policy::default());
    let said = said(&findings);
    assert!(findings.iter().all(|f| f.code == Code::ExpiresSoon), "{said:?}");
    !findings.is_empty()
}

/// Fourteen days before the end; of a life of six days, in its last third.
#[test]
fn soon_is_a_fortnight_or_a_third_of_a_short_life() {
    for (from, to, is_soon) in [
        (-30.0, 14.1, false),
        (-76.0, 14.1, false),
        (-76.1, 13.9, true),
        (-300.0, 13.9, true),
        (-89.9, 0.1, true),
        (-0.1, 6.0, false),
        (-3.0, 3.0, false),
        (-3.9, 2.1, false),
        (-4.1, 1.9, true),
        (-5.9, 0.1, true),
    ] {
        assert_eq!(expires_soon(from, to), is_soon, "from {from} to {to}");
    }
    let (_, findings) = Fixture::of(&lasting(-80.0, 10.5)).load(&Policy::default());
    let day = crate::certs::date(now() + 10 * 86400 + 43200);
    assert!(
        findings[0].text.contains("10 days") && findings[0].text.contains(&day),
        "{findings:?}"
    );
}

/// Clients look at each certificate of the chain.
#[test]
fn an_expired_intermediate_is_named() {
    let (root, leaf) = (Entity::authority("Root"), Entity::leaf(&["m.example"]));
    let ca = Entity::authority("Old CA").valid(2000, 2020);
    let text = format!("{}{}{}", leaf.by(&ca), leaf.key(), ca.by(&root));
    let folder = Folder::of(&[("m.pem", &text)]);
    let store = folder.load_trusting(&[&root.by_itself()]);
    assert_eq!(codes(&store), ["V011"]);
    let text = &store.findings[0].text;
    assert!(text.contains("CN=Old CA") && text.contains("2020-01-01"), "{text}");
    assert_eq!(store.certificates.len(), 1, "it is served all the same");
}

/// Who may not enter the folder cannot read the key in it, whatever its mode; links lead to where the
/// key really lies.
#[test]
fn a_key_is_exposed_if_others_really_can_read_it() {
    for (what, command, is_exposed) in [
        ("an open key in a closed folder", "chmod 700 .; chmod 644 m.pem", false),
        ("an open key in an open folder", "chmod 755 .; chmod 644 m.pem", true),
        ("for the group", "chmod 755 .; chmod 640 m.pem", false),
        ("for the owner", "chmod 755 .; chmod 600 m.pem", false),
        ("who enters may read without listing", "chmod 711 .; chmod 604 m.pem", true),
        (
            "a link into a closed folder",
            "chmod 755 .; mkdir -m 755 live; mkdir -m 700 archive; chmod 644 m.pem; mv m.pem archive; ln -s ../archive/m.pem live",
            false,
        ),
        (
            "a closed folder with a link out of it",
            "chmod 755 .; mkdir -m 700 live; mkdir -m 755 archive; chmod 644 m.pem; mv m.pem archive; ln -s ../archive/m.pem live",
            true,
        ),
    ] {
        let fixture = Fixture::good().sh(command);
        let live = fixture.folder.path("live");
        let place = if live.exists() { live } else { fixture.folder.0.clone() };
        let findings = || {
            let sources = Sources { certificates: vec![place.clone()], ..Sources::default() };
            trusting(&anchors(&[&fixture.roots]), &sources, None).findings
        };
        let first = findings();
        let is_said = first.iter().any(|f| f.code == Code::KeyExposed);
        assert_eq!(is_said, is_exposed, "{what}: {:?}", said(&first));
        for finding in first {
            let (_, command) = finding.text.split_once(": ").unwrap();
            fixture.folder.sh(command);
            assert!(findings().is_empty(), "{what}: {command}");
        }
    }
}

/// It is shown at the key's file, which is not its certificate's.
#[test]
fn an_exposed_key_is_named_by_its_own_file() {
    let fixture = Fixture::good().sh("chmod 755 .; openssl pkey -in m.pem -out m.key; chmod 644 m.key; sed -i '/PRIVATE/,/PRIVATE/d' m.pem");
    let (_, findings) = fixture.load(&Policy::default());
    let [finding] = &findings[..] else { panic!("{:?}", said(&findings)) };
    assert_eq!((finding.code, &finding.file), (Code::KeyExposed, &fixture.folder.path("m.key")));
}

/// A key of 1024 bits can be neither used nor verified: it is called by its name, and the rest is served.
#[test]
fn an_rsa_key_of_1024_bits_is_too_weak_to_be_served() {
    for form in ["", "-traditional"] {
        let folder = Fixture::good().folder;
        folder.sh(&format!(
            "openssl genrsa {form} -out weak.key 1024
            openssl req -x509 -new -key weak.key -subj /CN=weak.example -days 90 \
                -addext subjectAltName=DNS:weak.example -out weak.crt"
        ));
        let store = folder.load(None);
        let weak: Vec<&Finding> =
            store.findings.iter().filter(|f| f.code == Code::WeakKey).collect();
        let [weak] = &weak[..] else { panic!("{:?}", said(&store.findings)) };
        assert_eq!(weak.severity, Severity::Error);
        assert!(weak.file.ends_with("weak.key"), "{weak}");
        assert!(weak.text.contains("1024") && weak.text.contains("2048"), "{weak}");
        assert_eq!(labels(&store), ["m.example"]);
        // No policy makes it usable.
        let policy = Policy([(Code::WeakKey, Action::Ignore)].into());
        let store = trusting(&Anchors::default(), &Sources { policy, ..folder.sources() }, None);
        assert!(errors(&store).len() == 1, "{:?}", said(&store.findings));
    }
}

/// What is signed with SHA-1 is named, leaf or intermediate; a self-signed one vouches for itself anyway.
#[test]
fn sha1_is_named_wherever_it_is_sent() {
    let (_, findings) = old_fashioned(2048, "sha1").load(&Policy::default());
    assert!(findings[0].text.contains("CN=m.example"), "{}", findings[0]);
    let folder = Folder::of(&[("m.key", &ecdsa().serialize_pem())]);
    folder.sh("openssl req -x509 -new -key m.key -subj /CN=m.example -sha1 -days 90 \
         -addext subjectAltName=DNS:m.example -out m.crt");
    assert_eq!(codes(&folder.load(None)), ["V010"]);
}

/// Old clients read the CN; so that they get what they ask for, it counts.
#[test]
fn a_common_name_counts_where_there_is_no_san() {
    let named = |sans: &[&str]| {
        let leaf = Entity::leaf(sans)
            .with(|p| p.distinguished_name.push(DnType::CommonName, "CN.example"));
        let (store, findings) = Fixture::of(&leaf).load(&Policy::default());
        (store.certificates[0].names().to_vec(), said(&findings))
    };
    let (names, findings) = named(&[]);
    assert_eq!(names, ["cn.example"]);
    assert!(findings.len() == 1 && findings[0].contains("RFC 9525"), "{findings:?}");
    assert_eq!(named(&["san.example"]), (vec!["san.example".to_owned()], vec![]));
}
