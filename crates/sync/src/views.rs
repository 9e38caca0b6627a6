//! What is known of the cluster: one view per namespace in use.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::{Namespace, Placement};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::digest::DigestKey;
use crate::failure::Failure;
use crate::kubernetes::Kubernetes;
use crate::observed::Observed;
use crate::watch::{Seen, Sighting, Watch};

/// How many namespaces are listed at once.
pub(crate) const LISTS: usize = 4;

/// The views, and the watches that feed them.
pub(crate) struct Views {
    kubernetes: Kubernetes,
    key: Arc<DigestKey>,
    lists: Arc<Semaphore>,
    out: mpsc::Sender<Sighting>,
    all: BTreeMap<Namespace, View>,
    started: u64,
}

struct View {
    generation: u64,
    state: State,
    objects: HashMap<String, Observed>,
    watch: JoinHandle<()>,
}

enum State {
    Failing(Failure),
    Live,
    Starting,
}

/// What a sighting changed.
pub(crate) enum Noticed {
    /// The namespace cannot be seen now, for another reason than before.
    Failing(Failure),
    /// The namespace can be seen, and could not before.
    Live,
    /// These objects are not as they were.
    Objects(Vec<String>),
}

impl Views {
    pub(crate) fn new(
        kubernetes: Kubernetes,
        key: Arc<DigestKey>,
        out: mpsc::Sender<Sighting>,
    ) -> Self {
        let lists = Arc::new(Semaphore::new(LISTS));
        Self { kubernetes, key, lists, out, all: BTreeMap::new(), started: 0 }
    }

    /// Starts and stops watches, so that exactly these namespaces are watched.
    pub(crate) fn cover(&mut self, in_use: &BTreeSet<Namespace>) {
        self.all.retain(|namespace, _| in_use.contains(namespace));
        for namespace in in_use {
            if !self.all.contains_key(namespace) {
                let view = self.start(namespace);
                self.all.insert(namespace.clone(), view);
            }
        }
    }

    /// Takes a sighting in. A view that fails keeps its objects, but nothing is done with them.
    pub(crate) fn accept(&mut self, sighting: Sighting) -> Noticed {
        let view = self.all.get_mut(&sighting.namespace);
        let Some(view) = view.filter(|view| view.generation == sighting.generation) else {
            return Noticed::Objects(Vec::new());
        };
        match sighting.seen {
            Seen::Failing(failure) => view.fail(failure),
            Seen::Listed(objects) => view.replace(objects),
            Seen::Gone(name) => {
                view.objects.remove(&name);
                Noticed::Objects(vec![name])
            }
            Seen::Put(name, observed) => {
                view.objects.insert(name.clone(), *observed);
                Noticed::Objects(vec![name])
            }
        }
    }

    /// Whether all objects of the namespace are known.
    pub(crate) fn is_live(&self, namespace: &Namespace) -> bool {
        self.all.get(namespace).is_some_and(|view| matches!(view.state, State::Live))
    }

    /// Whether some namespace has neither been listed yet nor failed to be.
    pub(crate) fn are_starting(&self) -> bool {
        self.all.values().any(|view| matches!(view.state, State::Starting))
    }

    /// Why the namespace cannot be seen now.
    pub(crate) fn failure(&self, namespace: &Namespace) -> Option<&Failure> {
        match &self.all.get(namespace)?.state {
            State::Failing(failure) => Some(failure),
            State::Live | State::Starting => None,
        }
    }

    /// The labelled object in a place.
    pub(crate) fn observed(&self, placement: &Placement) -> Option<&Observed> {
        self.all.get(&placement.namespace)?.objects.get(&placement.name)
    }

    /// The names of all labelled objects, by namespace.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&Namespace, &String)> {
        self.all.iter().flat_map(|(ns, view)| view.objects.keys().map(move |name| (ns, name)))
    }

    fn start(&mut self, namespace: &Namespace) -> View {
        self.started += 1;
        let watch = Watch {
            kubernetes: self.kubernetes.clone(),
            namespace: namespace.clone(),
            generation: self.started,
            key: Arc::clone(&self.key),
            lists: Arc::clone(&self.lists),
            out: self.out.clone(),
        };
        View {
            generation: self.started,
            state: State::Starting,
            objects: HashMap::new(),
            watch: tokio::spawn(watch.run()),
        }
    }
}

impl View {
    fn fail(&mut self, failure: Failure) -> Noticed {
        if matches!(&self.state, State::Failing(known) if *known == failure) {
            return Noticed::Objects(Vec::new());
        }
        self.state = State::Failing(failure.clone());
        Noticed::Failing(failure)
    }

    fn replace(&mut self, objects: HashMap<String, Observed>) -> Noticed {
        let old = std::mem::replace(&mut self.objects, objects);
        if !matches!(self.state, State::Live) {
            self.state = State::Live;
            return Noticed::Live;
        }
        let changed = self.objects.iter().filter(|(name, new)| old.get(*name) != Some(new));
        let gone = old.keys().filter(|name| !self.objects.contains_key(*name));
        Noticed::Objects(changed.map(|(name, _)| name).chain(gone).cloned().collect())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
