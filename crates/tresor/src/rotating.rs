//! The daemon's part in changes of keys: begins those that are due, and goes on with those that were
//! begun, by whomever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use audit::AuditLog;
use vault::{Pace, RotationReason, RotationState, RotationView, Vault, VaultError};

use crate::audit::daemons_act;

/// How often the age of the keys is looked at.
const LOOK: Duration = Duration::from_secs(60);
/// How long a rotation that could not be finished waits before it is tried again by itself.
const REST: Duration = Duration::from_secs(3600);
/// With ten versions for a secret a hundred thousand take less than ten seconds, and two cores that are busy with
/// reads lose less than a fifth of these. With one version for a secret both are missed: benches/rotate.sh measures
/// each.
const PACE: Pace = Pace::One(Duration::from_micros(80));

/// Runs until the daemon stops. A rotation that runs then stops where it is, and goes on with the next
/// start.
pub(crate) async fn rotate_keys(
    vault: Arc<Vault>,
    audit: Arc<AuditLog>,
    stop: impl Future<Output = ()>,
) {
    let mut stop = std::pin::pin!(stop);
    let mut looks = tokio::time::interval(LOOK);
    let mut resting_until = Instant::now();
    loop {
        tokio::select! {
            () = vault.rotation_wanted() => {}
            _ = looks.tick() => if Instant::now() < resting_until { continue },
            () = &mut stop => return,
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let (vault, audit, stopped) = (vault.clone(), audit.clone(), stopping.clone());
        let work = move || rotate(&vault, &audit, &|| stopped.load(Ordering::Relaxed));
        let mut working = tokio::task::spawn_blocking(work);
        let done = tokio::select! {
            done = &mut working => done,
            () = &mut stop => {
                stopping.store(true, Ordering::Relaxed);
                // What it found is told; the daemon stops all the same.
                let _ = working.await;
                return;
            }
        };
        match done {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "the keys could not be changed wholly; it is tried again in an hour");
                resting_until = Instant::now() + REST;
            }
            Err(_) => return,
        }
    }
}

fn rotate(vault: &Vault, audit: &AuditLog, stop: &dyn Fn() -> bool) -> Result<(), VaultError> {
    if let Some(begun) = vault.begin_due_rotation()? {
        let reason = match begun.reason {
            RotationReason::Age => "they are as old as rotate-keys-after-days allows",
            _ => "they were used as often as rotate-keys-after-uses allows",
        };
        tracing::warn!(kek = begun.kek, reason, "the keys are changed without being asked");
        write_down(audit, "rotateKeys", &begun);
    }
    let ended = vault.run_rotation(PACE, stop, &mut |_| {})?;
    if let Some(done) = ended.filter(|ended| ended.state == RotationState::Done) {
        tracing::info!(
            kek = done.kek,
            records = done.total,
            "all records are under the new keys; the older ones are destroyed"
        );
        write_down(audit, "destroyKeys", &done);
    }
    Ok(())
}

/// What the daemon did by itself. The keys are changed whether or not it can be written down, since
/// records under two keys are no state to stay in.
fn write_down(audit: &AuditLog, action: &str, rotation: &RotationView) {
    let entry = daemons_act(action, format!("kek:{}", rotation.kek));
    if let Err(error) = audit.append(&entry).synced_blocking() {
        tracing::error!(%error, "a change of keys could not be written down");
    }
}
