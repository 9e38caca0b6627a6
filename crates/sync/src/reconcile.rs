//! One placement, once: observe, compare, apply. Idempotent, and safe against whatever happens in
//! the cluster meanwhile, since each call is conditional on what was observed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use domain::{KubernetesSecret, Placement, ProjectionState, Uid};
use futures::FutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::decide::{Action, Expected, Ground, decide};
use crate::digest::DigestKey;
use crate::failure::{CallError, Failure};
use crate::kubernetes::{Deletion, Kubernetes};
use crate::marks::{Marks, Origin};
use crate::metrics::SyncMetrics;
use crate::observed::{ObjectVersion, Observed};
use crate::source::{SecretMeta, Source};

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
    /// The secret that belongs there, if one does.
    pub(crate) wanted: Option<SecretMeta>,
    /// What was expected there last time.
    pub(crate) expected: Option<Expected>,
    /// What is there.
    pub(crate) look: Look,
    /// The secret whose copy there a tombstone covers.
    pub(crate) retired: Option<Uid>,
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
    pub(crate) wanted: Option<SecretMeta>,
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
    /// The secret is gone; the source is about to say so.
    Vanished,
}

struct Act {
    job: Job,
    secret: Option<KubernetesSecret>,
    wrote: bool,
}

impl<S: Source> Reconciler<S> {
    /// Does one act to its end.
    pub(crate) async fn run(&self, job: Job) -> Report {
        let known = job.expected.as_ref().map(|expected| expected.changed_at);
        let mut act = Act { job, secret: None, wrote: false };
        // A panic in a source would otherwise take its placement out of the loop for good.
        let result = AssertUnwindSafe(self.settle(&mut act)).catch_unwind().await;
        let result = result.unwrap_or_else(|_| Err(internal()));
        let Job { placement, wanted, expected, .. } = act.job;
        let unchanged = known.is_some() && known == expected.as_ref().map(|e| e.changed_at);
        Report { placement, wanted, expected, repaired: act.wrote && unchanged, result }
    }

    async fn settle(&self, act: &mut Act) -> Result<Settled, Failure> {
        for _ in 0..ATTEMPTS {
            match self.step(act).await {
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
        if act.expectation_is_old() && !self.reveal(act).await? {
            return Ok(Some(Settled::Vanished));
        }
        if matches!(act.job.look, Look::Unknown) {
            self.read(act).await?;
        }
        let action = act.decide(&self.store);
        let writes = matches!(action, Action::Create | Action::Recreate | Action::Update);
        if writes && act.secret.is_none() {
            return Ok((!self.reveal(act).await?).then_some(Settled::Vanished));
        }
        match action {
            Action::Conflict => Err(CallError::Failed(conflict())),
            Action::Create => self.create(act).await,
            Action::Delete => self.delete(act).await,
            Action::Nothing => Ok(Some(Settled::Done)),
            Action::Recreate => self.recreate(act).await,
            Action::Update => self.update(act).await,
            Action::Wait => Err(CallError::Failed(waiting())),
        }
    }

    /// Asks for the value. False when there is none any more.
    async fn reveal(&self, act: &mut Act) -> Result<bool, CallError> {
        let Some(wanted) = &act.job.wanted else {
            return Ok(false);
        };
        let revealed = self.source.reveal(&wanted.path, wanted.uid).await.map_err(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(secret.uid = %wanted.uid, error, "a secret was not revealed");
            let message = "Tresor could not read the secret; it tries again";
            CallError::Failed(Failure::new(ProjectionState::Failed, message))
        })?;
        let Some(revealed) = revealed else {
            return Ok(false);
        };
        let (version, changed_at) = (revealed.version, revealed.changed_at);
        let origin = Origin { path: &wanted.path, uid: wanted.uid, version, changed_at };
        // EXPOSE: only a digest under the process's key comes out of it.
        let data = revealed.secret.data.iter().map(|(k, v)| (k.as_str(), v.expose()));
        act.job.expected = Some(Expected {
            uid: wanted.uid,
            version,
            changed_at,
            type_: revealed.secret.type_,
            digest: self.key.digest(revealed.secret.type_, data),
            marks: Marks::expected(&origin, &act.job.placement, &self.store),
        });
        act.secret = Some(revealed.secret);
        Ok(true)
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
    /// Whether the secret has changed since its expectation was made.
    fn expectation_is_old(&self) -> bool {
        let Some(wanted) = &self.job.wanted else {
            return false;
        };
        let expected = self.job.expected.as_ref();
        expected.is_none_or(|e| e.uid != wanted.uid || e.changed_at < wanted.changed_at)
    }

    fn decide(&self, store: &str) -> Action {
        let ground = Ground { placement: &self.job.placement, store, retired: self.job.retired };
        // Without a secret that belongs there, an old expectation means nothing.
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
}

fn conflict() -> Failure {
    Failure::new(
        ProjectionState::Conflict,
        "a Secret of that name exists that Tresor did not make; delete it or rename the secret",
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
