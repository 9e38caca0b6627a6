//! The sync worker's source inside the daemon: the vault, asked as `system:sync`.

use std::sync::Arc;

use authz::{Actor, List, Permit, Read, WholeStore, decide};
use domain::{KubernetesSecret, Placement, ProjectionStatus, ResourceVersion, SecretPath, Uid};
use sync::{Change, Changes, ProjectRules, Revealed, SecretMeta, Snapshot, Source, SourceError};
use vault::{FeedChange, ProjectFeed, SecretFeed, Vault, VaultError};

/// The vault as a source.
pub(crate) struct InProcess(pub(crate) Arc<Vault>);

impl InProcess {
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Vault, &Permit<List, WholeStore>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let vault = self.0.clone();
        blocking(move || {
            let worker = Actor::sync_worker();
            let permit = decide::<List, _>(&worker, WholeStore, vault.clock().now());
            ask(&vault, &permit.map_err(unavailable)?).map_err(unavailable)
        })
        .await
    }
}

impl Source for InProcess {
    async fn snapshot(&self) -> Result<Snapshot, SourceError> {
        let feed = self.ask(Vault::feed).await?;
        Ok(Snapshot {
            at: feed.at,
            projects: feed.projects.into_iter().map(project).collect(),
            secrets: feed.secrets.into_iter().map(secret).collect(),
            tombstones: feed.tombstones,
        })
    }

    async fn changes(&self, after: ResourceVersion) -> Result<Changes, SourceError> {
        let mut revisions = self.0.revisions();
        let newer = revisions.wait_for(|revision| *revision > after.revision()).await;
        newer.map_err(unavailable)?;
        let page = self.ask(move |vault, permit| vault.feed_after(permit, after)).await?;
        let page = page.ok_or(SourceError::Gone)?;
        Ok(Changes { at: page.at, changes: page.changes.into_iter().map(change).collect() })
    }

    async fn reveal(&self, path: &SecretPath, uid: Uid) -> Result<Option<Revealed>, SourceError> {
        let (vault, path) = (self.0.clone(), path.clone());
        blocking(move || {
            let permit = decide::<Read, _>(&Actor::sync_worker(), path, vault.clock().now());
            match vault.reveal(&permit.map_err(unavailable)?, None) {
                Ok(revealed) if revealed.secret.head.uid == uid => Ok(Some(Revealed {
                    secret: KubernetesSecret::from_payload(
                        revealed.payload,
                        &revealed.secret.head.path.name,
                    ),
                    version: revealed.version,
                    changed_at: revealed.secret.resource_version,
                })),
                Ok(_) | Err(VaultError::NotFound | VaultError::VersionNotFound) => Ok(None),
                Err(error) => Err(unavailable(error)),
            }
        })
        .await
    }

    async fn removed(&self, tombstone: &domain::Tombstone) -> Result<(), SourceError> {
        let tombstone = tombstone.clone();
        self.ask(move |vault, permit| vault.clear_tombstone(permit, &tombstone)).await
    }

    fn report(&self, status: ProjectionStatus) {
        self.0.report_projection(status);
    }

    fn forget(&self, secret: Uid, placement: &Placement) {
        self.0.forget_projection(secret, placement);
    }
}

/// The vault blocks on the disk, which the async workers must not.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(act).await.map_err(unavailable)?
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> SourceError {
    SourceError::Unavailable(Box::new(error))
}

fn project(feed: ProjectFeed) -> ProjectRules {
    ProjectRules { path: feed.path, uid: feed.uid, rules: feed.rules }
}

fn secret(feed: SecretFeed) -> SecretMeta {
    let SecretFeed { path, uid, kind, bound_to, version, resource_version } = feed;
    SecretMeta { path, uid, kind, bound_to, version, changed_at: resource_version }
}

fn change(change: FeedChange) -> Change {
    match change {
        FeedChange::Project(feed) => Change::Project(project(feed)),
        FeedChange::ProjectRemoved(path) => Change::ProjectRemoved(path),
        FeedChange::Secret(feed) => Change::Secret(secret(feed)),
        FeedChange::SecretRemoved { path, uid } => Change::SecretRemoved { path, uid },
        FeedChange::Tombstone(tombstone) => Change::Tombstone(tombstone),
    }
}
