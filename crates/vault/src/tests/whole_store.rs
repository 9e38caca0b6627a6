//! A store with a record of each kind, as the engine holds it: opened by a reader that shares no code
//! with Tresor, and with every sealed record put in the place of every other.

use std::fmt::Write;
use std::process::Command;

use authz::Narrowing;
use crypto::{Passphrase, PayloadContext};
use domain::{Document, Fields, Malformed, PrincipalName, RegistryLogin};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::{Change, ChangedObject, ConsumerKind};

use super::*;

const PASSPHRASE: &str = "correct horse battery staple";

/// A key's first byte, by what is under it.
const WRAPPED_KEYS: u8 = 0x05;
const PAYLOAD: u8 = 0x06;
const METADATA: [u8; 9] = [0x02, 0x03, 0x04, 0x09, 0x0c, 0x0d, 0x0f, 0x10, 0x12];

fn text(text: &str) -> Plaintext {
    Plaintext::new(text.as_bytes().to_vec())
}

fn fields(kind: SecretType, values: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::of(kind);
    for (name, value) in values {
        fields.set(name, Some(text(value))).unwrap();
    }
    fields
}

/// A payload of each type.
fn payloads() -> [(&'static str, Payload); 6] {
    let s3 = [("accessKeyId", "AKIA"), ("secretAccessKey", "s3cret"), ("bucket", "models")];
    let login = |server: &str, email: Option<&str>| RegistryLogin {
        server: server.to_owned(),
        username: text("robot"),
        password: text("pull"),
        email: email.map(str::to_owned),
    };
    let logins = vec![login("r.example", Some("a@b.example")), login("s.example", None)];
    let ssh = fields(SecretType::Ssh, &[("username", "root"), ("password", "toor")]);
    let document = Document::parse(br#"{"a": 1, "b": {"c": "d"}}"#).unwrap();
    // Longer than what the engine keeps in one piece.
    let long = "0123456789abcdef".repeat(1000);
    [
        ("document", Payload::Document(document)),
        ("opaque", payload(&long)),
        ("registry", Payload::registry(logins).unwrap()),
        ("s3", Payload::s3(fields(SecretType::S3, &s3)).unwrap()),
        ("ssh", Payload::ssh(ssh).unwrap()),
        ("variable", Payload::variable(text("")).unwrap()),
    ]
}

/// A store with something of everything, and two root keys.
fn whole() -> (Home, Running) {
    let root = Arc::new(RootKey::make().unwrap());
    let made = Keyring::make(StoreId::make().unwrap(), root.as_ref(), MADE_AT).unwrap();
    let passphrase = Passphrase::from_text(PASSPHRASE).unwrap();
    let added = Keyring::with_slot_added(&made.to_file(), root.as_ref(), &passphrase, MADE_AT);
    filled(Home::of(added.unwrap(), root))
}

/// Two such stores that differ in their identity alone: the test vectors have keyrings with the same
/// keys, which none that is made at random has.
fn two_with_the_same_keys() -> [(Home, Running); 2] {
    let vectors = include_str!("../../../crypto/tests/vectors/payload.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    let root = vectors[0]["root"].as_str().unwrap();
    ["base", "store"].map(|name| {
        let vector = vectors.iter().find(|vector| vector["name"] == name).unwrap();
        let digits = vector["keyring"].as_str().unwrap().as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let root = Arc::new(RootKey::from_text(root).unwrap());
        filled(Home::of(digits.map(byte).collect(), root))
    })
}

/// A store with something of everything.
pub(super) fn filled_store() -> (Home, Running) {
    filled(Home::new())
}

fn filled(home: Home) -> (Home, Running) {
    let running = home.start();
    fill(&running, &home.clock);
    (home, running)
}

fn fill(running: &Running, clock: &Fixed) {
    let everywhere = || running.may(WholeStore);
    running.vault.create_org(&everywhere(), &OrgName::parse("acme").unwrap()).unwrap();
    running.make_project("ml", vec![rule("team")]);
    running.make_project("team", Vec::new());
    for (name, payload) in payloads() {
        running
            .vault
            .create_secret(&running.may(secret(name)), &first_of(First::Version(payload)))
            .unwrap();
    }
    running.create("hf", "1").unwrap();
    for value in ["2", "3", "4"] {
        clock.pass_millis(1);
        running.update("hf", value).unwrap();
    }
    running.set_versions("hf", [2], VersionState::Deleted).unwrap();
    running.set_versions("hf", [3], VersionState::Destroyed).unwrap();
    running.bind("hf", &[("team", BindingKind::Members)]).unwrap();
    for value in ["old", "older"] {
        running.create("gone", value).unwrap();
        running.delete("gone").unwrap();
    }
    let named = |name| PrincipalName::parse(name).unwrap();
    let password = text("tremendous oval penguin 55");
    let right = |role| Right::new(role, Scope::Project(project("ml"))).unwrap();
    for (kind, name) in [
        (PrincipalKind::User, "alice"),
        (PrincipalKind::Machine, "ci"),
        (PrincipalKind::Group, "team"),
    ] {
        let password = Some(&password).filter(|_| kind == PrincipalKind::User);
        let member = Member { kind: PrincipalKind::User, name: named("alice") };
        let members = if kind == PrincipalKind::Group { vec![member] } else { Vec::new() };
        let rights = vec![right(Role::Viewer)];
        let new = NewPrincipal { kind, name: named(name), password, members, rights };
        running.vault.create_principal(&everywhere(), &new).unwrap();
    }
    let alice = running.sign_in("alice");
    let narrowing = Narrowing { projects: Some(vec![project("ml")]), ..Narrowing::default() };
    running.own_token(&alice, narrowing).unwrap();
    running.mint(Role::Writer, Scope::Below(secret("hf")));
    let permit = |name| Some(running.vault.permit(&running.admin, secret(name)).unwrap());
    let new = NewConsumer {
        kind: ConsumerKind::Cluster,
        name: "c1",
        annotations: Annotations::default(),
        ssh: permit("ssh"),
        image: permit("registry"),
    };
    running.vault.create_consumer(&everywhere(), &new).unwrap();
    running.reveal("hf", None).unwrap();
    running.vault.note_read(running.secret("hf").unwrap().head.uid);
    running.vault.write_usage().unwrap();
}

fn records(running: &Running) -> Vec<(Key, Vec<u8>)> {
    let range = KeyRange { start: Key::from_bytes(vec![0]), end: Key::from_bytes(vec![0x7f]) };
    let page = running.engine.scan(&range, 100_000).unwrap();
    assert!(!page.more);
    page.records.into_iter().map(|(key, stored)| (key, stored.value)).collect()
}

fn kind(key: &Key) -> u8 {
    key.as_bytes()[0]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// All heads, with whether they are deleted.
fn all_heads(running: &Running) -> Vec<Head> {
    let mut heads = running.heads(&KeyRange::all_heads());
    heads.extend(running.heads(&KeyRange::all_deleted_heads()));
    heads.sort_by_key(|head| (head.path.to_string(), head.uid));
    heads
}

/// What the vault shows of the secrets, values as their SHA-256.
fn shown(running: &Running) -> Value {
    let version = |head: &Head, version: &VersionInfo| {
        let mut shown = json!({ "number": version.number, "state": version.state.as_str() });
        let payload = running.vault.read_payload(head.uid, version.number, head.kind).unwrap();
        if let Some(payload) = payload {
            shown["sha256"] = hashes(&payload);
        }
        shown
    };
    let shown = all_heads(running).into_iter().map(|head| {
        let versions: Vec<_> = head.versions.iter().map(|one| version(&head, one)).collect();
        json!({
            "uid": head.uid.to_string(),
            "path": head.path.to_string(),
            "type": head.kind.as_str(),
            "deleted": head.deleted_at.is_some(),
            "labels": head.labels.as_map(),
            "bindings": head.bindings.iter().map(|to| to.project.to_string()).collect::<Vec<_>>(),
            "versions": versions,
        })
    });
    shown.collect()
}

fn hashes(payload: &Payload) -> Value {
    // EXPOSE: only the hashes of the values are compared.
    let hash = |value: &Plaintext| sha256(value.expose());
    match payload {
        Payload::Document(document) => json!({ "document": hash(document.text()) }),
        Payload::Opaque(values) => {
            values.iter().map(|(key, value)| (key.as_str().to_owned(), hash(value))).collect()
        }
        Payload::Registry(logins) => {
            let login = |login: &RegistryLogin| {
                // EXPOSE: as above.
                let both = [login.username.expose(), b":", login.password.expose()].concat();
                (login.server.clone(), sha256(&both))
            };
            logins.iter().map(login).collect()
        }
        Payload::S3(_) | Payload::Ssh(_) | Payload::Variable(_) => {
            let fields = payload.fields().unwrap().into_iter();
            fields.map(|(name, value)| (name.to_owned(), hash(value))).collect()
        }
    }
}

/// What a reader has of a store: the files, and nothing of Tresor.
fn opened_by_hand(home: &Home, records: &[(Key, Vec<u8>)]) -> Result<Value, String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let python = Command::new(tests.join("setup/cryptography.sh")).output().unwrap();
    assert!(python.status.success(), "{python:?}");
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let dump = records.iter().map(|(key, value)| (hex(key.as_bytes()), hex(value)));
    let dump: serde_json::Map<_, _> = dump.map(|(key, value)| (key, value.into())).collect();
    fs::write(file("keyring"), &home.keyring).unwrap();
    fs::write(file("records"), Value::Object(dump).to_string()).unwrap();
    fs::write(file("root-key"), home.root.to_text().as_str()).unwrap();
    fs::write(file("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
    let mut run = Command::new(String::from_utf8(python.stdout).unwrap().trim());
    run.arg(tests.join("crypto/open_store.py"));
    for name in ["keyring", "records", "root-key", "passphrase"] {
        run.arg(format!("--{name}")).arg(file(name));
    }
    let ended = run.output().unwrap();
    if !ended.status.success() {
        return Err(String::from_utf8_lossy(&ended.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&ended.stdout).unwrap())
}

#[test]
fn a_reader_written_from_the_documents_alone_opens_every_record() {
    let (home, running) = whole();
    let records = records(&running);
    let found = opened_by_hand(&home, &records).unwrap_or_else(|said| panic!("{said}"));

    let count = |kinds: &[u8]| records.iter().filter(|(key, _)| kinds.contains(&kind(key))).count();
    for kind in [&METADATA[..], &[WRAPPED_KEYS, PAYLOAD, 0x07]].concat() {
        assert!(count(&[kind]) > 0, "the store has no record of kind {kind:02x}");
    }
    let views = views(&records).len();
    let sealed = count(&METADATA) + count(&[WRAPPED_KEYS, PAYLOAD, 0x07]);
    let opened = json!({
        "metadata": count(&METADATA) + views,
        "wrapped keys": count(&[PAYLOAD]),
        "payloads": count(&[PAYLOAD]),
        "events": count(&[0x07]),
        "in the clear": records.len() - sealed,
    });
    assert_eq!(found["opened"], opened);
    assert_eq!(found["views"].as_array().unwrap().len(), views);
    assert_eq!(found["secrets"], shown(&running));

    let keyring = &running.vault.keyring();
    assert_eq!(found["store"], running.vault.store_id());
    assert_eq!(found["generation"], keyring.generation());
    assert_eq!(found["keks"], json!([keyring.current_kek().get()]));
    assert_eq!(found["audit keys"], json!({ "1": hex(&keyring.audit_key().bytes) }));
    assert_eq!(found["token keys"], json!({ "1": hex(&keyring.token_key().bytes) }));
    let slot = |id: u8, source: &str| json!({ "id": id, "source": source, "opened": true });
    assert_eq!(found["slots"], json!([slot(1, "raw"), slot(2, "argon2id")]));

    let everywhere = running.may(WholeStore);
    let tokens: BTreeSet<_> =
        running.vault.tokens(&everywhere).iter().map(|token| token.id.to_string()).collect();
    let found_tokens = found["tokens"].as_array().unwrap().iter();
    assert_eq!(
        found_tokens.map(|id| id.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>(),
        tokens
    );
    let projects = running.vault.projects(&running.admin).unwrap().items;
    let projects: Vec<_> = projects.iter().map(|view| view.path.to_string()).collect();
    assert_eq!(found["projects"], json!(projects));
    assert_eq!(found["organizations"], json!(["acme"]));
    let mut principals: Vec<_> =
        found["principals"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    principals.sort_unstable();
    assert_eq!(principals, ["group:team", "machine:ci", "user:alice"]);
    let hf = running.secret("hf").unwrap().head.uid;
    assert_eq!(found["bindings"], json!([["default/team", hf.to_string(), "default/ml/hf"]]));
    let consumer = json!({ "cluster:c1": ["default/ml/ssh", "default/ml/registry"] });
    assert_eq!(found["consumers"], consumer);
    let read = running.vault.last_read(hf).unwrap().unix_millis();
    assert_eq!(found["last uses"][hf.to_string()], read);

    // What it says of a store that is whole it does not say of one in which a byte differs.
    for wanted in [0x03, WRAPPED_KEYS, PAYLOAD] {
        let mut changed = records.clone();
        let (_, value) = changed.iter_mut().find(|(key, _)| kind(key) == wanted).unwrap();
        *value.last_mut().unwrap() ^= 1;
        let said = opened_by_hand(&home, &changed).unwrap_err();
        assert!(said.contains("InvalidTag"), "{said}");
    }
}

/// The metadata in the events, with what it is sealed under.
fn views(records: &[(Key, Vec<u8>)]) -> Vec<(Key, Vec<u8>)> {
    let events = records.iter().filter(|(key, _)| kind(key) == 0x07);
    let view = |(_, event): &(Key, Vec<u8>)| {
        let change = Change::decode(&event[8..]).unwrap();
        change.view.map(|view| (Key::event_view(change.uid, view.previous), view.sealed))
    };
    events.filter_map(view).collect()
}

/// Where a sealed record is kept, with what opens there beside it.
enum Place {
    Metadata(Key),
    WrappedKey(PayloadContext, Vec<u8>),
    Payload(PayloadContext, Vec<u8>),
}

impl Place {
    fn opens(&self, vault: &Vault, record: &[u8]) -> bool {
        let keyring = &vault.keyring();
        match self {
            Self::Metadata(key) => {
                vault.open_record(key, record, |_| Ok::<_, Malformed>(())).is_ok()
            }
            Self::WrappedKey(at, payload) => keyring.open_payload(at, record, payload).is_ok(),
            Self::Payload(at, wrapped) => keyring.open_payload(at, wrapped, record).is_ok(),
        }
    }
}

/// Each sealed record of a store in its place.
fn sealed(running: &Running) -> Vec<(Place, Vec<u8>)> {
    let records = records(running);
    let by_key: BTreeMap<_, _> = records.iter().cloned().collect();
    let metadata = records.iter().filter(|(key, _)| METADATA.contains(&kind(key))).cloned();
    let metadata = metadata.chain(views(&records));
    let mut sealed: Vec<_> = metadata.map(|(key, record)| (Place::Metadata(key), record)).collect();
    for (at, wrapped, payload) in versions(running, &by_key) {
        sealed.push((Place::WrappedKey(at, payload.clone()), wrapped.clone()));
        sealed.push((Place::Payload(at, wrapped), payload));
    }
    let of_versions = records.iter().filter(|(key, _)| kind(key) == PAYLOAD);
    let of_versions = of_versions.count();
    assert!(of_versions > 7 && sealed.len() > 60, "too little to mean anything");
    sealed
}

/// Each version that is kept, with its wrapped key and its payload.
fn versions(
    running: &Running,
    records: &BTreeMap<Key, Vec<u8>>,
) -> Vec<(PayloadContext, Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    for head in all_heads(running) {
        for version in head.versions.iter().filter(|one| one.state != VersionState::Destroyed) {
            let (uid, number) = (head.uid, version.number);
            let wrapped = WrappedKeys::find(&records[&Key::wrapped_keys(uid)], number);
            let wrapped = wrapped.unwrap().unwrap().to_vec();
            let at = PayloadContext { uid, version: number, kind: head.kind };
            found.push((at, wrapped, records[&Key::payload(uid, number)].clone()));
        }
    }
    found
}

/// Every sealed record in the place of every other, of its own kind and of the others, of this store
/// and of one that has the same names and the same keys: each opens in its own place alone.
#[test]
fn a_sealed_record_opens_in_no_place_but_its_own() {
    let [(_home, running), (_other_home, other)] = two_with_the_same_keys();
    let (sealed, foreign) = (sealed(&running), self::sealed(&other));
    assert_eq!(sealed.len(), foreign.len());
    for (at, (place, _)) in sealed.iter().enumerate() {
        for (from, (_, record)) in sealed.iter().enumerate() {
            assert_eq!(place.opens(&running.vault, record), at == from, "record {from} at {at}");
        }
        for (from, (_, record)) in foreign.iter().enumerate() {
            assert!(!place.opens(&running.vault, record), "foreign record {from} at {at}");
        }
    }
    // Names lie in the key, so that these are the same places in both stores.
    let named = |sealed: &[(Place, Vec<u8>)]| {
        let keys = sealed.iter().filter_map(|(place, _)| match place {
            Place::Metadata(key) if [0x02, 0x03, 0x0f, 0x12].contains(&kind(key)) => Some(key),
            _ => None,
        });
        keys.cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(named(&sealed), named(&foreign));
}

/// Wrapped key and payload together, so that each fits the other: a version in the place of every
/// other version, and in its own as every other type.
#[test]
fn a_version_opens_as_no_other_version_and_as_no_other_type() {
    let (_home, running) = whole();
    let versions = versions(&running, &records(&running).into_iter().collect());
    assert!(versions.len() > 8);
    for (at, _, _) in &versions {
        for (from, wrapped, payload) in &versions {
            let opened = running.vault.keyring().open_payload(at, wrapped, payload);
            assert_eq!(opened.is_ok(), at == from, "{from:?} at {at:?}");
        }
    }
    for (own, wrapped, payload) in &versions {
        for kind in SecretType::ALL {
            let at = PayloadContext { kind, ..*own };
            let opened = running.vault.keyring().open_payload(&at, wrapped, payload);
            assert_eq!(opened.is_ok(), kind == own.kind, "{own:?} as {kind}");
        }
    }
}

/// The same on the disk, under the vault's own acts: the heads change places, and then the versions.
#[test]
fn records_that_changed_places_on_the_disk_are_never_served() {
    let (_home, running) = whole();
    let names = ["document", "opaque", "registry", "s3", "ssh", "variable"];
    let uids = names.map(|name| running.secret(name).unwrap().head.uid);
    let rotate = |keys: &[Key]| {
        let read = |key: &Key| running.engine.read(key).unwrap().unwrap().value;
        let values: Vec<_> = keys.iter().map(read).collect();
        let mut moved = Commit::default();
        for (key, value) in keys.iter().zip(values.into_iter().cycle().skip(1)) {
            moved.put(key.clone(), value);
        }
        running.engine.commit(moved).unwrap();
    };
    let all = |make: &dyn Fn(usize) -> Key| (0..names.len()).map(make).collect::<Vec<_>>();
    let back = |keys: &[Key]| (1..keys.len()).for_each(|_| rotate(keys));
    let reveal = |name: &str| running.vault.reveal(&running.may(secret(name)), None).map(drop);
    let heads = all(&|at| Key::head(&secret(names[at])));
    let wrapped = all(&|at| Key::wrapped_keys(uids[at]));
    let payloads = all(&|at| Key::payload(uids[at], 1));

    rotate(&heads);
    for name in names {
        refused!(running.secret(name), VaultError::Damaged);
        refused!(reveal(name), VaultError::Damaged);
    }
    back(&heads);
    for moved in [vec![&wrapped], vec![&payloads], vec![&wrapped, &payloads]] {
        moved.iter().for_each(|keys| rotate(keys));
        for name in names {
            refused!(reveal(name), VaultError::Damaged);
        }
        moved.iter().for_each(|keys| back(keys));
        names.iter().for_each(|name| reveal(name).unwrap());
    }
}

/// What FORMAT.md says is not stopped: a record is bound to its place, and not to a time. A value is,
/// by the number of its version.
#[test]
fn an_older_record_in_its_own_place_opens_and_nothing_else_does() {
    let (home, running) = whole();
    let uid = running.secret("hf").unwrap().head.uid;
    let token = running.mint(Role::Writer, Scope::Project(project("ml")));
    let before: BTreeMap<_, _> = records(&running).into_iter().collect();
    running.update("hf", "5").unwrap();
    running.vault.revoke_token(&running.may(WholeStore), token.view.id).unwrap();
    assert_eq!(running.reveal("hf", None).unwrap(), "5");
    let after: BTreeMap<_, _> = records(&running).into_iter().collect();
    let put = |records: &[(Key, &Vec<u8>)]| {
        let mut commit = Commit::default();
        for (key, value) in records {
            commit.put(key.clone(), (*value).clone());
        }
        running.engine.commit(commit).unwrap();
    };
    // The older value in the place of the newer one, wrapped key and all.
    let (newest, older) = (Key::payload(uid, 5), Key::payload(uid, 4));
    let own = running.wrapped(uid);
    let mut moved = own.clone();
    let of_older = own.iter().find(|(number, _)| *number == 4).unwrap().1;
    moved.put(5, of_older.to_vec());
    put(&[(newest.clone(), &after[&older])]);
    refused!(running.reveal("hf", None), VaultError::Damaged);
    running.put_wrapped(uid, &moved);
    refused!(running.reveal("hf", None), VaultError::Damaged);
    put(&[(newest.clone(), &after[&newest])]);
    refused!(running.reveal("hf", None), VaultError::Damaged);
    running.put_wrapped(uid, &own);
    assert_eq!(running.reveal("hf", None).unwrap(), "5");
    // What was there before, each in its own place: the secret's head, and the token.
    let head = Key::head(&secret("hf"));
    put(&[(head.clone(), &before[&head])]);
    assert_eq!(running.reveal("hf", None).unwrap(), "4");
    let gone = before.iter().filter(|(key, _)| !after.contains_key(*key));
    let mut back = Commit::default();
    for (key, value) in gone.filter(|(key, _)| [0x09, 0x0a].contains(&kind(key))) {
        back.put(key.clone(), value.clone());
    }
    assert_eq!(back.writes.len(), 2);
    // The change log, which a start holds the records against, lies in the clear.
    let (kind, object) = (ChangeKind::Added, ChangedObject::Token);
    back.tell(Change { kind, object, uid: token.view.id, view: None }.encode());
    running.engine.commit(back).unwrap();
    assert!(running.vault.authenticate(&token.text).is_none(), "it was revoked in memory too");
    drop(running);
    assert!(home.start().vault.authenticate(&token.text).is_some());
}
