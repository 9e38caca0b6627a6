//! What a placement must hold: the values are asked for one by one, put together, and dropped as
//! soon as they are written.

use std::sync::Arc;

use domain::{DataKey, KubernetesSecret, ProjectionState};

use crate::basket::Basket;
use crate::claim::{Owner, Wanted};
use crate::decide::{Expected, Outcome, Shown};
use crate::failure::{CallError, Failure};
use crate::marks::{Marks, Origin};
use crate::reconcile::{Act, Reconciler};
use crate::source::{Revealed, SecretMeta, Source};

/// Values, and what became of each secret.
type Contents = (KubernetesSecret, Vec<Shown>);

impl<S: Source> Reconciler<S> {
    /// Asks for the values. False when there is nothing to show any more.
    pub(crate) async fn reveal(&self, act: &mut Act) -> Result<bool, CallError> {
        // The old values go first, so that an act holds one copy's at most.
        act.secret = None;
        let Some(wanted) = &act.job.wanted else {
            return Ok(false);
        };
        let contents = match wanted.owner {
            Owner::Project(_) => Some(self.reveal_entries(wanted).await?),
            Owner::Secret(_) => self.reveal_one(wanted).await?,
        };
        let Some((secret, shown)) = contents else {
            return Ok(false);
        };
        // EXPOSE: only a digest under the process's key comes out of it.
        let data = secret.data.iter().map(|(k, v)| (k.as_str(), v.expose()));
        let digest = self.key.digest(secret.type_, data);
        let marks = self.marks(wanted, &shown, act);
        let (owner, type_) = (wanted.owner, secret.type_);
        act.job.expected = Some(Expected { owner, shown, type_, digest, marks });
        act.secret = Some(secret);
        Ok(true)
    }

    async fn reveal_one(&self, wanted: &Wanted) -> Result<Option<Contents>, CallError> {
        let Some(secret) = wanted.secrets.first() else {
            return Ok(None);
        };
        let revealed = self.ask(secret).await?;
        Ok(revealed.map(|revealed| {
            let shown = shown(secret, Some(&revealed), Outcome::In);
            (revealed.secret, vec![shown])
        }))
    }

    /// A value that does not fit is dropped at once. One that cannot be read fails the whole act:
    /// to go on without it would remove it from the cluster.
    async fn reveal_entries(&self, wanted: &Wanted) -> Result<Contents, CallError> {
        let mut basket = Basket::default();
        let mut all = Vec::with_capacity(wanted.secrets.len());
        for secret in &wanted.secrets {
            let revealed = self.ask(secret).await?;
            let mut known = shown(secret, revealed.as_ref(), Outcome::Vanished);
            if let Some(value) = revealed.and_then(|r| r.secret.data.into_values().next()) {
                let key = DataKey::for_name(&secret.path.name).as_str().to_owned();
                let fits = basket.put(key, value);
                known.outcome = if fits { Outcome::In } else { Outcome::TooLarge };
            }
            all.push(known);
        }
        Ok((basket.into_secret(), all))
    }

    async fn ask(&self, secret: &Arc<SecretMeta>) -> Result<Option<Revealed>, CallError> {
        self.source.reveal(&secret.path, secret.uid).await.map_err(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::debug!(secret.uid = %secret.uid, error, "a secret was not revealed");
            let message =
                "Tresor could not read the secret, or one that shares its place; it tries again";
            CallError::Failed(Failure::new(ProjectionState::Failed, message))
        })
    }

    fn marks(&self, wanted: &Wanted, shown: &[Shown], act: &Act) -> Marks {
        let (by, first) = (&wanted.by, shown.first().zip(wanted.secrets.first()));
        let origin = match (wanted.owner, first) {
            (Owner::Secret(uid), Some((shown, secret))) => {
                let (version, changed_at) = (shown.version, shown.changed_at);
                Origin::Secret { path: &secret.path, uid, version, changed_at, by }
            }
            (Owner::Secret(uid) | Owner::Project(uid), _) => {
                let entries = shown.iter().filter(|shown| shown.outcome == Outcome::In);
                let changed_at = entries.clone().map(|shown| shown.changed_at).max();
                Origin::Project { path: by, uid, entries: entries.count(), changed_at }
            }
        };
        Marks::expected(&origin, &act.job.placement, &self.store).labelled(&wanted.labels)
    }
}

fn shown(secret: &SecretMeta, revealed: Option<&Revealed>, outcome: Outcome) -> Shown {
    Shown {
        uid: secret.uid,
        version: revealed.map(|r| r.version).or(secret.version).unwrap_or_default(),
        changed_at: revealed.map_or(secret.changed_at, |revealed| revealed.changed_at),
        outcome,
    }
}
