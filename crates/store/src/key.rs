//! The keyspace: one prefix byte a record kind, big-endian integers, NUL between names (a name
//! holds none), so that the order of bytes is the order of things.

use std::fmt;

use domain::{OrgName, ProjectName, ProjectPath, Revision, SecretName, SecretPath, Uid};

use crate::{ConsumerKind, PrincipalKind};

/// A record's key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

/// Keys from one, included, to another, excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key.
    pub start: Key,
    /// The first key behind the range.
    pub end: Key,
}

pub(crate) const ENGINE: u8 = 0x00;
const KEYRING: u8 = 0x01;
const PROJECT: u8 = 0x02;
const HEAD: u8 = 0x03;
const DELETED_HEAD: u8 = 0x04;
const WRAPPED_KEYS: u8 = 0x05;
const PAYLOAD: u8 = 0x06;
pub(crate) const EVENT: u8 = 0x07;
const TOMBSTONE: u8 = 0x08;
const TOKEN: u8 = 0x09;
const TOKEN_HASH: u8 = 0x0a;
const KEY_USES: u8 = 0x0b;
const BINDING: u8 = 0x0c;
const PRINCIPAL: u8 = 0x0d;
const PRINCIPAL_NAME: u8 = 0x0e;
const ORG: u8 = 0x0f;
const LAST_USE: u8 = 0x10;
const SECRET_ID: u8 = 0x11;
const CONSUMER: u8 = 0x12;
const HOLDING: u8 = 0x13;
const ROTATION: u8 = 0x14;
/// Behind all records, so that a scan of these meets no chunk.
pub(crate) const CHUNK: u8 = 0x7f;

/// The kinds whose records are sealed under a metadata key.
const METADATA: [u8; 9] =
    [PROJECT, HEAD, DELETED_HEAD, TOKEN, BINDING, PRINCIPAL, ORG, LAST_USE, CONSUMER];

impl Key {
    /// A key from stored bytes.
    pub const fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The stored bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The keyring's generation, which every commit that carries a wrap requires unchanged.
    pub fn keyring() -> Self {
        Self(vec![KEYRING])
    }

    /// A project.
    pub fn project(path: &ProjectPath) -> Self {
        Self(project_bytes(PROJECT, path))
    }

    /// A secret's head, by name.
    pub fn head(path: &SecretPath) -> Self {
        Self(secret_bytes(HEAD, path))
    }

    /// The head of a deleted secret, by the name that it had and its identity.
    pub fn deleted_head(path: &SecretPath, uid: Uid) -> Self {
        let mut bytes = secret_bytes(DELETED_HEAD, path);
        bytes.push(0);
        bytes.extend_from_slice(uid.as_bytes());
        Self(bytes)
    }

    /// That a secret is bound to a project.
    pub fn binding(to: &ProjectPath, uid: Uid) -> Self {
        let mut bytes = project_bytes(BINDING, to);
        bytes.push(0);
        bytes.extend_from_slice(uid.as_bytes());
        Self(bytes)
    }

    /// What the metadata in an event is sealed under: the secret, and the change before this one.
    /// No record has this key.
    pub fn event_view(uid: Uid, previous: Revision) -> Self {
        let mut key = Self::with_uid(EVENT, uid);
        key.0.extend_from_slice(&previous.get().to_be_bytes());
        key
    }

    /// The wrapped data keys of a secret's versions.
    pub fn wrapped_keys(uid: Uid) -> Self {
        Self::with_uid(WRAPPED_KEYS, uid)
    }

    /// A version's payload.
    pub fn payload(uid: Uid, version: u64) -> Self {
        let mut key = Self::with_uid(PAYLOAD, uid);
        key.0.extend_from_slice(&version.to_be_bytes());
        key
    }

    /// A tombstone, by an identity of its own: a secret's, or one made for a retired rule.
    pub fn tombstone(uid: Uid) -> Self {
        Self::with_uid(TOMBSTONE, uid)
    }

    /// A token's record, by identity.
    pub fn token(id: Uid) -> Self {
        Self::with_uid(TOKEN, id)
    }

    /// From a token's hash to its identity.
    pub fn token_hash(hash: &[u8; 32]) -> Self {
        let mut bytes = vec![TOKEN_HASH];
        bytes.extend_from_slice(hash);
        Self(bytes)
    }

    /// A user, a machine account or a group, by identity.
    pub fn principal(id: Uid) -> Self {
        Self::with_uid(PRINCIPAL, id)
    }

    /// From a principal's name to its identity. Users, machine accounts and groups have their names
    /// apart from each other.
    pub fn principal_name(kind: PrincipalKind, name: &str) -> Self {
        let mut bytes = vec![PRINCIPAL_NAME, kind.code()];
        bytes.extend_from_slice(name.as_bytes());
        Self(bytes)
    }

    /// An organization.
    pub fn org(name: &OrgName) -> Self {
        let mut bytes = vec![ORG];
        bytes.extend_from_slice(name.as_str().as_bytes());
        Self(bytes)
    }

    /// When a token was last shown, or a secret last read, by its identity.
    pub fn last_use(id: Uid) -> Self {
        Self::with_uid(LAST_USE, id)
    }

    /// From an identity of a living secret, its own or its alias, to where it lives.
    pub fn secret_id(id: &str) -> Self {
        let mut bytes = vec![SECRET_ID];
        bytes.extend_from_slice(id.as_bytes());
        Self(bytes)
    }

    /// The identity in the key of a secret's identity.
    pub fn id_of_secret(&self) -> Option<&str> {
        std::str::from_utf8(self.0.strip_prefix(&[SECRET_ID])?).ok()
    }

    /// A cluster or a node.
    pub fn consumer(kind: ConsumerKind, name: &str) -> Self {
        let mut bytes = vec![CONSUMER, kind as u8];
        bytes.extend_from_slice(name.as_bytes());
        Self(bytes)
    }

    /// How a secret stands with those that refer to it.
    pub fn holding(secret: Uid) -> Self {
        Self::with_uid(HOLDING, secret)
    }

    /// That a cluster or a node holds a secret, so that it is not deleted.
    pub fn holder(secret: Uid, kind: ConsumerKind, name: &str) -> Self {
        let mut key = Self::holding(secret);
        key.0.push(kind as u8);
        key.0.extend_from_slice(name.as_bytes());
        key
    }

    /// How many uses of a key-encryption key are reserved.
    pub fn key_uses(kek: u32) -> Self {
        let mut bytes = vec![KEY_USES];
        bytes.extend_from_slice(&kek.to_be_bytes());
        Self(bytes)
    }

    /// How far the change of keys has come.
    pub fn rotation() -> Self {
        Self(vec![ROTATION])
    }

    /// Whether it is the head of a secret, living or deleted.
    pub fn is_head(&self) -> bool {
        self.0.first().is_some_and(|kind| [HEAD, DELETED_HEAD].contains(kind))
    }

    /// Whether the record is sealed under a metadata key. An event is not, but a part of it may be.
    pub fn is_metadata(&self) -> bool {
        self.0.first().is_some_and(|kind| METADATA.contains(kind))
    }

    /// Whether it is the key of the engine's own record.
    pub(crate) fn is_engines(&self) -> bool {
        self.0 == [ENGINE]
    }

    /// The secret in the key of its wrapped data keys.
    pub fn wrapped_keys_of(&self) -> Option<Uid> {
        let uid = self.0.strip_prefix(&[WRAPPED_KEYS])?;
        uid.try_into().ok().map(Uid::from_bytes)
    }

    /// The secret and the number in the key of a payload.
    pub fn payload_of(&self) -> Option<(Uid, u64)> {
        let rest = self.0.strip_prefix(&[PAYLOAD])?;
        let (uid, number) = rest.split_first_chunk()?;
        Some((Uid::from_bytes(*uid), u64::from_be_bytes(number.try_into().ok()?)))
    }

    pub(crate) fn event(revision: Revision, index: u16) -> Self {
        let mut bytes = vec![EVENT];
        bytes.extend_from_slice(&revision.get().to_be_bytes());
        bytes.extend_from_slice(&index.to_be_bytes());
        Self(bytes)
    }

    /// The smallest key above this one.
    #[must_use]
    pub fn successor(&self) -> Self {
        let mut bytes = self.0.clone();
        bytes.push(0);
        Self(bytes)
    }

    /// The project in a project's or head's key.
    pub fn project_path(&self) -> Option<ProjectPath> {
        let (org, project, _) = self.names()?;
        let (org, project) = (OrgName::parse(org).ok()?, ProjectName::parse(project).ok()?);
        Some(ProjectPath { org, project })
    }

    /// The secret in a head's key.
    pub fn secret_path(&self) -> Option<SecretPath> {
        let (_, _, name) = self.names()?;
        let name = SecretName::parse(name?).ok()?;
        Some(SecretPath { project: self.project_path()?, name })
    }

    /// The organization in an organization's key.
    pub fn org_name(&self) -> Option<OrgName> {
        OrgName::parse(std::str::from_utf8(self.0.get(1..)?).ok()?).ok()
    }

    /// The kind and name in the key of a cluster or a node, or of that it holds a secret.
    pub fn consumer_name(&self) -> Option<(ConsumerKind, &str)> {
        let rest = match *self.0.first()? {
            CONSUMER => self.0.get(1..)?,
            HOLDING => self.0.get(17..)?,
            _ => return None,
        };
        let (kind, name) = rest.split_first()?;
        let kind = ConsumerKind::ALL.into_iter().find(|known| *known as u8 == *kind)?;
        Some((kind, std::str::from_utf8(name).ok()?))
    }

    fn names(&self) -> Option<(&str, &str, Option<&str>)> {
        let text = std::str::from_utf8(self.0.get(1..)?).ok()?;
        let mut parts = text.splitn(3, '\0');
        Some((parts.next()?, parts.next()?, parts.next()))
    }

    /// Whether it is a key that ends in that identity.
    pub fn ends_with(&self, uid: Uid) -> bool {
        self.0.ends_with(uid.as_bytes())
    }

    /// The identity at a key's end.
    pub fn last_uid(&self) -> Option<Uid> {
        self.0.last_chunk().copied().map(Uid::from_bytes)
    }

    /// The identity in a key that is made of one.
    pub fn uid(&self) -> Option<Uid> {
        let bytes = self.0.get(1..17)?;
        bytes.try_into().ok().map(Uid::from_bytes)
    }

    fn with_uid(kind: u8, uid: Uid) -> Self {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(uid.as_bytes());
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0.escape_ascii())
    }
}

impl KeyRange {
    /// Every record, without the chunks that values are made of.
    pub(crate) fn records() -> Self {
        Self { start: Key(vec![ENGINE]), end: Key(vec![CHUNK]) }
    }

    /// Whether a key lies in it.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.start <= *key && *key < self.end
    }

    /// Each kind of record that is sealed under a metadata key.
    pub fn metadata() -> impl Iterator<Item = Self> {
        METADATA.into_iter().map(Self::of_kind)
    }

    /// All wrapped data keys.
    pub fn wrapped_keys() -> Self {
        Self::of_kind(WRAPPED_KEYS)
    }

    /// All payloads.
    pub fn payloads() -> Self {
        Self::of_kind(PAYLOAD)
    }

    /// All bindings.
    pub fn all_bindings() -> Self {
        Self::of_kind(BINDING)
    }

    /// All identities of secrets.
    pub fn secret_ids() -> Self {
        Self::of_kind(SECRET_ID)
    }

    /// All hashes of tokens.
    pub fn token_hashes() -> Self {
        Self::of_kind(TOKEN_HASH)
    }

    /// All names of users, machine accounts and groups.
    pub fn principal_names() -> Self {
        Self::of_kind(PRINCIPAL_NAME)
    }

    /// When each secret was last read and each token last shown.
    pub fn last_uses() -> Self {
        Self::of_kind(LAST_USE)
    }

    /// The whole change log, as it is stored.
    pub fn change_log() -> Self {
        Self::of_kind(EVENT)
    }

    /// All projects.
    pub fn projects() -> Self {
        Self::of_kind(PROJECT)
    }

    /// All heads of one project's secrets, by name.
    pub fn heads(project: &ProjectPath) -> Self {
        Self::below(project_bytes(HEAD, project))
    }

    /// The heads of one project's secrets whose names begin with a text.
    pub fn heads_from(project: &ProjectPath, prefix: &str) -> Self {
        let mut start = project_bytes(HEAD, project);
        start.push(0);
        start.extend_from_slice(prefix.as_bytes());
        let mut end = start.clone();
        // No byte of UTF-8 is 0xff.
        end.push(0xff);
        Self { start: Key(start), end: Key(end) }
    }

    /// The heads of one project's deleted secrets, by name and age.
    pub fn deleted_heads(project: &ProjectPath) -> Self {
        Self::below(project_bytes(DELETED_HEAD, project))
    }

    /// The heads of the deleted secrets that had a name, oldest first.
    pub fn deleted_named(path: &SecretPath) -> Self {
        Self::below(secret_bytes(DELETED_HEAD, path))
    }

    /// The heads of all deleted secrets.
    pub fn all_deleted_heads() -> Self {
        Self::of_kind(DELETED_HEAD)
    }

    /// All bindings to a project.
    pub fn bindings(to: &ProjectPath) -> Self {
        Self::below(project_bytes(BINDING, to))
    }

    /// All heads of all projects' secrets.
    pub fn all_heads() -> Self {
        Self::of_kind(HEAD)
    }

    /// All tombstones.
    pub fn tombstones() -> Self {
        Self::of_kind(TOMBSTONE)
    }

    /// All tokens.
    pub fn tokens() -> Self {
        Self::of_kind(TOKEN)
    }

    /// All users, machine accounts and groups.
    pub fn principals() -> Self {
        Self::of_kind(PRINCIPAL)
    }

    /// All clusters, or all nodes.
    pub fn consumers(kind: ConsumerKind) -> Self {
        let (start, end) = (vec![CONSUMER, kind as u8], vec![CONSUMER, kind as u8 + 1]);
        Self { start: Key(start), end: Key(end) }
    }

    /// Those that hold a secret.
    pub fn holders(secret: Uid) -> Self {
        let start = Key::holding(secret).successor();
        let mut end = Key::holding(secret);
        end.0.push(0xff);
        Self { start, end }
    }

    /// All organizations.
    pub fn orgs() -> Self {
        Self::of_kind(ORG)
    }

    /// All projects of an organization.
    pub fn projects_of(org: &OrgName) -> Self {
        let mut bytes = vec![PROJECT];
        bytes.extend_from_slice(org.as_str().as_bytes());
        Self::below(bytes)
    }

    /// The rest of this range behind a key.
    #[must_use]
    pub fn after(&self, key: &Key) -> Self {
        Self { start: key.successor(), end: self.end.clone() }
    }

    pub(crate) fn events(after: Revision) -> Self {
        Self { start: Key::event(after.next(), 0), end: Key(vec![EVENT + 1]) }
    }

    /// The keys that have something behind a prefix and a NUL.
    fn below(prefix: Vec<u8>) -> Self {
        let (mut start, mut end) = (prefix.clone(), prefix);
        start.push(0);
        end.push(1);
        Self { start: Key(start), end: Key(end) }
    }

    fn of_kind(kind: u8) -> Self {
        Self { start: Key(vec![kind]), end: Key(vec![kind + 1]) }
    }
}

fn project_bytes(kind: u8, path: &ProjectPath) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(path.org.as_str().as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(path.project.as_str().as_bytes());
    bytes
}

fn secret_bytes(kind: u8, path: &SecretPath) -> Vec<u8> {
    let mut bytes = project_bytes(kind, &path.project);
    bytes.push(0);
    bytes.extend_from_slice(path.name.as_str().as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectPath {
        ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
    }

    fn head(in_project: &str, name: &str) -> Key {
        Key::head(&SecretPath {
            project: project(in_project),
            name: SecretName::parse(name).unwrap(),
        })
    }

    #[test]
    fn a_projects_range_holds_its_secrets_and_nobody_elses() {
        let range = KeyRange::heads(&project("ml"));
        let holds = |key: &Key| range.start <= *key && *key < range.end;
        assert!(holds(&head("ml", "a")) && holds(&head("ml", "\u{10ffff}")));
        for other in ["m", "ml2", "ml-a", "mlml"] {
            assert!(!holds(&head(other, "a")), "{other}");
        }
    }

    /// The check of a store reads the wrapped keys and the payloads side by side, and all else before and behind them.
    #[test]
    fn wrapped_keys_and_payloads_are_neighbours() {
        assert_eq!(KeyRange::wrapped_keys().end, KeyRange::payloads().start);
        assert!(KeyRange::payloads().end <= KeyRange::change_log().start);
    }

    #[test]
    fn a_head_key_leads_back_to_its_path() {
        let key = head("ml", "team/hf");
        let path = key.secret_path().unwrap();
        assert_eq!(path.to_string(), "default/ml/team/hf");
        assert_eq!(Key::head(&path), key);
        assert_eq!(Key::project(&project("ml")).project_path(), Some(project("ml")));
    }

    /// Golden bytes: a key that drifts loses every record stored under the old one.
    #[test]
    fn golden_keys() {
        let uid = Uid::from_bytes(*b"0123456789abcdef");
        let hex = |key: Key| key.as_bytes().escape_ascii().to_string();
        assert_eq!(hex(Key::keyring()), "\\x01");
        assert_eq!(hex(Key::project(&project("ml"))), "\\x02default\\x00ml");
        assert_eq!(hex(head("ml", "a/b")), "\\x03default\\x00ml\\x00a/b");
        let path = head("ml", "a/b").secret_path().unwrap();
        assert_eq!(
            hex(Key::deleted_head(&path, uid)),
            "\\x04default\\x00ml\\x00a/b\\x000123456789abcdef"
        );
        assert_eq!(
            hex(Key::binding(&project("ml"), uid)),
            "\\x0cdefault\\x00ml\\x000123456789abcdef"
        );
        assert_eq!(
            hex(Key::event_view(uid, Revision::new(3))),
            "\\x070123456789abcdef\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x03"
        );
        assert_eq!(
            hex(Key::payload(uid, 258)),
            "\\x060123456789abcdef\\x00\\x00\\x00\\x00\\x00\\x00\\x01\\x02"
        );
        assert_eq!(
            hex(Key::event(Revision::new(3), 2)),
            "\\x07\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x03\\x00\\x02"
        );
        assert_eq!(hex(Key::wrapped_keys(uid)), "\\x050123456789abcdef");
        assert_eq!(hex(Key::tombstone(uid)), "\\x080123456789abcdef");
        assert_eq!(hex(Key::token(uid)), "\\t0123456789abcdef");
        assert_eq!(hex(Key::token_hash(&[b'h'; 32])), format!("\\n{}", "h".repeat(32)));
        assert_eq!(hex(Key::key_uses(1)), "\\x0b\\x00\\x00\\x00\\x01");
        assert_eq!(hex(Key::principal(uid)), "\\r0123456789abcdef");
        assert_eq!(hex(Key::principal_name(PrincipalKind::User, "al")), "\\x0e\\x01al");
        assert_eq!(hex(Key::org(&OrgName::default_org())), "\\x0fdefault");
        assert_eq!(hex(Key::last_use(uid)), "\\x100123456789abcdef");
        assert_eq!(hex(Key::secret_id("a-1")), "\\x11a-1");
        assert_eq!(Key::secret_id("a-1").id_of_secret(), Some("a-1"));
        assert_eq!(hex(Key::consumer(ConsumerKind::Node, "n1")), "\\x12\\x02n1");
        assert_eq!(hex(Key::holding(uid)), "\\x130123456789abcdef");
        assert_eq!(hex(Key::rotation()), "\\x14");
        let holder = Key::holder(uid, ConsumerKind::Cluster, "c");
        assert_eq!(hex(holder.clone()), "\\x130123456789abcdef\\x01c");
        assert_eq!(holder.consumer_name(), Some((ConsumerKind::Cluster, "c")));
        let range = KeyRange::holders(uid);
        assert!(range.start <= holder && holder < range.end && Key::holding(uid) < range.start);
    }
}
