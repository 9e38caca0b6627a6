//! Everything at once, in many orders: whatever writers do, and however often the store stops, is
//! killed or is restored from backups, its records belong together, every watcher sees every change
//! once and ends with the store's own picture, and no copy in a cluster is left without a tombstone.
//!
//! `TRESOR_TESTS_LONG=1` runs more seeds.

use parking_lot::Mutex;
use store::RestorePlan;

use super::*;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const TARGETS: [&str; 2] = ["x", "y"];
/// So few that watchers fall behind the log.
const KEEP_EVENTS: u64 = 20;

/// Numbers that follow from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// What a watcher knows of a secret.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    name: String,
    at: ResourceVersion,
    labels: Labels,
    current: Option<u64>,
}

impl Seen {
    fn of(view: &SecretView) -> Self {
        Self {
            name: view.head.path.name.to_string(),
            at: view.resource_version,
            labels: view.head.labels.clone(),
            current: view.head.current().map(|version| version.number),
        }
    }
}

type Picture = BTreeMap<Uid, Seen>;

/// Every change that was acknowledged, by its revision.
type Truth = Mutex<BTreeMap<ResourceVersion, (Uid, ChangeKind, Seen)>>;

/// Does one thing, if it can be done now, and notes the change that came of it.
fn act(running: &Running, dice: &mut Dice, truth: &Truth) {
    let (name, other) = (dice.one_of(&NAMES), dice.one_of(&NAMES));
    let versions = running.secret(name).map_or(0, |view| view.head.next_number());
    let some =
        |dice: &mut Dice| (1..=dice.below(3) + 1).map(|_| dice.below(versions + 1)).collect();
    let roll = dice.below(16);
    let (kind, done) = match roll {
        0..=2 => (ChangeKind::Added, running.create(name, "1")),
        3..=4 => (ChangeKind::Modified, running.update(name, "2")),
        5 => {
            let value = dice.below(9).to_string();
            let relabel = |_: &Labels| Ok(labels_of(&[("n", &value)]));
            let change = SecretChange { labels: Some(&relabel), ..nothing() };
            (ChangeKind::Modified, running.change(name, &change))
        }
        6..=7 => (ChangeKind::Deleted, running.delete(name)),
        8..=9 => (ChangeKind::Added, running.undelete(name, other, None)),
        10 => {
            let graves = running.heads(&KeyRange::deleted_named(&secret(name)));
            let grave = graves.get(dice.below(3) as usize);
            let _ = running.purge(name, grave.map(|head| head.uid));
            return;
        }
        11 => (ChangeKind::Modified, running.roll_back(name, dice.below(versions + 1))),
        12 => {
            let numbers: BTreeSet<u64> = some(dice);
            let done = running.set_versions(name, numbers, VersionState::Destroyed);
            (ChangeKind::Modified, done)
        }
        13 => {
            let numbers: BTreeSet<u64> = some(dice);
            let state = dice.one_of(&[VersionState::Deleted, VersionState::Live]);
            (ChangeKind::Modified, running.set_versions(name, numbers, state))
        }
        14 => {
            let all = (1..versions).collect::<BTreeSet<_>>();
            let state = dice.one_of(&[VersionState::Deleted, VersionState::Live]);
            (ChangeKind::Modified, running.set_versions(name, all, state))
        }
        _ => {
            let kinds = [BindingKind::Owner, BindingKind::Members];
            let targets = TARGETS.iter().map(|target| (*target, dice.one_of(&kinds)));
            let targets: Vec<_> = targets.collect();
            let targets = dice.one_of(&[&targets[..], &targets[..1], &targets[1..], &[]]);
            (ChangeKind::Modified, running.bind(name, targets))
        }
    };
    if let Ok(view) = done {
        let change = (view.head.uid, kind, Seen::of(&view));
        let mut truth = truth.lock();
        let noted = truth.get(&view.resource_version);
        assert!(noted.is_none_or(|noted| (noted.0, &noted.2) == (change.0, &change.2)));
        // A binding that is already as wanted answers with the change that someone else made.
        if roll < 15 || noted.is_none() {
            truth.insert(view.resource_version, change);
        }
    }
}

/// Where a watcher stands.
enum State {
    Listing { next: Option<String>, so_far: Picture },
    Watching { at: ResourceVersion },
}

/// Lists in pages, watches from there, and lists again when the log no longer reaches back.
struct Watcher {
    state: State,
    picture: Picture,
    /// From where to where it was told everything.
    spans: Vec<(ResourceVersion, ResourceVersion)>,
    told: Vec<(ResourceVersion, Uid, ChangeKind, Seen)>,
    relisted: usize,
}

impl Watcher {
    fn new() -> Self {
        Self {
            state: State::Listing { next: None, so_far: Picture::new() },
            picture: Picture::new(),
            spans: Vec::new(),
            told: Vec::new(),
            relisted: 0,
        }
    }

    fn at(&self) -> Option<ResourceVersion> {
        match &self.state {
            State::Listing { .. } => None,
            State::Watching { at } => Some(*at),
        }
    }

    fn step(&mut self, running: &Running) {
        let begin = State::Listing { next: None, so_far: Picture::new() };
        match std::mem::replace(&mut self.state, begin) {
            State::Listing { next, so_far } => self.list(running, next, so_far),
            State::Watching { at } => self.watch(running, at),
        }
    }

    fn list(&mut self, running: &Running, next: Option<String>, mut so_far: Picture) {
        let query = ListQuery { limit: 2, continue_: next, ..ListQuery::default() };
        let page = match running.vault.secrets(&[running.may(PartOfProject(project("ml")))], &query)
        {
            Ok(page) => page,
            Err(VaultError::Gone { .. }) => return self.relisted += 1,
            Err(other) => panic!("{other}"),
        };
        so_far.extend(page.items.iter().map(|view| (view.head.uid, Seen::of(view))));
        self.state = match page.next {
            Some(next) => State::Listing { next: Some(next), so_far },
            None => {
                self.picture = so_far;
                self.spans.push((page.resource_version, page.resource_version));
                State::Watching { at: page.resource_version }
            }
        };
    }

    fn watch(&mut self, running: &Running, at: ResourceVersion) {
        let worker = running.worker();
        let recent = running.vault.recent_changes(&worker, at);
        let page = match recent.map_or_else(|| running.vault.changes_after(&worker, at), Ok) {
            Ok(page) => page,
            Err(VaultError::Gone { ahead: false, .. }) => return self.relisted += 1,
            Err(other) => panic!("{other}"),
        };
        for change in &page.changes {
            let (uid, seen) = (change.view.head.uid, Seen::of(&change.view));
            self.told.push((seen.at, uid, change.kind, seen.clone()));
            match change.kind {
                ChangeKind::Deleted => drop(self.picture.remove(&uid)),
                _ => drop(self.picture.insert(uid, seen)),
            }
        }
        self.spans.last_mut().unwrap().1 = page.through;
        self.state = State::Watching { at: page.through };
    }

    /// Goes on until it knows everything, while nobody writes.
    fn catch_up(&mut self, running: &Running) {
        // Memory alone never tells of what it has not been brought up to.
        running.vault.keep_up(&running.worker()).unwrap();
        while self.at() != Some(running.vault.resource_version()) {
            self.step(running);
        }
    }

    /// That it was told every change in its spans once, in order, and as the writer was answered.
    fn check(&self, truth: &Truth, seed: u64) {
        let truth = truth.lock();
        let line = |(at, (uid, kind, seen)): (&ResourceVersion, &(Uid, ChangeKind, Seen))| {
            (*at, *uid, *kind, seen.clone())
        };
        let inside = |(from, to): &(ResourceVersion, ResourceVersion)| {
            let (from, to) = (*from, *to);
            truth.iter().filter(move |(at, _)| from < **at && **at <= to).map(line)
        };
        let expected: Vec<_> = self.spans.iter().flat_map(inside).collect();
        assert_eq!(self.told, expected, "seed {seed}");
    }
}

/// What a cluster holds whose worker comes round from time to time only.
#[derive(Default)]
struct Cluster(BTreeSet<(Uid, SecretPath, ProjectPath)>);

impl Cluster {
    fn desired(running: &Running) -> BTreeSet<(Uid, SecretPath, ProjectPath)> {
        let heads = running.heads(&KeyRange::all_heads());
        let live = heads.into_iter().filter(|head| head.current().is_some());
        let places = |head: Head| {
            let homes = head.bindings.into_iter().map(|binding| binding.project);
            let homes = homes.chain([head.path.project.clone()]);
            homes.map(move |home| (head.uid, head.path.clone(), home)).collect::<Vec<_>>()
        };
        live.flat_map(places).collect()
    }

    /// That a tombstone stands for each copy that is to go, and for no secret in its own place.
    fn check(&mut self, running: &Running, seed: u64) {
        let desired = Self::desired(running);
        let tombstones = running.tombstones();
        let stands_for = |uid: Uid, what: &Retired| match what {
            Retired::Secret { uid: gone, .. } | Retired::Binding { uid: gone, .. } => *gone == uid,
            Retired::Rule { .. } => false,
        };
        for (uid, path, home) in self.0.difference(&desired) {
            let covered = tombstones.iter().any(|t| stands_for(*uid, &t.what));
            assert!(covered, "{path} in {home} has no tombstone; seed {seed}");
        }
        for tombstone in tombstones {
            let Retired::Secret { path, uid } = tombstone.what else { continue };
            let alive = desired.iter().any(|(owner, at, _)| (*owner, at) == (uid, &path));
            assert!(!alive || tombstone.id != uid, "{path} lives and is to go; seed {seed}");
        }
        self.0.extend(desired);
    }

    /// The worker removes what is to go, and says so.
    fn sweep(&mut self, running: &Running) {
        self.0 = Self::desired(running);
        for tombstone in running.tombstones() {
            running.vault.clear_tombstone(&running.worker(), &tombstone).unwrap();
        }
    }
}

/// The backups on top of each other that were taken of a store.
#[derive(Default)]
struct Backups {
    files: Vec<Vec<u8>>,
    /// When the last one was taken, and what there was then.
    at: Option<ResourceVersion>,
    picture: Picture,
    /// What a cluster held then. What it has learnt since, a store that is restored knows nothing of.
    cluster: BTreeSet<(Uid, SecretPath, ProjectPath)>,
}

impl Backups {
    fn take(&mut self, home: &Home, running: &Running, cluster: &Cluster) {
        running.engine.write_keyring(&home.keyring).unwrap();
        let mut file = Vec::new();
        running.engine.back_up(self.at, running.now(), &mut file, &mut |_, _| {}).unwrap();
        self.files.push(file);
        self.at = Some(running.vault.resource_version());
        (self.picture, self.cluster) = (picture(running), cluster.0.clone());
    }

    /// Goes on with what they make, in another directory. Whoever stood anywhere before is told so.
    fn restore(self, home: &Home, watchers: &[Watcher], seed: u64) -> (Home, Running, Cluster) {
        let files = tempfile::tempdir().unwrap();
        let write = |(number, bytes): (usize, &Vec<u8>)| {
            let file = files.path().join(number.to_string());
            fs::write(&file, bytes).unwrap();
            file
        };
        let files: Vec<_> = self.files.iter().enumerate().map(write).collect();
        let plan = RestorePlan::read(&files).unwrap();
        let next = crate::next_incarnation(plan.header.incarnation).unwrap().unwrap();
        let restored = home.elsewhere();
        let dir = DataDir::create(restored.dir.path()).unwrap();
        SledEngine::restore(&dir, &plan, next, &mut |_| {}).unwrap();
        drop(dir);
        let running = restored.start();
        running.check_records();
        let revisions = |picture: Picture| -> BTreeMap<_, _> {
            let of = |(uid, seen): (Uid, Seen)| {
                (uid, (seen.name, seen.at.revision(), seen.labels, seen.current))
            };
            picture.into_iter().map(of).collect()
        };
        assert_eq!(revisions(picture(&running)), revisions(self.picture), "seed {seed}");
        for at in watchers.iter().filter_map(Watcher::at).chain(self.at) {
            let told = running.vault.changes_after(&running.worker(), at);
            let Err(VaultError::Gone { oldest, ahead: false }) = told else {
                panic!("{at} is known; seed {seed}")
            };
            assert_eq!(oldest.incarnation(), next, "seed {seed}");
        }
        (restored, running, Cluster(self.cluster))
    }
}

fn start(home: &Home) -> Running {
    let running = home.start();
    for name in ["ml", "x", "y"] {
        running.make_project(name, vec![rule("team")]);
    }
    running
}

fn picture(running: &Running) -> Picture {
    let query = ListQuery { limit: 100, ..ListQuery::default() };
    let all = running.vault.secrets(&[running.may(PartOfProject(project("ml")))], &query).unwrap();
    all.items.iter().map(|view| (view.head.uid, Seen::of(view))).collect()
}

/// That everyone agrees, when nobody writes.
fn check_all(running: &Running, watchers: &mut [Watcher], truth: &Truth, seed: u64) {
    running.check_records();
    let picture = picture(running);
    for watcher in watchers {
        watcher.catch_up(running);
        assert_eq!(watcher.picture, picture, "seed {seed}");
        watcher.check(truth, seed);
    }
}

fn seeds(short: u64) -> std::ops::Range<u64> {
    let long = std::env::var_os("TRESOR_TESTS_LONG").is_some_and(|value| value == "1");
    0..if long { 40 * short } else { short }
}

fn home() -> Home {
    Home::with(Settings { keep_versions: 3, ..Settings::default() }, KEEP_EVENTS)
}

/// One writer; watchers of which some hurry and some sleep; stops, kills and restores in between.
fn one_after_the_other(seed: u64) -> usize {
    let mut dice = Dice(seed);
    let mut home = home();
    let mut running = start(&home);
    let (truth, mut cluster) = (Truth::default(), Cluster::default());
    let mut backups = Backups::default();
    let mut watchers = [Watcher::new(), Watcher::new(), Watcher::new()];
    for _ in 0..150 {
        home.clock.pass_millis(dice.below(2));
        act(&running, &mut dice, &truth);
        cluster.check(&running, seed);
        match dice.below(40) {
            0 => {
                drop(running);
                running = home.start();
            }
            1 => {
                home = home.killed();
                running = home.start();
            }
            2..=3 => cluster.sweep(&running),
            21..=22 => backups.take(&home, &running, &cluster),
            23 if backups.at.is_some() => {
                let taken = std::mem::take(&mut backups);
                (home, running, cluster) = taken.restore(&home, &watchers, seed);
            }
            4 => check_all(&running, &mut watchers, &truth, seed),
            5..=20 => drop(running.vault.keep_up(&running.worker()).unwrap()),
            _ => {}
        }
        for (pace, watcher) in [2, 6, 30].into_iter().zip(&mut watchers) {
            if dice.below(pace) == 0 {
                watcher.step(&running);
            }
        }
    }
    check_all(&running, &mut watchers, &truth, seed);
    check_all(&home.killed().start(), &mut watchers, &truth, seed);
    watchers.iter().map(|watcher| watcher.relisted).sum()
}

#[test]
fn watchers_and_records_agree_whatever_is_done_in_whatever_order() {
    let relisted: usize = seeds(6).map(one_after_the_other).sum();
    assert!(relisted > 0, "no watcher fell behind the log");
}

/// Writers and watchers on threads of their own.
fn all_at_once(seed: u64) {
    let home = home();
    let mut running = start(&home);
    let truth = Truth::default();
    let mut watchers = [Watcher::new(), Watcher::new(), Watcher::new()];
    for round in 0..3 {
        std::thread::scope(|scope| {
            let (running, truth) = (&running, &truth);
            let writers: Vec<_> = (0..3)
                .map(|writer| {
                    let mut dice = Dice(seed * 1000 + round * 10 + writer);
                    scope.spawn(move || {
                        (0..30).for_each(|_| act(running, &mut dice, truth));
                    })
                })
                .collect();
            let writing = move || writers.iter().any(|writer| !writer.is_finished());
            scope.spawn(move || {
                while writing() {
                    running.vault.keep_up(&running.worker()).unwrap();
                    std::thread::yield_now();
                }
            });
            for watcher in &mut watchers {
                scope.spawn(move || (0..40).for_each(|_| watcher.step(running)));
            }
        });
        check_all(&running, &mut watchers, &truth, seed);
        drop(running);
        running = home.start();
    }
}

#[test]
fn watchers_and_records_agree_after_writers_at_the_same_time() {
    seeds(4).for_each(all_at_once);
}
