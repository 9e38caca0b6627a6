//! One placement, once: observe, compare, apply. Idempotent, and safe against whatever happens in
//! the cluster meanwhile, since each call is conditional on what was observed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use domain::{KubernetesSecret, Placement, ProjectionState};
use futures::FutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::claim::{Owner, Wanted};
use crate::decide::{Action, Expected, Ground, Outcome, decide};
use crate::digest::DigestKey;
use crate::failure::{CallError, Failure};
use crate::kubernetes::{Deletion, Kubernetes};
use crate::marks::{ADOPT, Marks};
use crate::metrics::SyncMetrics;
use crate::observed::{ObjectVersion, Observed};
use crate::source::Source;

/// How often an object may change under our hands before the act is put off.
const ATTEMPTS: usize = 5;

/// What every act needs.
pub(crate) struct Reconciler<S> {
    pub(crate) source: Arc<S>,
    pub(crate) kubernetes: Kubernetes,
    pub(crate) key: Arc<DigestKey>,
    pub(crate) store: String,
    pub(crate) metrics: Arc<SyncMetrics>,
}

/// One act.
pub(crate) struct Job {
    pub(crate) placement: Placement,
    /// What belongs there, if anything does.
    pub(crate) wanted: Option<Wanted>,
    /// What was expected there last time.
    pub(crate) expected: Option<Expected>,
    /// What is there.
    pub(crate) look: Look,
    /// Whose copy there a tombstone covers.
    pub(crate) retired: Option<Owner>,
    /// As in [`Ground`].
    pub(crate) accounted: Option<usize>,
    /// As in [`Ground`].
    pub(crate) newer: Option<bool>,
}

/// What is known of an object.
pub(crate) enum Look {
    /// As it was read just now.
    Read(Option<(Observed, Box<ObjectMeta>)>),
    /// As the watch shows it, which may be a moment old.
    Seen(Option<Observed>),
    /// Nothing: read it.
    Unknown,
}

/// How an act ended.
pub(crate) struct Report {
    pub(crate) placement: Placement,
    pub(crate) wanted: Option<Wanted>,
    pub(crate) expected: Option<Expected>,
    /// Whether something was written although the secret had not changed.
    pub(crate) repaired: bool,
    pub(crate) result: Result<Settled, Failure>,
}

/// How an act ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The place is as it should be, as far as it can be today.
    Done,
    /// A secret is gone; the source is about to say so.
    Vanished,
}

/// An act under way.
pub(crate) struct Act {
    pub(crate) job: Job,
    /// The values, once they were needed.
    pub(crate) secret: Option<KubernetesSecret>,
    /// Whether the expectation is a new one.
    renewed: bool,
    /// Whether the source was asked once more, since what is there seemed to be of a later state.
    doubted: bool,
    wrote: bool,
}

impl<S: Source> Reconciler<S> {
    /// Does one act to its end.
    pub(crate) async fn run(&self, job: Job) -> Report {
        let mut act = Act { job, secret: None, renewed: false, doubted: false, wrote: false };
        // A panic in a source would otherwise take its placement out of the loop for good.
        let result = AssertUnwindSafe(self.settle(&mut act)).catch_unwind().await;
        let result = result.unwrap_or_else(|_| Err(internal()));
        let Job { placement, wanted, expected, .. } = act.job;
        Report { placement, wanted, expected, repaired: act.wrote && !act.renewed, result }
    }

    async fn settle(&self, act: &mut Act) -> Result<Settled, Failure> {
        for _ in 0..ATTEMPTS {
            match self.step(act).await {
                Ok(Some(Settled::Done)) if act.misses_a_secret() => return Ok(Settled::Vanished),
                Ok(Some(settled)) => return Ok(settled),
                Ok(None) => {}
                Err(CallError::Changed) => act.job.look = Look::Unknown,
                Err(CallError::Failed(failure)) => return Err(failure),
            }
        }
        Err(Failure::new(ProjectionState::Failed, "the Secret keeps changing while it is written"))
    }

    /// Observes, compares, applies. `None`: compare again.
    async fn step(&self, act: &mut Act) -> Result<Option<Settled>, CallError> {
        if act.expectation_is_old() {
            act.renewed = true;
            if !self.reveal(act).await? {
                return Ok(Some(Settled::Vanished));
            }
        }
        if matches!(act.job.look, Look::Unknown) {
            self.read(act).await?;
        }
        let action = act.decide(&self.store);
        let writes = [Action::Adopt, Action::Create, Action::Recreate, Action::Update];
        if writes.contains(&action) && act.secret.is_none() {
            return Ok((!self.reveal(act).await?).then_some(Settled::Vanished));
        }
        match action {
            Action::Adopt => self.adopt(act).await,
            Action::Brake => Err(CallError::Failed(braked())),
            Action::Conflict => Err(CallError::Failed(act.conflict())),
            Action::Create => self.create(act).await,
            Action::Delete => self.delete(act).await,
            Action::Nothing => Ok(Some(Settled::Done)),
            Action::Recreate => self.recreate(act).await,
            Action::RolledBack => self.rolled_back(act).await,
            Action::Unadoptable => Err(CallError::Failed(unadoptable())),
            Action::Update => self.update(act).await,
            Action::Wait => Err(CallError::Failed(waiting())),
        }
    }

    async fn read(&self, act: &mut Act) -> Result<(), CallError> {
        let found = self.kubernetes.get(&act.job.placement).await?;
        act.job.look = Look::Read(found.map(|secret| {
            let (observed, meta) = Observed::of(secret, &self.key);
            (observed, Box::new(meta))
        }));
        Ok(())
    }

    async fn create(&self, act: &mut Act) -> Result<Option<Settled>, CallError> {
        let (secret, marks) = act.to_write()?;
        self.kubernetes.create(&act.job.placement, secret, marks).await?;
        Ok(self.written(act))
    }

    async fn adopt(&self, act: &mut Act) -> Result<Option<Settled>, CallError> {
        let settled = self.update(act).await?;
        if settled.is_some() {
            let Placement { namespace, name, .. } = &act.job.placement;
            tracing::info!(
                kubernetes.namespace = %namespace,
                kubernetes.name = name,
                "a Secret that was handed over is maintained from now on"
            );
        }
        Ok(settled)
    }

    async fn update(&self, act: &mut Act) -> Result<Option<Settled>, CallError> {
        let Look::Read(Some((_, meta))) = &act.job.look else {
            // What others wrote into the metadata stays, so it has to be known.
            self.read(act).await?;
            return Ok(None);
        };
        let (secret, marks) = act.to_write()?;
        let meta = (**meta).clone();
        self.kubernetes.replace(&act.job.placement, meta, secret, marks).await?;
        Ok(self.written(act))
    }

    async fn recreate(&self, act: &mut Act) -> Result<Option<Settled>, CallError> {
        self.delete(act).await?;
        act.job.look = Look::Seen(None);
        Ok(None)
    }

    /// What the source says after the copy was seen counts: it may have gone on meanwhile.
    async fn rolled_back(&self, act: &mut Act) -> Result<Option<Settled>, CallError> {
        if act.job.newer == Some(false) && !std::mem::replace(&mut act.doubted, true) {
            return Ok((!self.reveal(act).await?).then_some(Settled::Vanished));
        }
        if let Some(seen) = act.observed().and_then(|found| found.marks.resource_version()) {
            self.source.was_put_back(seen);
        }
        Err(CallError::Failed(Failure::rolled_back()))
    }

    async fn delete(&self, act: &mut Act) -> Result<Option<Settled>, CallError> {
        let at = act.observed_version().ok_or(CallError::Changed)?;
        let deletion = self.kubernetes.delete(&act.job.placement, &at).await?;
        self.metrics.count_delete();
        match deletion {
            Deletion::Done => Ok(Some(Settled::Done)),
            Deletion::Pending => Err(CallError::Failed(waiting())),
        }
    }

    fn written(&self, act: &mut Act) -> Option<Settled> {
        act.wrote = true;
        self.metrics.count_write();
        Some(Settled::Done)
    }
}

impl Act {
    /// Whether something else is wanted than when the expectation was made.
    fn expectation_is_old(&self) -> bool {
        let expected = self.job.expected.as_ref();
        let wanted = self.job.wanted.as_ref();
        wanted.is_some_and(|wanted| expected.is_none_or(|expected| !expected.is_for(wanted)))
    }

    /// Whether a merged copy had to do without an entry that the source still speaks of.
    fn misses_a_secret(&self) -> bool {
        let expected = self.job.expected.as_ref().filter(|_| self.job.wanted.is_some());
        expected.is_some_and(|e| e.shown.iter().any(|s| s.outcome == Outcome::Vanished))
    }

    fn decide(&self, store: &str) -> Action {
        let (placement, retired) = (&self.job.placement, self.job.retired);
        let Job { accounted, newer, .. } = self.job;
        let ground = Ground { placement, store, retired, accounted, newer };
        // Where nothing is wanted, an old expectation means nothing.
        let expected = self.job.expected.as_ref().filter(|_| self.job.wanted.is_some());
        decide(&ground, expected, self.observed())
    }

    fn observed(&self) -> Option<&Observed> {
        match &self.job.look {
            Look::Read(read) => read.as_ref().map(|(observed, _)| observed),
            Look::Seen(seen) => seen.as_ref(),
            Look::Unknown => None,
        }
    }

    fn observed_version(&self) -> Option<ObjectVersion> {
        self.observed().map(|observed| observed.at.clone())
    }

    fn to_write(&self) -> Result<(&KubernetesSecret, &Marks), CallError> {
        let pair = self.secret.as_ref().zip(self.job.expected.as_ref());
        pair.map(|(secret, e)| (secret, &e.marks)).ok_or_else(|| CallError::Failed(internal()))
    }

    /// What the owner of a Secret in the way can do about it, as a command that holds no value.
    fn conflict(&self) -> Failure {
        let Placement { namespace, name, .. } = &self.job.placement;
        let source = self.job.expected.as_ref().map(|expected| expected.marks.source());
        Failure::new(
            ProjectionState::Conflict,
            format!(
                "a Secret of that name exists that Tresor did not make: delete it, rename the \
                 secret, or let Tresor replace its data with: kubectl annotate secret -n \
                 {namespace} {name} {ADOPT}={}",
                source.unwrap_or_default()
            ),
        )
    }
}

fn unadoptable() -> Failure {
    Failure::new(
        ProjectionState::Conflict,
        "the Secret that is handed over has another type or is immutable, so it could only be \
         deleted and made anew; delete it yourself if that is meant",
    )
}

fn braked() -> Failure {
    Failure::new(
        ProjectionState::Braked,
        "more than half of the entries would go at once, and nothing says that they were deleted; \
         release the brake if that is meant",
    )
}

fn waiting() -> Failure {
    Failure::new(
        ProjectionState::Pending,
        "the previous Secret is being deleted and waits for a finalizer that is not Tresor's",
    )
}

fn internal() -> Failure {
    Failure::new(ProjectionState::Failed, "the worker met an internal error; it tries again")
}
