//! What rules, secrets and bindings lead to, case by case.

use super::*;
use domain::{
    Incarnation, Labels, NamePattern, OrgName, ProjectName, ResourceVersion, Revision, SecretName,
};

use ProjectionMode::{Each, Merged};

pub(super) fn project(name: &str) -> ProjectPath {
    ProjectPath { org: OrgName::default_org(), project: ProjectName::parse(name).unwrap() }
}

/// A project whose age is its first letter, unless told otherwise.
pub(super) fn rules(name: &str, rules: &[(ProjectionMode, &str, &str)]) -> ProjectRules {
    let rule = |(mode, namespace, pattern): &(ProjectionMode, &str, &str)| {
        ProjectionRule::new(
            *mode,
            Namespace::parse(namespace).unwrap(),
            NamePattern::parse(*mode, pattern).unwrap(),
        )
    };
    let uid = Uid::from_bytes([name.as_bytes()[0]; 16]);
    ProjectRules { path: project(name), uid, rules: rules.iter().map(rule).collect() }
}

pub(super) fn secret(home: &str, name: &str, uid: u8) -> SecretMeta {
    SecretMeta {
        path: SecretPath { project: project(home), name: SecretName::parse(name).unwrap() },
        uid: Uid::from_bytes([uid; 16]),
        kind: SecretType::Opaque,
        bound_to: Vec::new(),
        version: Some(1),
        labels: Labels::default(),
        changed_at: ResourceVersion::new(Incarnation::default(), Revision::new(1)),
    }
}

fn variable(home: &str, name: &str, uid: u8) -> SecretMeta {
    SecretMeta { kind: SecretType::Variable, ..secret(home, name, uid) }
}

fn bound(to: &str, secret: SecretMeta) -> SecretMeta {
    SecretMeta { bound_to: vec![project(to)], ..secret }
}

pub(super) fn place(namespace: &str, name: &str) -> Placement {
    let namespace = Namespace::parse(namespace).unwrap();
    Placement { cluster: "c".to_owned(), namespace, name: name.to_owned() }
}

fn desired() -> Desired {
    let mut desired = Desired::new("c".to_owned());
    desired.put_rules(rules("a", &[(Each, "ns", "{name}"), (Each, "other", "{project}-{name}")]));
    desired
}

fn ids(secrets: &[Arc<SecretMeta>]) -> Vec<u8> {
    secrets.iter().map(|secret| secret.uid.as_bytes()[0]).collect()
}

/// Who is in a place, and who would like to be.
fn contest(desired: &Desired, placement: &Placement) -> (Vec<u8>, Vec<u8>) {
    let Contest { winner, losers } = desired.contest(placement);
    (ids(&winner.map(|wanted| wanted.secrets).unwrap_or_default()), ids(&losers))
}

fn winner(desired: &Desired, placement: &Placement) -> Option<u8> {
    contest(desired, placement).0.first().copied()
}

#[test]
fn each_rule_gives_each_secret_a_place() {
    let mut desired = desired();
    let touched = desired.put_secret(secret("a", "hf", 1));
    assert_eq!(touched, [place("ns", "hf"), place("other", "a-hf")].into());
    assert_eq!(winner(&desired, &place("ns", "hf")), Some(1));
    assert_eq!(desired.placements(&place("ns", "").namespace), [place("ns", "hf")]);
}

#[test]
fn a_secret_without_a_live_version_or_rule_has_none() {
    let mut desired = desired();
    assert!(desired.put_secret(secret("b", "hf", 1)).is_empty());
    assert!(desired.put_secret(SecretMeta { version: None, ..secret("a", "x", 2) }).is_empty());
    desired.put_secret(secret("a", "x", 2));
    let lost = SecretMeta { version: None, ..secret("a", "x", 2) };
    assert_eq!(desired.put_secret(lost), [place("ns", "x"), place("other", "a-x")].into());
    assert_eq!(winner(&desired, &place("ns", "x")), None);
}

#[test]
fn the_oldest_claim_wins_and_the_next_takes_over() {
    let mut desired = desired();
    desired.put_rules(rules("b", &[(Each, "ns", "{name}")]));
    let contested = place("ns", "hf");
    desired.put_secret(secret("b", "hf", 2));
    assert_eq!(winner(&desired, &contested), Some(2));
    desired.put_secret(secret("a", "hf", 1));
    assert_eq!(contest(&desired, &contested), (vec![1], vec![2]));
    assert!(desired.remove_secret(Uid::from_bytes([1; 16])).contains(&contested));
    assert_eq!(contest(&desired, &contested), (vec![2], vec![]));
}

#[test]
fn new_rules_move_what_the_old_ones_placed() {
    let mut desired = desired();
    desired.put_secret(secret("a", "hf", 1));
    let touched = desired.put_rules(rules("a", &[(Each, "new", "{name}")]));
    assert_eq!(touched, [place("ns", "hf"), place("other", "a-hf"), place("new", "hf")].into());
    assert_eq!(winner(&desired, &place("ns", "hf")), None);
    assert_eq!(desired.namespaces(), [place("new", "").namespace].into());
    assert_eq!(desired.remove_project(&project("a")), [place("new", "hf")].into());
    assert!(desired.namespaces().is_empty());
}

#[test]
fn a_snapshot_touches_what_was_and_what_is() {
    let mut desired = desired();
    desired.put_secret(secret("a", "old", 1));
    let rules = vec![rules("a", &[(Each, "ns", "{name}")])];
    let touched = desired.replace(rules, vec![secret("a", "new", 2)]);
    assert!(touched.contains(&place("ns", "old")) && touched.contains(&place("ns", "new")));
    assert_eq!(winner(&desired, &place("ns", "old")), None);
}

#[test]
fn a_name_with_a_slash_and_one_with_a_hyphen_have_two_places() {
    let mut desired = desired();
    desired.put_secret(secret("a", "a/b", 1));
    desired.put_secret(secret("a", "a-b", 2));
    assert_eq!(desired.placements(&place("ns", "").namespace).len(), 2);
}

#[test]
fn a_bound_secret_is_named_after_the_project_whose_rule_it_is() {
    let mut desired = desired();
    let touched = desired.put_secret(bound("a", secret("lender", "hf", 1)));
    assert_eq!(touched, [place("ns", "hf"), place("other", "a-hf")].into());
    let unbound = desired.put_secret(secret("lender", "hf", 1));
    assert_eq!(unbound, touched);
    assert_eq!(winner(&desired, &place("ns", "hf")), None);
}

#[test]
fn a_project_s_own_secrets_come_before_bound_ones_however_old() {
    let mut desired = desired();
    desired.put_secret(bound("a", secret("lender", "hf", 1)));
    assert_eq!(contest(&desired, &place("ns", "hf")), (vec![1], vec![]));
    desired.put_secret(secret("a", "hf", 9));
    assert_eq!(contest(&desired, &place("ns", "hf")), (vec![9], vec![1]));
}

#[test]
fn who_wants_a_place_twice_has_it_until_both_wishes_are_gone() {
    let mut desired = desired();
    desired.put_rules(rules("b", &[(Each, "ns", "{name}")]));
    desired.put_secret(bound("b", secret("a", "hf", 1)));
    assert_eq!(contest(&desired, &place("ns", "hf")), (vec![1], vec![]));
    assert_eq!(desired.winner(&place("ns", "hf")).unwrap().by, project("a"));
    desired.remove_project(&project("a"));
    assert_eq!(desired.winner(&place("ns", "hf")).unwrap().by, project("b"));
    desired.put_secret(secret("a", "hf", 1));
    assert_eq!(winner(&desired, &place("ns", "hf")), None);
}

#[test]
fn a_merged_copy_has_the_variables_own_before_bound_and_older_before_younger() {
    let mut desired = Desired::new("c".to_owned());
    desired.put_rules(rules("a", &[(Merged, "ns", "env-{project}")]));
    let copy = place("ns", "env-a");
    desired.put_secret(bound("a", variable("lender", "X", 1)));
    desired.put_secret(variable("a", "Z", 3));
    desired.put_secret(variable("a", "Y", 2));
    desired.put_secret(secret("a", "opaque", 4));
    desired.put_secret(SecretMeta { version: None, ..variable("a", "dead", 5) });
    assert_eq!(contest(&desired, &copy), (vec![2, 3, 1], vec![]));
    assert_eq!(desired.winner(&copy).unwrap().owner(), Owner::Project(Uid::from_bytes([97; 16])));
    assert_eq!(desired.remove_secret(Uid::from_bytes([3; 16])), [copy.clone()].into());
    assert_eq!(contest(&desired, &copy), (vec![2, 1], vec![]));
}

#[test]
fn of_two_secrets_of_one_key_the_better_claim_has_it() {
    let mut desired = Desired::new("c".to_owned());
    desired.put_rules(rules("a", &[(Merged, "ns", "env")]));
    desired.put_secret(bound("a", variable("b", "X", 1)));
    desired.put_secret(bound("a", variable("c", "X", 2)));
    assert_eq!(contest(&desired, &place("ns", "env")), (vec![1], vec![2]));
    desired.put_secret(variable("a", "X", 3));
    assert_eq!(contest(&desired, &place("ns", "env")), (vec![3], vec![1, 2]));
}

#[test]
fn a_merged_copy_and_a_secret_contend_by_age_whether_or_not_there_are_entries() {
    let mut desired = Desired::new("c".to_owned());
    desired.put_rules(rules("m", &[(Merged, "ns", "hf")]));
    desired.put_rules(rules("p", &[(Each, "ns", "{name}")]));
    let contested = place("ns", "hf");
    // The project `m` is of the age of its letter.
    desired.put_secret(secret("p", "hf", b'n'));
    assert_eq!(contest(&desired, &contested), (vec![], vec![b'n']));
    desired.put_secret(variable("m", "X", b'x'));
    assert_eq!(contest(&desired, &contested), (vec![b'x'], vec![b'n']));
    desired.put_secret(secret("p", "hf", b'l'));
    assert_eq!(contest(&desired, &contested), (vec![b'l'], vec![b'x', b'n']));
}

/// The labels of the copy in a place, as `key=value`.
fn labels(desired: &Desired, namespace: &str, name: &str) -> Vec<String> {
    let wanted = desired.wanted(&place(namespace, name)).unwrap();
    wanted.labels.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
}

fn labelled(pairs: &[(&str, &str)]) -> Labels {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Labels::parse(pairs.collect()).unwrap()
}

#[test]
fn a_copy_has_the_labels_of_the_rules_that_lead_to_it_and_its_secret_s_where_they_say_so() {
    let mut desired = Desired::new("c".to_owned());
    let mut home = rules("a", &[(Each, "home", "{name}"), (Each, "other", "{name}")]);
    home.rules[0].secret_labels = true;
    home.rules[0].labels = labelled(&[("rule", "1"), ("both", "rule")]);
    desired.put_rules(home.clone());
    let mut mirror = rules("w", &[(Each, "w", "{name}"), (Merged, "w", "all")]);
    mirror.rules[0].labels = labelled(&[("mirror", "true")]);
    mirror.rules[1].labels = labelled(&[("merged", "true")]);
    desired.put_rules(mirror);
    let own = labelled(&[("own", "x"), ("both", "own"), (domain::MANAGED_BY, "me")]);
    let secret = SecretMeta { labels: own, ..bound("w", variable("a", "x", 1)) };
    desired.put_secret(secret.clone());
    assert_eq!(labels(&desired, "home", "x"), ["both=rule", "own=x", "rule=1"]);
    assert_eq!(labels(&desired, "other", "x"), [""; 0]);
    assert_eq!(labels(&desired, "w", "x"), ["mirror=true"]);
    assert_eq!(labels(&desired, "w", "all"), ["merged=true"]);
    // Other labels of either touch the copy.
    let touched = desired.put_secret(SecretMeta { labels: labelled(&[("own", "y")]), ..secret });
    assert!(touched.contains(&place("home", "x")));
    assert_eq!(labels(&desired, "home", "x"), ["both=rule", "own=y", "rule=1"]);
    home.rules[0].labels = labelled(&[]);
    assert!(desired.put_rules(home).contains(&place("home", "x")));
    assert_eq!(labels(&desired, "home", "x"), ["own=y"]);
}
