//! A disk that keeps what was synced, and of the rest whatever is worst.
//!
//! It is told what a process did, call by call, and makes images of what a power cut at that moment
//! may leave:
//!
//! * A file's bytes are sure once an `fsync` or `fdatasync` of it has returned, which covers the
//!   writes that had returned when it began. `sync_file_range` makes nothing sure.
//! * Each other write may be there, or be missing, or be there in some of its sectors, whatever became
//!   of those before and behind it. What it added to the file's length may be there without it, as
//!   zeros.
//! * A sync that fails makes nothing sure, and what it should have written is clean in memory from then
//!   on: it is read as it was written, and no later sync writes it, unless its page is written anew.
//! * A name that was made, changed or removed is sure once its directory was synced, and may be there
//!   or not before that. A rename happens or does not. Of changes that touch the same name or
//!   the same file, a later one is never there without the earlier ones; all others are independent.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::random::Random;
use super::trace::{Call, Event, Trace};

const SECTOR: usize = 512;
/// What is written to the disk, and given up, as one.
const PAGE: usize = 4096;
const ROOT: Node = 0;

/// A file or directory, whatever its names are.
type Node = usize;

/// What a power cut makes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// One change is lost, and all others are there.
    AllButOne,
    /// Nothing is lost: a process was killed, and no power was cut.
    AllKept,
    /// Everything is lost.
    AllLost,
    /// Everything up to some call is there, in order, and the next one is torn.
    InOrder,
    /// Names and lengths are there, and the bytes are not.
    LengthsOnly,
    /// One change is there, and all others are lost.
    OnlyOne,
    /// Each change is kept, lost or torn by itself.
    Random,
}

/// The files of a disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::sled_engine) struct Image(pub(in crate::sled_engine) BTreeMap<String, Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::sled_engine) enum Entry {
    Directory,
    File(Vec<u8>),
}

impl Image {
    pub(in crate::sled_engine) fn read(root: &Path) -> Self {
        let mut image = Self::default();
        image.read_below(root, "");
        image
    }

    fn read_below(&mut self, directory: &Path, prefix: &str) {
        for entry in fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                self.read_below(&entry.path(), &format!("{name}/"));
                self.0.insert(name, Entry::Directory);
            } else {
                self.0.insert(name, Entry::File(fs::read(entry.path()).unwrap()));
            }
        }
    }

    /// Puts the files below an empty directory.
    pub(in crate::sled_engine) fn write(&self, root: &Path) {
        for (name, entry) in &self.0 {
            let path = root.join(name);
            match entry {
                Entry::Directory => fs::create_dir(path).unwrap(),
                Entry::File(bytes) => {
                    let file = fs::File::create(path).unwrap();
                    let used = bytes.chunks(4096).rposition(|page| page.iter().any(|b| *b != 0));
                    let used = used.map_or(0, |page| bytes.len().min((page + 1) * 4096));
                    file.write_all_at(&bytes[..used], 0).unwrap();
                    file.set_len(bytes.len() as u64).unwrap();
                }
            }
        }
    }

    /// Where two images differ first.
    pub(in crate::sled_engine) fn difference(&self, other: &Self) -> Option<String> {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let differs = |name: &&&String| self.0.get(**name) != other.0.get(**name);
        let shown = |entry: Option<&Entry>| match entry {
            None => "missing".to_owned(),
            Some(Entry::Directory) => "a directory".to_owned(),
            Some(Entry::File(bytes)) => format!("{} bytes", bytes.len()),
        };
        let name = names.iter().find(differs)?;
        let (one, two) = (shown(self.0.get(*name)), shown(other.0.get(*name)));
        Some(format!("{name}: {one} here, {two} there"))
    }
}

/// A change that no sync has covered.
struct Pending {
    call: usize,
    /// Whether the call has returned: only then does a sync that begins cover it.
    returned: bool,
    /// Whether a sync that should have covered it has failed: then no other one does.
    given_up: bool,
    change: Change,
}

enum Change {
    /// The file is at least so long.
    AtLeast(usize),
    Length(usize),
    Write {
        at: usize,
        data: Vec<u8>,
    },
}

/// What becomes of one change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    LengthOnly,
    Lost,
    Torn,
}

enum Content {
    Directory { sure: BTreeMap<String, Node>, now: BTreeMap<String, Node> },
    File { sure: Vec<u8>, pending: Vec<Pending> },
}

/// Names that change together.
struct Renaming {
    call: usize,
    returned: bool,
    edits: Vec<(Node, String, Option<Node>)>,
    touched: Vec<Node>,
}

#[derive(Clone, Copy)]
struct Handle {
    node: Node,
    at: usize,
}

/// The disk, and the process that uses it.
pub(super) struct Disk {
    root: String,
    nodes: Vec<Content>,
    /// Changes of names that no sync has covered, in order.
    renamings: Vec<Renaming>,
    handles: HashMap<i64, Handle>,
    /// What each sync that has begun and not ended covers.
    syncs: HashMap<usize, (Node, HashSet<usize>)>,
    /// What the file beside the disk was told, line by line.
    marks_path: String,
    marks_handle: Option<i64>,
    /// The calls that changed something here, or made it sure, or told something.
    concerned: HashSet<usize>,
    pub(super) marks: Vec<String>,
    /// The files of which a write or a sync has failed.
    failed: HashSet<Node>,
}

impl Disk {
    /// A disk that holds an image, all of it sure. What is written to `marks` is kept apart.
    pub(super) fn new(root: &Path, marks: &Path, image: &Image) -> Self {
        let mut disk = Self {
            root: root.to_str().unwrap().to_owned(),
            nodes: vec![Content::Directory { sure: BTreeMap::new(), now: BTreeMap::new() }],
            renamings: Vec::new(),
            handles: HashMap::new(),
            syncs: HashMap::new(),
            marks_path: marks.to_str().unwrap().to_owned(),
            marks_handle: None,
            concerned: HashSet::new(),
            marks: Vec::new(),
            failed: HashSet::new(),
        };
        for (name, entry) in &image.0 {
            let content = match entry {
                Entry::Directory => empty_directory(),
                Entry::File(bytes) => Content::File { sure: bytes.clone(), pending: vec![] },
            };
            let (parent, name) = disk.place(ROOT, name).unwrap();
            let node = disk.add(content);
            let Content::Directory { sure, now } = &mut disk.nodes[parent] else { unreachable!() };
            sure.insert(name.clone(), node);
            now.insert(name, node);
        }
        disk
    }

    /// Whether a call changed something on this disk, or made it sure, or told something.
    pub(super) fn concerns(&self, call: usize) -> bool {
        self.concerned.contains(&call)
    }

    /// Whether a write or a sync of a file has failed.
    pub(super) fn has_failed(&self, path: &str) -> bool {
        let place = self.place(ROOT, path);
        let node = place.and_then(|(directory, name)| self.now(directory).get(&name));
        node.is_some_and(|node| self.failed.contains(node))
    }

    /// Takes the next event.
    pub(super) fn take(&mut self, trace: &Trace, event: Event) {
        match event {
            Event::Began(call) => self.begin(call, &trace.calls[call]),
            Event::Ended(call) => self.end(call, &trace.calls[call]),
            Event::Exited => {
                self.handles.clear();
                self.syncs.clear();
                self.marks_handle = None;
                // A process is gone only when its calls are over.
                self.returned(|_| true);
            }
        }
    }

    fn begin(&mut self, number: usize, call: &Call) {
        if call.failed {
            if let "pwrite64" | "fsync" | "fdatasync" = call.name.as_str() {
                self.failed.extend(self.handle(call, 0).map(|handle| handle.node));
            }
            if let "fsync" | "fdatasync" = call.name.as_str() {
                self.give_up(call);
            }
            return;
        }
        match call.name.as_str() {
            "openat" => self.begin_open(number, call),
            "close" => self.close(call),
            "write" | "writev" => self.write_on(number, call),
            "pwrite64" | "pwritev" => {
                let at = usize::try_from(call.number(call.arguments.len() - 1)).unwrap();
                self.change_of(number, call, Change::Write { at, data: call.data() });
            }
            "ftruncate" => {
                let length = usize::try_from(call.number(1)).unwrap();
                self.change_of(number, call, Change::Length(length));
            }
            "fallocate" => self.allocate(number, call),
            "copy_file_range" => self.copy(number, call, (0, 2)),
            "sendfile" => self.copy(number, call, (1, 0)),
            "mkdir" => self.make_directory(number, call, None),
            "mkdirat" => self.make_directory(number, call, Some(0)),
            "rename" => self.rename(number, call, [None, None]),
            "renameat" | "renameat2" => self.rename(number, call, [Some(0), Some(2)]),
            "unlink" | "rmdir" => self.unlink(number, call, None),
            "unlinkat" => self.unlink(number, call, Some(0)),
            "fsync" | "fdatasync" => self.begin_sync(number, call),
            "ioctl" if call.arguments[1].contains("CLONE") => self.clone_file(number, call),
            "mmap" => {
                let writes = call.arguments[2].contains("PROT_WRITE");
                let shared = call.arguments[3].contains("MAP_SHARED");
                let ours = self.handle(call, 4).is_some();
                assert!(!(writes && shared && ours), "the model does not know mapped files");
            }
            // They change nothing, make nothing sure, or are looked at when they end.
            "dup" | "dup2" | "dup3" | "fcntl" | "ioctl" | "lseek" | "msync" | "pread64"
            | "sync_file_range" => {}
            other => panic!("the model does not know the call {other}"),
        }
    }

    fn end(&mut self, number: usize, call: &Call) {
        if self.concerns(number) {
            self.returned(|begun| begun == number);
        }
        let Some(result) = call.result else { return };
        match call.name.as_str() {
            "openat" => self.end_open(call, result),
            "fsync" | "fdatasync" => self.end_sync(number),
            "dup" | "dup2" | "dup3" => self.duplicate(call, result),
            "fcntl" if call.arguments[1].starts_with("F_DUPFD") => self.duplicate(call, result),
            "lseek" => {
                let descriptor = call.descriptor(0).unwrap();
                if let Some(handle) = self.handles.get_mut(&descriptor) {
                    handle.at = usize::try_from(result).unwrap();
                }
            }
            _ => {}
        }
    }

    fn returned(&mut self, which: impl Fn(usize) -> bool) {
        for renaming in &mut self.renamings {
            renaming.returned |= which(renaming.call);
        }
        for node in &mut self.nodes {
            let Content::File { pending, .. } = node else { continue };
            // Of two calls at once the one that ends last counts as the later one.
            let ended: Vec<_> = pending.extract_if(.., |one| which(one.call)).collect();
            pending.extend(ended.into_iter().map(|one| Pending { returned: true, ..one }));
        }
    }
}

/// Names.
impl Disk {
    fn add(&mut self, content: Content) -> Node {
        self.nodes.push(content);
        self.nodes.len() - 1
    }

    fn now(&self, directory: Node) -> &BTreeMap<String, Node> {
        let Content::Directory { now, .. } = &self.nodes[directory] else {
            panic!("not a directory")
        };
        now
    }

    fn handle(&self, call: &Call, argument: usize) -> Option<Handle> {
        self.handles.get(&call.descriptor(argument)?).copied()
    }

    /// The directory that a path leads to, and the name in it; none for a path outside the disk.
    fn place(&self, from: Node, path: &str) -> Option<(Node, String)> {
        let mut directory = from;
        let mut parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
        let name = parts.pop()?;
        for part in parts {
            directory = *self.now(directory).get(part)?;
        }
        Some((directory, name.to_owned()))
    }

    /// As [`Disk::place`], for a call with a path and perhaps the descriptor of a directory.
    fn place_of(
        &self,
        call: &Call,
        path: usize,
        directory: Option<usize>,
    ) -> Option<(Node, String)> {
        let path = call.path(path);
        if let Some(below) = path.strip_prefix(&self.root) {
            return self.place(ROOT, below);
        }
        if path.starts_with('/') {
            return None;
        }
        let handle = self.handle(call, directory?)?;
        self.place(handle.node, &path)
    }

    fn change_names(&mut self, call: usize, edits: Vec<(Node, String, Option<Node>)>) {
        self.concerned.insert(call);
        let mut touched = Vec::new();
        for (directory, name, node) in &edits {
            touched.extend(*node);
            let Content::Directory { now, .. } = &mut self.nodes[*directory] else {
                panic!("not a directory")
            };
            touched.extend(match node {
                Some(node) => now.insert(name.clone(), *node),
                None => now.remove(name),
            });
        }
        self.renamings.push(Renaming { call, returned: false, edits, touched });
    }

    fn make_directory(&mut self, number: usize, call: &Call, directory: Option<usize>) {
        let Some((parent, name)) = self.place_of(call, 0, directory) else { return };
        let node = self.add(empty_directory());
        self.change_names(number, vec![(parent, name, Some(node))]);
    }

    fn rename(&mut self, number: usize, call: &Call, directories: [Option<usize>; 2]) {
        let from = self.place_of(call, 0, directories[0]);
        let to = self.place_of(call, 1, directories[1]);
        let (Some(from), Some(to)) = (from, to) else { return };
        let node = self.now(from.0)[&from.1];
        self.change_names(number, vec![(from.0, from.1, None), (to.0, to.1, Some(node))]);
    }

    fn unlink(&mut self, number: usize, call: &Call, directory: Option<usize>) {
        let Some((parent, name)) = self.place_of(call, 0, directory) else { return };
        self.change_names(number, vec![(parent, name, None)]);
    }
}

/// Descriptors and bytes.
impl Disk {
    fn begin_open(&mut self, number: usize, call: &Call) {
        let Some((parent, name)) = self.place_of(call, 0, Some(0)) else { return };
        match self.now(parent).get(&name).copied() {
            None if call.arguments[2].contains("O_CREAT") => {
                let node = self.add(Content::File { sure: vec![], pending: vec![] });
                self.change_names(number, vec![(parent, name, Some(node))]);
            }
            Some(node) if call.arguments[2].contains("O_TRUNC") => {
                self.change(number, node, Change::Length(0));
            }
            _ => {}
        }
    }

    fn end_open(&mut self, call: &Call, descriptor: i64) {
        if call.path(0) == self.marks_path {
            self.marks_handle = Some(descriptor);
            return;
        }
        let Some((parent, name)) = self.place_of(call, 0, Some(0)) else {
            // The root itself has no name on the disk.
            if call.path(0) == self.root {
                self.handles.insert(descriptor, Handle { node: ROOT, at: 0 });
            }
            return;
        };
        let node = self.now(parent)[&name];
        assert!(!call.arguments[2].contains("O_APPEND"), "the model does not know appending");
        self.handles.insert(descriptor, Handle { node, at: 0 });
    }

    fn close(&mut self, call: &Call) {
        let descriptor = call.descriptor(0).unwrap();
        self.handles.remove(&descriptor);
        if self.marks_handle == Some(descriptor) {
            self.marks_handle = None;
        }
    }

    /// The copy has a position of its own here; nobody writes on from where another one stopped.
    fn duplicate(&mut self, call: &Call, descriptor: i64) {
        if let Some(handle) = self.handle(call, 0) {
            self.handles.insert(descriptor, handle);
        }
    }

    fn write_on(&mut self, number: usize, call: &Call) {
        let descriptor = call.descriptor(0).unwrap();
        let data = call.data();
        if self.marks_handle == Some(descriptor) {
            self.concerned.insert(number);
            let text = String::from_utf8(data).unwrap();
            self.marks.extend(text.lines().map(str::to_owned));
            return;
        }
        let Some(handle) = self.handles.get_mut(&descriptor) else { return };
        let (node, at) = (handle.node, handle.at);
        handle.at += data.len();
        self.change(number, node, Change::Write { at, data });
    }

    fn change_of(&mut self, number: usize, call: &Call, change: Change) {
        if let Some(handle) = self.handle(call, 0) {
            self.change(number, handle.node, change);
        }
    }

    fn change(&mut self, call: usize, node: Node, change: Change) {
        let Content::File { pending, .. } = &mut self.nodes[node] else { panic!("not a file") };
        self.concerned.insert(call);
        if let Change::Write { at, data } = &change {
            let pages = at / PAGE..(at + data.len()).div_ceil(PAGE);
            for one in pending.iter_mut().filter(|one| one.given_up) {
                one.given_up = !one.change.page().is_some_and(|page| pages.contains(&page));
            }
        }
        pending.push(Pending { call, returned: false, given_up: false, change });
    }

    fn allocate(&mut self, number: usize, call: &Call) {
        match call.arguments[1].as_str() {
            "0" => {
                let end = usize::try_from(call.number(2) + call.number(3)).unwrap();
                self.change_of(number, call, Change::AtLeast(end));
            }
            "FALLOC_FL_KEEP_SIZE" => {}
            other => panic!("the model does not know fallocate with {other}"),
        }
    }

    /// What was copied is known when the call has returned; one that never did has copied nothing.
    fn copy(&mut self, number: usize, call: &Call, (from, to): (usize, usize)) {
        let (Some(from), Some(to)) = (self.handle(call, from), self.handle(call, to)) else {
            return;
        };
        assert!(call.arguments.iter().any(|argument| argument == "NULL"), "a copy by positions");
        let length = usize::try_from(call.result.unwrap_or(0)).unwrap();
        let mut data = self.file(from.node);
        data.drain(..from.at.min(data.len()));
        data.resize(length, 0);
        self.change(number, to.node, Change::Write { at: to.at, data });
        for handle in self.handles.values_mut() {
            if handle.node == from.node || handle.node == to.node {
                handle.at += length;
            }
        }
    }

    fn clone_file(&mut self, number: usize, call: &Call) {
        let (Some(to), Some(from)) = (self.handle(call, 0), self.handle(call, 2)) else { return };
        let data = self.file(from.node);
        self.change(number, to.node, Change::Length(data.len()));
        self.change(number, to.node, Change::Write { at: 0, data });
    }

    fn file(&self, node: Node) -> Vec<u8> {
        let Content::File { sure, pending } = &self.nodes[node] else { panic!("not a file") };
        let mut bytes = sure.clone();
        for one in pending {
            one.change.apply(&mut bytes);
        }
        bytes
    }
}

/// Syncs.
impl Disk {
    fn begin_sync(&mut self, number: usize, call: &Call) {
        let Some(Handle { node, .. }) = self.handle(call, 0) else { return };
        let covered = match &self.nodes[node] {
            Content::Directory { .. } => {
                let here = |renaming: &&Renaming| renaming.edits.iter().any(|edit| edit.0 == node);
                let renamings = self.renamings.iter().filter(here);
                renamings.filter(|one| one.returned).map(|one| one.call).collect()
            }
            Content::File { pending, .. } => {
                let covers = |one: &&Pending| one.returned && !one.given_up;
                pending.iter().filter(covers).map(|one| one.call).collect()
            }
        };
        self.concerned.insert(number);
        self.syncs.insert(number, (node, covered));
    }

    /// A sync of a file has failed: page by page, what it should have covered is given up.
    fn give_up(&mut self, call: &Call) {
        let Some(Handle { node, .. }) = self.handle(call, 0) else { return };
        let Content::File { pending, .. } = &mut self.nodes[node] else { return };
        for one in std::mem::take(pending) {
            match one.change {
                Change::Write { at, data } if one.returned && !one.given_up => {
                    let mut from = at;
                    while from < at + data.len() {
                        let to = (at + data.len()).min((from / PAGE + 1) * PAGE);
                        let data = data[from - at..to - at].to_vec();
                        let change = Change::Write { at: from, data };
                        pending.push(Pending { given_up: true, change, ..one });
                        from = to;
                    }
                }
                change => pending.push(Pending { change, ..one }),
            }
        }
    }

    fn end_sync(&mut self, number: usize) {
        let Some((node, covered)) = self.syncs.remove(&number) else { return };
        if let Content::File { sure, pending } = &mut self.nodes[node] {
            let covers = |one: &mut Pending| covered.contains(&one.call) && !one.given_up;
            for one in pending.extract_if(.., covers) {
                one.change.apply(sure);
            }
            return;
        }
        for one in self.renamings.extract_if(.., |one| covered.contains(&one.call)) {
            for (directory, name, node) in one.edits {
                let Content::Directory { sure, .. } = &mut self.nodes[directory] else { continue };
                match node {
                    Some(node) => sure.insert(name, node),
                    None => sure.remove(&name),
                };
            }
        }
    }
}

/// Images.
impl Disk {
    /// What is there while no power is cut.
    pub(super) fn all(&self) -> Image {
        self.image(Cut::AllKept, &mut Random::new(0))
    }

    /// What a power cut at this moment leaves.
    pub(super) fn image(&self, cut: Cut, random: &mut Random) -> Image {
        let mut fates = Fates::new(cut, random, self);
        let mut directories: HashMap<Node, BTreeMap<String, Node>> = HashMap::new();
        for (node, content) in self.nodes.iter().enumerate() {
            if let Content::Directory { sure, .. } = content {
                directories.insert(node, sure.clone());
            }
        }
        let mut lost: HashSet<(Node, &str)> = HashSet::new();
        let mut behind: HashSet<Node> = HashSet::new();
        for renaming in &self.renamings {
            let depends = renaming.edits.iter().any(|(at, name, _)| lost.contains(&(*at, name)))
                || renaming.touched.iter().any(|node| behind.contains(node));
            if depends || !fates.keeps_name(renaming.call) {
                lost.extend(renaming.edits.iter().map(|(at, name, _)| (*at, name.as_str())));
                behind.extend(&renaming.touched);
                continue;
            }
            for (at, name, node) in &renaming.edits {
                let names = directories.get_mut(at).unwrap();
                match node {
                    Some(node) => names.insert(name.clone(), *node),
                    None => names.remove(name),
                };
            }
        }
        let mut image = Image::default();
        self.collect(&directories, ROOT, "", &mut fates, &mut image);
        image
    }

    fn collect(
        &self,
        directories: &HashMap<Node, BTreeMap<String, Node>>,
        directory: Node,
        prefix: &str,
        fates: &mut Fates<'_>,
        image: &mut Image,
    ) {
        for (name, node) in &directories[&directory] {
            let name = format!("{prefix}{name}");
            match &self.nodes[*node] {
                Content::Directory { .. } => {
                    self.collect(directories, *node, &format!("{name}/"), fates, image);
                    image.0.insert(name, Entry::Directory);
                }
                Content::File { sure, pending } => {
                    let mut bytes = sure.clone();
                    for Pending { call, change, .. } in pending {
                        change.survive(fates.of(*call), fates.random, &mut bytes);
                    }
                    image.0.insert(name, Entry::File(bytes));
                }
            }
        }
    }
}

/// Decides what becomes of each change.
struct Fates<'a> {
    cut: Cut,
    random: &'a mut Random,
    /// In how many of a hundred cases a change is kept; and a name.
    kept: [u64; 2],
    /// The call at which a disk that works in order stopped, or the one that fared otherwise.
    one: usize,
}

impl<'a> Fates<'a> {
    fn new(cut: Cut, random: &'a mut Random, disk: &Disk) -> Self {
        let mut calls: Vec<_> = disk.renamings.iter().map(|one| one.call).collect();
        for node in &disk.nodes {
            if let Content::File { pending, .. } = node {
                calls.extend(pending.iter().map(|one| one.call));
            }
        }
        calls.sort_unstable();
        let one = *random.pick(&calls).unwrap_or(&0);
        let odds = [5, 30, 50, 70, 95];
        let kept = [*random.pick(&odds).unwrap(), *random.pick(&odds).unwrap()];
        Self { cut, random, kept, one }
    }

    fn keeps_name(&mut self, call: usize) -> bool {
        match self.cut {
            Cut::AllButOne => call != self.one,
            Cut::AllKept | Cut::LengthsOnly => true,
            Cut::AllLost => false,
            Cut::InOrder => call <= self.one,
            Cut::OnlyOne => call == self.one,
            Cut::Random => self.random.below(100) < self.kept[1],
        }
    }

    fn of(&mut self, call: usize) -> Fate {
        match self.cut {
            Cut::AllButOne if call == self.one => Fate::Lost,
            Cut::AllButOne | Cut::AllKept => Fate::Kept,
            Cut::OnlyOne if call == self.one => Fate::Kept,
            Cut::AllLost | Cut::OnlyOne => Fate::Lost,
            Cut::LengthsOnly => Fate::LengthOnly,
            Cut::InOrder if call < self.one => Fate::Kept,
            Cut::InOrder if call == self.one => Fate::Torn,
            Cut::InOrder => Fate::Lost,
            Cut::Random if self.random.below(100) < self.kept[0] => Fate::Kept,
            Cut::Random => match self.random.below(3) {
                0 => Fate::Lost,
                1 => Fate::LengthOnly,
                _ => Fate::Torn,
            },
        }
    }
}

impl Change {
    /// The page that it begins in, if it writes one.
    const fn page(&self) -> Option<usize> {
        match self {
            Self::Write { at, .. } => Some(*at / PAGE),
            Self::AtLeast(_) | Self::Length(_) => None,
        }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::AtLeast(length) => grow(bytes, *length),
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write { at, data } => {
                grow(bytes, at + data.len());
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }

    /// What a power cut leaves of it.
    fn survive(&self, fate: Fate, random: &mut Random, bytes: &mut Vec<u8>) {
        match (fate, self) {
            (Fate::Kept, _) | (Fate::LengthOnly, Self::AtLeast(_) | Self::Length(_)) => {
                self.apply(bytes);
            }
            (Fate::LengthOnly, Self::Write { at, data }) => grow(bytes, at + data.len()),
            (Fate::Lost, _) | (Fate::Torn, Self::AtLeast(_) | Self::Length(_)) => {}
            (Fate::Torn, Self::Write { at, data }) => {
                let end = at + data.len();
                let mut from = *at;
                while from < end {
                    let to = end.min((from / SECTOR + 1) * SECTOR);
                    if random.below(2) == 0 {
                        grow(bytes, to);
                        bytes[from..to].copy_from_slice(&data[from - at..to - at]);
                    }
                    from = to;
                }
                if random.below(2) == 0 {
                    grow(bytes, end);
                }
            }
        }
    }
}

fn grow(bytes: &mut Vec<u8>, length: usize) {
    if bytes.len() < length {
        bytes.resize(length, 0);
    }
}

fn empty_directory() -> Content {
    Content::Directory { sure: BTreeMap::new(), now: BTreeMap::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk at `/disk` after some calls, with paths and data in the clear.
    fn disk_after(calls: &[&str]) -> Disk {
        let mut trace = Trace::default();
        let mut text = String::new();
        let hex =
            |part: &str| part.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
        for call in calls {
            for (number, part) in call.split('"').enumerate() {
                let quoted = number % 2 == 1;
                text.push_str(&if quoted { format!("\"{}\"", hex(part)) } else { part.to_owned() });
            }
            text.push('\n');
        }
        trace.parse(&text);
        // The process is still there.
        trace.events.pop();
        let mut disk = Disk::new(Path::new("/disk"), Path::new("/marks"), &Image::default());
        for event in &trace.events {
            disk.take(&trace, *event);
        }
        disk
    }

    fn left(disk: &Disk, cut: Cut) -> Vec<(String, Vec<u8>)> {
        let files = disk.image(cut, &mut Random::new(1)).0.into_iter();
        let file = |(name, entry)| match entry {
            Entry::Directory => None,
            Entry::File(bytes) => Some((name, bytes)),
        };
        files.filter_map(file).collect()
    }

    const MAKE: [&str; 4] = [
        r#"1 mkdir("/disk/a", 0700) = 0"#,
        r#"1 openat(AT_FDCWD, "/disk/a/f", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = 3"#,
        r#"1 pwrite64(3, "AB", 2, 0) = 2"#,
        r#"1 fdatasync(3) = 0"#,
    ];
    const SYNC_NAMES: [&str; 4] = [
        r#"1 openat(AT_FDCWD, "/disk/a", O_RDONLY|O_CLOEXEC) = 4"#,
        r#"1 fsync(4) = 0"#,
        r#"1 openat(AT_FDCWD, "/disk", O_RDONLY|O_CLOEXEC) = 5"#,
        r#"1 fsync(5) = 0"#,
    ];

    #[test]
    fn a_file_is_sure_when_its_bytes_and_all_its_names_are() {
        assert_eq!(left(&disk_after(&MAKE), Cut::AllLost), []);
        let calls = [&MAKE[..], &SYNC_NAMES[..], &[r#"1 pwrite64(3, "C", 1, 4) = 1"#]].concat();
        let disk = disk_after(&calls);
        let holds = |bytes: &[u8]| vec![("a/f".to_owned(), bytes.to_vec())];
        assert_eq!(left(&disk, Cut::AllLost), holds(b"AB"));
        assert_eq!(left(&disk, Cut::LengthsOnly), holds(b"AB\0\0\0"));
        assert_eq!(left(&disk, Cut::AllKept), holds(b"AB\0\0C"));
    }

    #[test]
    fn a_sync_covers_what_had_returned_when_it_began() {
        let calls = [
            r#"1 pwrite64(3, "C", 1, 1 <unfinished ...>"#,
            r#"2 fdatasync(3 <unfinished ...>"#,
            r#"1 <... pwrite64 resumed>) = 1"#,
            r#"2 <... fdatasync resumed>) = 0"#,
        ];
        let calls = [&MAKE[..], &SYNC_NAMES[..], &calls[..]].concat();
        assert_eq!(left(&disk_after(&calls), Cut::AllLost)[0].1, b"AB");
        let calls = [&calls[..], &["2 fdatasync(3) = 0"]].concat();
        assert_eq!(left(&disk_after(&calls), Cut::AllLost)[0].1, b"AC");
    }

    #[test]
    fn what_a_sync_could_not_write_is_not_made_sure_by_the_next_one() {
        let calls = [
            r#"1 pwrite64(3, "C", 1, 1) = 1"#,
            "1 fdatasync(3) = -1 EIO (Input/output error) (INJECTED)",
            r#"1 pwrite64(3, "D", 1, 4096) = 1"#,
            "1 fdatasync(3) = 0",
        ];
        let calls = [&MAKE[..], &SYNC_NAMES[..], &calls[..]].concat();
        let disk = disk_after(&calls);
        assert!(left(&disk, Cut::AllKept)[0].1.starts_with(b"AC"));
        let lost = left(&disk, Cut::AllLost).remove(0).1;
        assert!(lost.starts_with(b"AB") && lost.ends_with(b"D"));
        // Whoever writes to its page has it written, too.
        let again =
            [&calls[..], &[r#"1 pwrite64(3, "E", 1, 9) = 1"#, "1 fdatasync(3) = 0"]].concat();
        assert!(left(&disk_after(&again), Cut::AllLost)[0].1.starts_with(b"AC"));
    }

    #[test]
    fn a_rename_happens_or_does_not_and_never_without_the_one_before() {
        let calls = [
            r#"1 rename("/disk/a/f", "/disk/a/g") = 0"#,
            r#"1 rename("/disk/a/g", "/disk/a/h") = 0"#,
            r#"1 sync_file_range(3, 0, 0, SYNC_FILE_RANGE_WRITE) = 0"#,
        ];
        let disk = disk_after(&[&MAKE[..], &SYNC_NAMES[..], &calls[..]].concat());
        let mut seen = BTreeSet::new();
        for seed in 0..200 {
            let image = disk.image(Cut::Random, &mut Random::new(seed));
            seen.insert(image.0.into_keys().collect::<Vec<_>>());
        }
        let only = |name: &str| vec!["a".to_owned(), name.to_owned()];
        assert_eq!(seen, [only("a/f"), only("a/g"), only("a/h")].into());
    }

    #[test]
    fn a_write_that_was_not_synced_may_be_there_in_some_of_its_sectors() {
        let long = format!(r#"1 pwrite64(3, "{}", 1024, 0) = 1024"#, "x".repeat(1024));
        let disk = disk_after(&[&MAKE[..], &SYNC_NAMES[..], &[&long]].concat());
        let mut torn = 0;
        for seed in 0..100 {
            let image = disk.image(Cut::Random, &mut Random::new(seed));
            let Some(Entry::File(bytes)) = image.0.get("a/f") else { panic!("no file") };
            let old = bytes.starts_with(b"AB");
            torn += usize::from(old && bytes.len() == 1024 && bytes.ends_with(&[b'x'; 512]));
            assert!(old || bytes.starts_with(&[b'x'; 512]));
        }
        assert!(torn > 0);
    }
}
