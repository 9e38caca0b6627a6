//! The sync worker's source inside the daemon: the vault, asked as `system:sync`.

use std::sync::Arc;

use audit::{AuditLog, Entry};
use authz::{Actor, List, Permit, Read, WholeStore, decide};
use domain::{KubernetesSecret, Placement, ProjectionStatus, ResourceVersion, SecretPath, Uid};
use sync::{Change, Changes, ProjectRules, Revealed, SecretMeta, Snapshot, Source, SourceError};
use vault::{FeedChange, ProjectFeed, SecretFeed, Vault, VaultError, Witness};

/// The vault as a source. What the worker reads is written down like what anybody reads.
pub(crate) struct InProcess {
    pub(crate) vault: Arc<Vault>,
    pub(crate) audit: Arc<AuditLog>,
}

impl InProcess {
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Vault, &Permit<List, WholeStore>) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let vault = self.vault.clone();
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
        let mut revisions = self.vault.revisions();
        let newer = revisions.wait_for(|revision| *revision > after.revision()).await;
        newer.map_err(unavailable)?;
        let page = self.ask(move |vault, permit| vault.feed_after(permit, after)).await?;
        let page = page.ok_or(SourceError::Gone)?;
        Ok(Changes { at: page.at, changes: page.changes.into_iter().map(change).collect() })
    }

    async fn reveal(&self, path: &SecretPath, uid: Uid) -> Result<Option<Revealed>, SourceError> {
        let (vault, audit, path) = (self.vault.clone(), self.audit.clone(), path.clone());
        blocking(move || {
            let permit = decide::<Read, _>(&Actor::sync_worker(), path, vault.clock().now());
            match vault.reveal(&permit.map_err(unavailable)?, None) {
                Ok(revealed) if revealed.secret.head.uid == uid => {
                    let entry = read_by_worker(&vault, &revealed);
                    audit.append(&entry).written_blocking().map_err(unavailable)?;
                    Ok(Some(Revealed {
                        secret: KubernetesSecret::from_payload(
                            revealed.payload,
                            &revealed.secret.head.path.name,
                        ),
                        version: revealed.version,
                        changed_at: revealed.secret.resource_version,
                    }))
                }
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

    fn has_reached(&self, seen: ResourceVersion) -> bool {
        self.vault.witness(seen, Witness::Kubernetes)
    }

    fn was_put_back(&self, seen: ResourceVersion) {
        self.vault.suspect(seen, Witness::Kubernetes);
    }

    fn report(&self, status: ProjectionStatus) {
        self.vault.report_projection(status);
    }

    fn forget(&self, secret: Uid, placement: &Placement) {
        self.vault.forget_projection(secret, placement);
    }
}

/// The record of a value that goes to a cluster.
fn read_by_worker(vault: &Vault, revealed: &vault::Revealed) -> Entry {
    let secret = &revealed.secret;
    Entry {
        time: vault.clock().now(),
        actor: Actor::sync_worker().name(),
        action: "projectSecret".to_owned(),
        resource: Some(vault.secret_uri(&secret.head.path)),
        uid: Some(secret.head.uid.to_string()),
        version: Some(revealed.version),
        resource_version: Some(secret.resource_version.to_string()),
        ..Entry::default()
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
    let SecretFeed { path, uid, kind, bound_to, version, labels, resource_version } = feed;
    SecretMeta { path, uid, kind, bound_to, version, labels, changed_at: resource_version }
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
