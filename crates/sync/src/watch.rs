//! One watch on our Secrets in one namespace, for as long as the namespace is in use.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::Namespace;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::{Semaphore, mpsc};
use tracing::instrument::WithSubscriber;
use tracing::subscriber::NoSubscriber;

use crate::backoff::Backoff;
use crate::digest::DigestKey;
use crate::failure::{Failure, Verb};
use crate::kubernetes::{Kubernetes, selector};
use crate::observed::Observed;

/// Seconds after which the server ends a watch and it is resumed. A connection that died without a
/// word is noticed this long after, plus five seconds.
const RESUME_SECONDS: u32 = 25;
/// A page holds values, up to 1 MiB each, for a moment.
const PAGE: u32 = 50;
/// How long one page of the list may take.
const PAGE_TIME_OUT: Duration = Duration::from_secs(20);
/// After so long a watch counts as having worked.
const STEADY: Duration = Duration::from_secs(10);

/// Something that a watch saw.
pub(crate) struct Sighting {
    pub(crate) namespace: Namespace,
    /// Which watch of the namespace saw it: a stopped one may still have something in the queue.
    pub(crate) generation: u64,
    pub(crate) seen: Seen,
}

/// What was seen.
pub(crate) enum Seen {
    /// The namespace cannot be listed or watched now.
    Failing(Failure),
    /// That object is gone, or lost our label.
    Gone(String),
    /// These are all objects.
    Listed(HashMap<String, Observed>),
    /// That object is new or has changed.
    Put(String, Box<Observed>),
}

/// A watch and where it reports.
pub(crate) struct Watch {
    pub(crate) kubernetes: Kubernetes,
    pub(crate) namespace: Namespace,
    pub(crate) generation: u64,
    pub(crate) key: Arc<DigestKey>,
    pub(crate) lists: Arc<Semaphore>,
    pub(crate) out: mpsc::Sender<Sighting>,
}

/// The worker's loop has ended.
struct Closed;

impl Watch {
    /// Lists, then follows; starts over after each failure, with capped back-off.
    pub(crate) async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            let started = Instant::now();
            if self.session().await.is_err() {
                return;
            }
            if started.elapsed() > STEADY {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// One list and the watch that continues it, until something fails. A lost connection alone is
    /// not reported: if the cluster is really gone, the next list fails.
    async fn session(&self) -> Result<(), Closed> {
        let config =
            watcher::Config::default().labels(&selector()).timeout(RESUME_SECONDS).page_size(PAGE);
        let mut events = pin!(watcher(self.kubernetes.api(&self.namespace), config));
        let mut listing = Some(HashMap::new());
        // Many namespaces that start at once take turns at listing.
        let mut turn = self.lists.acquire().await.ok();
        loop {
            let next = events.next().with_subscriber(NoSubscriber::default());
            let next = match listing {
                Some(_) => tokio::time::timeout(PAGE_TIME_OUT, next).await,
                None => Ok(next.await),
            };
            match next {
                Err(_elapsed) => return self.report(Seen::Failing(Failure::timed_out())).await,
                Ok(None) => return Ok(()),
                Ok(Some(Err(error))) => return self.failed(&error, listing.is_some()).await,
                Ok(Some(Ok(event))) => self.take(event, &mut listing).await?,
            }
            if listing.is_none() {
                drop(turn.take());
            }
        }
    }

    async fn take(
        &self,
        event: Event<Secret>,
        listing: &mut Option<HashMap<String, Observed>>,
    ) -> Result<(), Closed> {
        match event {
            Event::Init => *listing = Some(HashMap::new()),
            Event::InitApply(secret) => listing.get_or_insert_default().extend([self.keep(secret)]),
            Event::InitDone => {
                self.report(Seen::Listed(listing.take().unwrap_or_default())).await?;
            }
            Event::Apply(secret) => {
                let (name, observed) = self.keep(secret);
                self.report(Seen::Put(name, Box::new(observed))).await?;
            }
            Event::Delete(secret) => self.report(Seen::Gone(self.keep(secret).0)).await?,
        }
        Ok(())
    }

    fn keep(&self, secret: Secret) -> (String, Observed) {
        let (observed, meta) = Observed::of(secret, &self.key);
        (meta.name.unwrap_or_default(), observed)
    }

    async fn failed(&self, error: &watcher::Error, listing: bool) -> Result<(), Closed> {
        let (verb, cause) = match error {
            watcher::Error::InitialListFailed(cause) => (Verb::List, cause),
            // To be refused the watch is not a lost connection: the list would succeed again.
            watcher::Error::WatchStartFailed(cause @ kube::Error::Api(status))
                if status.code == 403 =>
            {
                (Verb::Watch, cause)
            }
            _ if !listing => return Ok(()),
            watcher::Error::WatchStartFailed(cause) | watcher::Error::WatchFailed(cause) => {
                (Verb::Watch, cause)
            }
            _ => return self.report(Seen::Failing(Failure::timed_out())).await,
        };
        let failure = Failure::of(verb, self.namespace.as_str(), cause);
        self.report(Seen::Failing(failure)).await
    }

    async fn report(&self, seen: Seen) -> Result<(), Closed> {
        let namespace = self.namespace.clone();
        let sighting = Sighting { namespace, generation: self.generation, seen };
        self.out.send(sighting).await.map_err(|_| Closed)
    }
}
