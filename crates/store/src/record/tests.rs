//! Golden bytes of every record, and what every decoder must refuse.

use std::collections::BTreeMap;

use authz::{ActionKind, Narrowing, Right, Role, Scope};
use domain::{
    BindingKind, Labels, NamePattern, Namespace, OrgName, ProjectName, ProjectPath, ProjectionMode,
    ProjectionRule, Retired, Revision, SecretName, SecretPath, SecretType, Timestamp, Uid,
};
use proptest::prelude::*;

use super::*;

const UID: Uid = Uid::from_bytes(*b"0123456789abcdef");

fn project() -> ProjectPath {
    ProjectPath { org: OrgName::default_org(), project: ProjectName::parse("ml").unwrap() }
}

fn secret() -> SecretPath {
    SecretPath { project: project(), name: SecretName::parse("hf").unwrap() }
}

fn head() -> Head {
    let version = |number, state| VersionInfo {
        number,
        state,
        created_at: Timestamp::from_unix_millis(3),
        created_by: "b".into(),
    };
    Head {
        uid: UID,
        alias: Some("a-1".to_owned()),
        path: secret(),
        kind: SecretType::Registry,
        owner: "me".to_owned(),
        labels: Labels::parse(BTreeMap::from([("a".to_owned(), "b".to_owned())])).unwrap(),
        annotations: Annotations::default().with("k", "v".to_owned()).unwrap(),
        created_at: Timestamp::from_unix_millis(1),
        bindings: vec![Binding {
            project: project(),
            kind: BindingKind::Members,
            opened: true,
            created_by: "me".to_owned(),
            created_at: Timestamp::from_unix_millis(3),
        }],
        keep_versions: Some(7),
        deleted_at: Some(Timestamp::from_unix_millis(9)),
        updated_at: Timestamp::from_unix_millis(2),
        versions: vec![version(4, VersionState::Destroyed), version(5, VersionState::Live)],
    }
}

fn project_record() -> ProjectRecord {
    ProjectRecord {
        uid: UID,
        created_at: Timestamp::from_unix_millis(1),
        created_by: "me".to_owned(),
        rules: vec![ProjectionRule {
            mode: ProjectionMode::Each,
            namespace: Namespace::parse("ns").unwrap(),
            name_pattern: NamePattern::default_for(ProjectionMode::Each),
            labels: Labels::parse([("l".to_owned(), "m".to_owned())].into()).unwrap(),
            secret_labels: true,
        }],
        keep_versions: Some(3),
        annotations: Annotations::default().with("k", "v".to_owned()).unwrap(),
        removal: Removal::WithAll,
    }
}

fn change() -> Change {
    Change {
        kind: ChangeKind::Deleted,
        object: ChangedObject::Secret(secret()),
        uid: UID,
        view: Some(ChangeView { previous: Revision::new(2), sealed: b"sealed".to_vec() }),
    }
}

fn token() -> TokenRecord {
    TokenRecord {
        id: UID,
        hash: [b'h'; 32],
        description: "ci".to_owned(),
        holder: TokenHolder::Itself(vec![
            Right::new(Role::Writer, Scope::Project(project())).unwrap(),
            Right::new(Role::Admin, Scope::WholeStore).unwrap(),
        ]),
        created_at: Timestamp::from_unix_millis(1),
        created_by: "me".to_owned(),
        expires: Some(Timestamp::from_unix_millis(9)),
        session: false,
    }
}

fn session() -> TokenRecord {
    let narrowing = Narrowing {
        projects: Some(vec![project()]),
        actions: Some([ActionKind::List, ActionKind::Use].into_iter().collect()),
    };
    TokenRecord { holder: TokenHolder::Principal(UID, narrowing), session: true, ..token() }
}

fn principal(kind: PrincipalKind) -> PrincipalRecord {
    let grant = |role, scope| Grant {
        id: UID,
        right: Right::new(role, scope).unwrap(),
        created_at: Timestamp::from_unix_millis(5),
        created_by: "me".to_owned(),
    };
    PrincipalRecord {
        uid: UID,
        kind,
        name: "al".to_owned(),
        created_at: Timestamp::from_unix_millis(1),
        created_by: "me".to_owned(),
        disabled: true,
        password: Some(b"hash".to_vec()).filter(|_| kind == PrincipalKind::User),
        password_set_at: Timestamp::from_unix_millis(2),
        members: vec![UID; usize::from(kind == PrincipalKind::Group)],
        grants: vec![
            grant(Role::Owner, Scope::Org(OrgName::default_org())),
            grant(Role::Read, Scope::Below(secret())),
            grant(Role::Manage, Scope::Secret(secret(), UID)),
        ],
    }
}

fn org() -> OrgRecord {
    OrgRecord {
        uid: UID,
        created_at: Timestamp::from_unix_millis(1),
        created_by: "me".to_owned(),
        deleting: true,
    }
}

fn consumer() -> ConsumerRecord {
    ConsumerRecord {
        uid: UID,
        created_at: Timestamp::from_unix_millis(1),
        created_by: "me".to_owned(),
        owner: "you".to_owned(),
        annotations: Annotations::default().with("k", "v".to_owned()).unwrap(),
        ssh: Some(SecretRef { path: secret(), uid: UID, life: 7 }),
        image: None,
    }
}

fn holding() -> Holding {
    Holding { life: 1, holders: 2 }
}

fn wrapped_keys() -> WrappedKeys {
    let mut keys = WrappedKeys::default();
    keys.put(258, b"wrap".to_vec());
    keys.put(3, Vec::new());
    keys
}

fn rotation() -> RotationRecord {
    RotationRecord {
        kek: 2,
        metadata_from: 3,
        reseal: true,
        state: RotationState::Paused,
        reason: RotationReason::Uses,
        started_at: Timestamp::from_unix_millis(7),
        finished_at: None,
        total: 1024,
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\x00", "0")
}

/// If you're here because this failed: a stored record changed its bytes, and stores written by
/// earlier releases can no longer be read. Give the new layout a new format number instead.
#[test]
fn golden_records() {
    assert_eq!(
        shown(&head().encode()),
        r"\x020123456789abcdef000\x03a-1000\x07default000\x02ml000\x02hf\x02000\x02me0000000\x010000000\x020000000\t000\x07000\x01000\x01a000\x01b000\x01000\x01k000\x01v000\x01000\x07default000\x02ml\x03000\x02me0000000\x03000\x020000000\x04\x030000000\x03000\x01b0000000\x05\x010000000\x03000\x01b"
    );
    assert_eq!(
        shown(&project_record().encode()),
        r"\x030123456789abcdef0000000\x01000\x02me\x02000\x03000\x01\x01000\x02ns000\x06{name}000\x01000\x01l000\x01m\x01000\x01000\x01k000\x01v"
    );
    assert_eq!(
        shown(&token().encode()),
        r"\x020123456789abcdefhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh000\x02ci0000000\x01000\x02me0000000\t00000\x02\x08\x02000\x07default000\x02ml\x010"
    );
    assert_eq!(
        shown(&session().encode()),
        r"\x020123456789abcdefhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh000\x02ci0000000\x01000\x02me0000000\t\x01\x010123456789abcdef\x03000\x01000\x07default000\x02ml\x01\x10"
    );
    assert_eq!(
        shown(&principal(PrincipalKind::User).encode()),
        r"\x010123456789abcdef\x01000\x02al0000000\x01000\x02me\x01\x01000\x04hash0000000\x020000000\x030123456789abcdef0000000\x05000\x02me\x05\x01000\x07default0123456789abcdef0000000\x05000\x02me\n\x03000\x07default000\x02ml000\x02hf0123456789abcdef0000000\x05000\x02me\t\x04000\x07default000\x02ml000\x02hf0123456789abcdef"
    );
    assert_eq!(
        shown(&principal(PrincipalKind::Group).encode()),
        r"\x010123456789abcdef\x03000\x02al0000000\x01000\x02me\x01000000000000\x02000\x010123456789abcdef000\x030123456789abcdef0000000\x05000\x02me\x05\x01000\x07default0123456789abcdef0000000\x05000\x02me\n\x03000\x07default000\x02ml000\x02hf0123456789abcdef0000000\x05000\x02me\t\x04000\x07default000\x02ml000\x02hf0123456789abcdef"
    );
    assert_eq!(shown(&org().encode()), r"\x010123456789abcdef0000000\x01000\x02me\x01");
    assert_eq!(shown(&encode_last_use(Timestamp::from_unix_millis(7))), r"\x010000000\x07");
    assert_eq!(
        shown(&change().encode()),
        r"\x01\x030123456789abcdef\x02000\x07default000\x02ml000\x02hf0000000\x02000\x06sealed"
    );
    let entombed = Change { object: ChangedObject::Tombstone, view: None, ..change() };
    assert_eq!(shown(&entombed.encode()), r"\x01\x030123456789abcdef\x04");
    let rule = Retired::Rule { project: project(), namespace: Namespace::parse("ns").unwrap() };
    assert_eq!(shown(&encode_tombstone(&rule)), r"\x01\x01000\x07default000\x02ml000\x02ns");
    let gone = Retired::Secret { path: secret(), uid: UID };
    assert_eq!(
        shown(&encode_tombstone(&gone)),
        r"\x01\x02000\x07default000\x02ml000\x02hf0123456789abcdef"
    );
    let unbound = Retired::Binding { path: secret(), uid: UID, project: project() };
    assert_eq!(
        shown(&encode_tombstone(&unbound)),
        r"\x01\x03000\x07default000\x02ml000\x02hf0123456789abcdef000\x07default000\x02ml"
    );
    assert_eq!(decode_tombstone(&encode_tombstone(&unbound)), Ok(unbound));
    assert_eq!(
        shown(&consumer().encode()),
        r"\x010123456789abcdef0000000\x01000\x02me000\x03you000\x01000\x01k000\x01v\x01000\x07default000\x02ml000\x02hf0123456789abcdef000\x070"
    );
    assert_eq!(shown(&holding().encode()), r"\x01000\x01000\x02");
    assert_eq!(
        shown(&rotation().encode()),
        r"\x01000\x02000\x03\x01\x02\x030000000\x0700000000000000\x040"
    );
    assert_eq!(
        shown(&wrapped_keys().encode()),
        r"\x01000\x020000000\x030000000000\x01\x02000\x04wrap"
    );
    let changed = Change { object: ChangedObject::Consumer, view: None, ..change() };
    assert_eq!(shown(&changed.encode()), r"\x01\x030123456789abcdef\x07");
}

/// Versions share the name of who wrote them where it is the same, and a count that cannot be true takes no room.
#[test]
fn each_version_says_who_wrote_it_and_a_head_is_shown_with_the_current_one() {
    let mut head = head();
    let version = head.versions.pop().unwrap();
    let by = |number, who: &str| VersionInfo { number, created_by: who.into(), ..version.clone() };
    head.versions = vec![by(1, "a"), by(2, "a"), by(3, "b"), by(4, "a")];
    assert_eq!(Head::decode(&head.encode()).as_ref(), Ok(&head));
    let shown = Head { versions: vec![by(4, "a")], ..head.clone() };
    assert_eq!(Head::decode(&head.encode_shown()), Ok(shown));
    head.versions.clear();
    assert_eq!(head.encode_shown(), head.encode());
    let mut bytes = head.encode();
    *bytes.last_chunk_mut().unwrap() = u32::MAX.to_be_bytes();
    assert_eq!(Head::decode(&bytes), Err(Malformed));
}

#[test]
fn every_record_survives_and_every_truncation_is_refused() {
    assert_eq!(Head::decode(&head().encode()), Ok(head()));
    assert_eq!(ProjectRecord::decode(&project_record().encode()), Ok(project_record()));
    for token in [token(), session()] {
        assert_eq!(TokenRecord::decode(&token.encode()), Ok(token));
    }
    for kind in [PrincipalKind::User, PrincipalKind::Machine, PrincipalKind::Group] {
        let bytes = principal(kind).encode();
        assert_eq!(PrincipalRecord::decode(&bytes), Ok(principal(kind)));
        for length in 0..bytes.len() {
            assert!(PrincipalRecord::decode(&bytes[..length]).is_err(), "{length}");
        }
    }
    assert_eq!(OrgRecord::decode(&org().encode()), Ok(org()));
    assert_eq!(ConsumerRecord::decode(&consumer().encode()), Ok(consumer()));
    assert_eq!(Holding::decode(&holding().encode()), Ok(holding()));
    for state in [RotationState::Running, RotationState::Paused, RotationState::Done] {
        for reason in [RotationReason::Age, RotationReason::Operator, RotationReason::Uses] {
            let finished_at =
                (state == RotationState::Done).then_some(Timestamp::from_unix_millis(9));
            let record = RotationRecord { state, reason, finished_at, ..rotation() };
            assert_eq!(RotationRecord::decode(&record.encode()), Ok(record));
        }
    }
    let event = encode_stored_event(Revision::new(3), &change());
    assert_eq!(decode_stored_event(&event), Ok((Revision::new(3), change())));
    let bytes = consumer().encode();
    for length in 0..bytes.len() {
        assert!(ConsumerRecord::decode(&bytes[..length]).is_err(), "{length}");
    }
    let mut closed = head();
    closed.bindings[0].opened = false;
    assert_eq!(Head::decode(&closed.encode()), Ok(closed));
    let at = Timestamp::from_unix_millis(7);
    assert_eq!(decode_last_use(&encode_last_use(at)), Ok(at));
    let bytes = head().encode();
    for length in 0..bytes.len() {
        assert!(Head::decode(&bytes[..length]).is_err(), "{length}");
    }
    assert!(Head::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn wrapped_keys_are_found_replaced_and_taken_out_by_number() {
    let mut keys = wrapped_keys();
    let bytes = keys.encode();
    assert_eq!(WrappedKeys::decode(&bytes), Ok(keys.clone()));
    assert_eq!(WrappedKeys::find(&bytes, 258), Ok(Some(b"wrap".as_slice())));
    assert_eq!(WrappedKeys::find(&bytes, 4), Ok(None));
    for length in 0..bytes.len() {
        assert!(WrappedKeys::decode(&bytes[..length]).is_err(), "{length}");
        assert!(WrappedKeys::find(&bytes[..length], 3).is_err(), "{length}");
    }
    keys.put(3, b"new".to_vec());
    keys.remove(258);
    keys.remove(7);
    assert_eq!(keys.iter().collect::<Vec<_>>(), [(3, b"new".as_slice())]);
    // Twice the same number, and none at all.
    let twice = [&keys.encode()[..1], &[0, 0, 0, 2], &keys.encode()[5..], &keys.encode()[5..]];
    assert!(WrappedKeys::decode(&twice.concat()).is_err());
    keys.remove(3);
    assert!(keys.is_empty() && WrappedKeys::decode(&keys.encode()).is_err());
}

#[test]
fn another_format_number_is_refused() {
    let mut bytes = head().encode();
    bytes[0] = 1;
    assert!(Head::decode(&bytes).is_err());
}

#[test]
fn the_current_version_is_the_newest_live_one() {
    let mut head = head();
    assert_eq!(head.current().unwrap().number, 5);
    assert_eq!(head.next_number(), 6);
    head.versions[1].state = VersionState::Deleted;
    assert!(head.current().is_none());
}

#[test]
fn every_seed_of_a_record_holds() {
    let gone = Retired::Secret { path: secret(), uid: UID };
    let made = [
        ("head", head().encode()),
        ("project", project_record().encode()),
        ("token", token().encode()),
        ("session", session().encode()),
        ("user", principal(PrincipalKind::User).encode()),
        ("group", principal(PrincipalKind::Group).encode()),
        ("org", org().encode()),
        ("last_use", encode_last_use(Timestamp::from_unix_millis(7))),
        ("change", change().encode()),
        ("tombstone", encode_tombstone(&gone)),
        ("consumer", consumer().encode()),
        ("holding", holding().encode()),
        ("rotation", rotation().encode()),
        ("wrapped_keys", wrapped_keys().encode()),
        ("bound_path", encode_secret_path(&secret())),
    ];
    crate::fuzz::replay::replay("record", crate::fuzz::record, &made);
    assert!(!crate::fuzz::record(&head().encode()[1..]));
}

proptest! {
    #[test]
    fn what_is_decoded_was_encoded_exactly_so(seed in 0usize..7, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = match seed {
            0 => head().encode(),
            1 => project_record().encode(),
            2 => token().encode(),
            3 => session().encode(),
            4 => principal(PrincipalKind::User).encode(),
            5 => principal(PrincipalKind::Group).encode(),
            _ => change().encode(),
        };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(head) = Head::decode(&bytes) { prop_assert_eq!(head.encode(), bytes.clone()); }
        if let Ok(project) = ProjectRecord::decode(&bytes) { prop_assert_eq!(project.encode(), bytes.clone()); }
        if let Ok(principal) = PrincipalRecord::decode(&bytes) { prop_assert_eq!(principal.encode(), bytes.clone()); }
        if let Ok(token) = TokenRecord::decode(&bytes) { prop_assert_eq!(token.encode(), bytes.clone()); }
        if let Ok(change) = Change::decode(&bytes) { prop_assert_eq!(change.encode(), bytes.clone()); }
        if let Ok(retired) = decode_tombstone(&bytes) { prop_assert_eq!(encode_tombstone(&retired), bytes); }
    }
}
