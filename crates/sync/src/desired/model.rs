//! However it came about, what is desired follows from the state alone: after any history of
//! changes and snapshots the contests equal those that a plain reading of the rules gives.

use std::collections::{BTreeMap, BTreeSet};

use domain::{NamePattern, ProjectionMode, ResourceVersion, Revision};
use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{place, project, rules, secret};
use super::*;

const PROJECTS: [&str; 3] = ["a", "b", "c"];
const NAMES: [&str; 4] = ["hf", "a", "b", "A/b"];
const RULES: [(ProjectionMode, &str, &str); 6] = [
    (ProjectionMode::Each, "ns", "{name}"),
    (ProjectionMode::Each, "ns", "{project}-{name}"),
    (ProjectionMode::Each, "other", "{name}"),
    (ProjectionMode::Merged, "ns", "hf"),
    (ProjectionMode::Merged, "ns", "{project}"),
    (ProjectionMode::Merged, "other", "env"),
];

/// One change of the state.
#[derive(Clone, Debug)]
enum Op {
    /// A project gets the rules whose bits are set, and perhaps another identity.
    Rules {
        project: usize,
        bits: u8,
        reborn: bool,
    },
    RemoveProject(usize),
    /// A secret gets this state; the bits say where it is bound.
    Put {
        uid: u8,
        home: usize,
        name: usize,
        variable: bool,
        live: bool,
        bits: u8,
    },
    RemoveSecret(u8),
    /// The worker loses the thread.
    Snapshot,
}

fn op() -> impl Strategy<Value = Op> {
    let rules = (0..3_usize, 0..64_u8, any::<bool>())
        .prop_map(|(project, bits, reborn)| Op::Rules { project, bits, reborn });
    let put = (1..8_u8, 0..3_usize, 0..4_usize, any::<bool>(), 0..4_u8, 0..8_u8).prop_map(
        |(uid, home, name, variable, live, bits)| Op::Put {
            uid: uid * 16,
            home,
            name,
            variable,
            live: live > 0,
            bits,
        },
    );
    prop_oneof![
        3 => rules,
        1 => (0..3_usize).prop_map(Op::RemoveProject),
        6 => put,
        2 => (1..8_u8).prop_map(|uid| Op::RemoveSecret(uid * 16)),
        1 => Just(Op::Snapshot),
    ]
}

/// What a source knows.
#[derive(Default)]
struct State {
    projects: BTreeMap<ProjectPath, ProjectRules>,
    secrets: BTreeMap<Uid, SecretMeta>,
    revision: u64,
}

fn chosen<T: Copy>(all: &[T], bits: u8) -> Vec<T> {
    let picked = all.iter().enumerate().filter(|(n, _)| bits >> n & 1 == 1);
    picked.map(|(_, one)| *one).collect()
}

impl State {
    fn apply(&mut self, op: &Op, desired: &mut Desired) -> Touched {
        self.revision += 1;
        match op {
            Op::Rules { project, bits, reborn } => {
                let mut changed = rules(PROJECTS[*project], &chosen(&RULES, *bits));
                changed.uid = Uid::from_bytes([if *reborn { 72 } else { 40 } + *project as u8; 16]);
                self.projects.insert(changed.path.clone(), changed.clone());
                desired.put_rules(changed)
            }
            Op::RemoveProject(gone) => {
                self.projects.remove(&project(PROJECTS[*gone]));
                desired.remove_project(&project(PROJECTS[*gone]))
            }
            Op::Put { uid, home, name, variable, live, bits } => {
                let mut changed = secret(PROJECTS[*home], NAMES[*name], *uid);
                if *variable {
                    changed.kind = SecretType::Variable;
                }
                changed.version = live.then_some(self.revision);
                changed.bound_to = chosen(&PROJECTS, *bits).into_iter().map(project).collect();
                let revision = Revision::new(self.revision);
                changed.changed_at = ResourceVersion::new(Default::default(), revision);
                self.secrets.insert(changed.uid, changed.clone());
                desired.put_secret(changed)
            }
            Op::RemoveSecret(uid) => {
                self.secrets.remove(&Uid::from_bytes([*uid; 16]));
                desired.remove_secret(Uid::from_bytes([*uid; 16]))
            }
            Op::Snapshot => {
                let projects = self.projects.values().cloned().collect();
                desired.replace(projects, self.secrets.values().cloned().collect())
            }
        }
    }

    /// The plain reading: every rule of every project, for every secret that it concerns.
    fn contests(&self) -> BTreeMap<Placement, Told> {
        let mut wishes: BTreeMap<Placement, Vec<Wish>> = BTreeMap::new();
        for (path, rules) in &self.projects {
            for rule in &rules.rules {
                let at = |name: String| place(rule.namespace.as_str(), &kubernetes_name(&name));
                if rule.mode == ProjectionMode::Merged {
                    let at = at(rule.name_pattern.apply_to_project(path));
                    wishes.entry(at).or_default().push(self.merged(path, rules.uid));
                    continue;
                }
                for secret in self.members(path) {
                    let at = at(named(&rule.name_pattern, path, secret));
                    let bound = secret.path.project != *path;
                    let here = vec![(secret.uid, secret.changed_at)];
                    let wish =
                        Wish { bound, uid: secret.uid, merged: false, here, refused: vec![] };
                    wishes.entry(at).or_default().push(wish);
                }
            }
        }
        wishes.into_iter().map(|(at, wishes)| (at, decide(wishes))).collect()
    }

    fn members(&self, path: &ProjectPath) -> Vec<&SecretMeta> {
        let concerned = |secret: &&SecretMeta| {
            secret.version.is_some()
                && (secret.path.project == *path || secret.bound_to.contains(path))
        };
        let mut members: Vec<_> = self.secrets.values().filter(concerned).collect();
        members.sort_by_key(|secret| (secret.path.project != *path, secret.uid));
        members
    }

    fn merged(&self, path: &ProjectPath, uid: Uid) -> Wish {
        let mut wish =
            Wish { bound: false, uid, merged: true, here: Vec::new(), refused: Vec::new() };
        let mut keys = Vec::new();
        for secret in self.members(path) {
            if secret.kind != SecretType::Variable {
                continue;
            }
            if keys.contains(&secret.path.name) {
                wish.refused.push(secret.uid);
            } else {
                keys.push(secret.path.name.clone());
                wish.here.push((secret.uid, secret.changed_at));
            }
        }
        wish
    }
}

fn named(pattern: &NamePattern, by: &ProjectPath, secret: &SecretMeta) -> String {
    let (project, name) = (by.project.as_str(), secret.path.name.as_str());
    pattern.as_str().replace("{project}", project).replace("{name}", name)
}

struct Wish {
    bound: bool,
    uid: Uid,
    merged: bool,
    here: Vec<(Uid, ResourceVersion)>,
    refused: Vec<Uid>,
}

/// Whose the place is, what is in it, and who would have liked to be.
type Told = (Owner, Vec<(Uid, ResourceVersion)>, BTreeSet<Uid>);

fn decide(mut wishes: Vec<Wish>) -> Told {
    wishes.sort_by_key(|wish| (wish.bound, wish.uid, wish.merged));
    let everybody = wishes.iter().flat_map(|wish| {
        let here = wish.here.iter().map(|(uid, _)| *uid);
        here.chain(wish.refused.iter().copied())
    });
    let mut losers: BTreeSet<Uid> = everybody.collect();
    let first = wishes.remove(0);
    losers.retain(|uid| !first.here.iter().any(|(here, _)| here == uid));
    let owner = if first.merged { Owner::Project(first.uid) } else { Owner::Secret(first.uid) };
    (owner, first.here, losers)
}

fn told(desired: &Desired) -> BTreeMap<Placement, Told> {
    let contest = |placement: &Placement| {
        let Contest { winner, losers } = desired.contest(placement);
        let Wanted { owner, secrets, .. } = winner.unwrap();
        let here = secrets.iter().map(|secret| (secret.uid, secret.changed_at)).collect();
        (owner, here, losers.iter().map(|secret| secret.uid).collect())
    };
    desired.claims.keys().map(|placement| (placement.clone(), contest(placement))).collect()
}

proptest! {
    #[test]
    fn any_history_leads_to_what_its_last_state_alone_leads_to(ops in vec(op(), 1..60)) {
        let (mut state, mut desired) = (State::default(), Desired::new("c".to_owned()));
        let mut before = BTreeMap::new();
        for op in &ops {
            let touched = state.apply(op, &mut desired);
            let now = told(&desired);
            prop_assert_eq!(&now, &state.contests(), "after {:?}", op);
            // Whatever is not as it was is worked on.
            let differs = |at: &&Placement| before.get(*at) != now.get(*at);
            for at in before.keys().chain(now.keys()).filter(differs) {
                prop_assert!(touched.contains(at), "{:?} changed {:?} unnoticed", op, at);
            }
            before = now;
        }
    }
}
