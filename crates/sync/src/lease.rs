//! The Lease by which one of several replicas is chosen to act.

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use domain::{Clock, Invalid, Namespace};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::election::{Election, RETRY};
use crate::failure::{CallError, Failure, Verb};
use crate::kubernetes::{Kubernetes, quietly_about};

/// So long an attempt may take; within the time after which a leader has to stop there is another.
const TIME_OUT: Duration = Duration::from_secs(4);

/// Which Lease the replicas contend for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseName {
    namespace: Namespace,
    name: String,
}

impl LeaseName {
    /// Reads `NAMESPACE/NAME`.
    ///
    /// # Errors
    /// When either is no name that Kubernetes takes, or the namespace is one of Kubernetes' own.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("lease", "must be NAMESPACE/NAME, both as Kubernetes has them");
        let (namespace, name) = text.split_once('/').ok_or_else(wrong)?;
        let namespace = Namespace::parse(namespace)?;
        if !domain::is_dns_subdomain(name) {
            return Err(wrong());
        }
        Ok(Self { namespace, name: name.to_owned() })
    }
}

impl FromStr for LeaseName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

/// Whether this replica acts, or why not.
pub(crate) type Standing = Result<(), Failure>;

/// A candidate.
pub(crate) struct Elector {
    kubernetes: Kubernetes,
    lease: LeaseName,
    election: Election,
    clock: Arc<dyn Clock>,
    standing: watch::Sender<Standing>,
}

impl Elector {
    /// A candidate on that host. Its identity gets a random end, so that a replica that starts anew
    /// is not taken for the one before it.
    pub(crate) fn new(
        kubernetes: Kubernetes,
        lease: LeaseName,
        host: &str,
        clock: Arc<dyn Clock>,
    ) -> (Self, watch::Receiver<Standing>) {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the operating system has random bytes");
        let mut identity = format!("{host}_");
        for byte in random {
            // Writing to a String does not fail.
            let _infallible = write!(identity, "{byte:02x}");
        }
        let (standing, receiver) = watch::channel(Err(Failure::not_leading()));
        let election = Election::new(identity);
        (Self { kubernetes, lease, election, clock, standing }, receiver)
    }

    /// Contends until it is told to stop, then releases the lease if it holds it.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            let wait = self.round().await;
            tokio::select! {
                _ = &mut stop => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        let released = tokio::time::timeout(TIME_OUT, self.release()).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::info!("the lease was not released; the next leader waits until it ends");
        }
    }

    /// One attempt, and how long to wait before the next. The wait ends at the latest when we have
    /// to stop leading.
    async fn round(&mut self) -> Duration {
        let began = Instant::now();
        let limit = began + TIME_OUT;
        let limit = self.election.deadline(began).map_or(limit, |deadline| deadline.min(limit));
        let failure = match tokio::time::timeout_at(limit, self.attempt(began)).await {
            Ok(Ok(())) | Ok(Err(CallError::Changed)) => Failure::not_leading(),
            Ok(Err(CallError::Failed(failure))) => failure,
            Err(_elapsed) => Failure::timed_out(),
        };
        let now = Instant::now();
        let deadline = self.election.deadline(now);
        self.tell(deadline.map(|_| ()).ok_or(failure));
        deadline.map_or(RETRY, |deadline| RETRY.min(deadline - now))
    }

    fn tell(&self, standing: Standing) {
        self.standing.send_if_modified(|told| {
            let changed = *told != standing;
            match &standing {
                Ok(()) if changed => tracing::info!("this replica leads"),
                Err(failure) if changed => {
                    tracing::info!(reason = failure.message, "this replica does not lead");
                }
                _ => {}
            }
            *told = standing;
            changed
        });
    }

    /// Looks at the lease, and takes or renews it if it may.
    async fn attempt(&mut self, began: Instant) -> Result<(), CallError> {
        let Some(lease) = self.get().await? else {
            return self.create(began).await;
        };
        let record = lease.spec.clone().unwrap_or_default();
        if self.election.may_take(&record, Instant::now()) {
            let record = self.election.record(&record, self.clock.now());
            self.replace(lease, record).await?;
            self.election.renewed(began);
        }
        Ok(())
    }

    async fn release(&self) -> Result<(), CallError> {
        let Some(lease) = self.get().await? else {
            return Ok(());
        };
        let record = lease.spec.clone().unwrap_or_default();
        match self.election.release(&record, self.clock.now()) {
            Some(record) => self.replace(lease, record).await,
            None => Ok(()),
        }
    }

    async fn get(&self) -> Result<Option<Lease>, CallError> {
        let api = self.api();
        let call = api.get_opt(&self.lease.name);
        quietly_about("Lease", Verb::Get, &self.lease.namespace, call).await
    }

    async fn create(&mut self, began: Instant) -> Result<(), CallError> {
        let name = Some(self.lease.name.clone());
        let record = self.election.record(&LeaseSpec::default(), self.clock.now());
        let metadata = ObjectMeta { name, ..ObjectMeta::default() };
        let lease = Lease { metadata, spec: Some(record) };
        let (api, params) = (self.api(), PostParams::default());
        let call = api.create(&params, &lease);
        quietly_about("Lease", Verb::Create, &self.lease.namespace, call).await?;
        self.election.renewed(began);
        Ok(())
    }

    /// Writes the record, provided that the lease is still as it was read.
    async fn replace(&self, mut lease: Lease, record: LeaseSpec) -> Result<(), CallError> {
        lease.spec = Some(record);
        lease.metadata.managed_fields = None;
        let (api, params) = (self.api(), PostParams::default());
        let call = api.replace(&self.lease.name, &params, &lease);
        quietly_about("Lease", Verb::Update, &self.lease.namespace, call).await.map(|_| ())
    }

    fn api(&self) -> Api<Lease> {
        self.kubernetes.leases(&self.lease.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_named_by_its_namespace_and_name() {
        assert!(LeaseName::parse("tresor/sync").is_ok());
        for text in ["", "sync", "/sync", "tresor/", "a/b/c", "kube-system/sync", "t/Sync"] {
            assert!(LeaseName::parse(text).is_err(), "{text}");
        }
    }
}
