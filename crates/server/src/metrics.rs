//! What Prometheus is told: counts and times, by route pattern. Never a name, a path or a value.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::RwLock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use vault::{Vault, Witness};

use crate::hub::Hub;

/// The media type of the OpenMetrics text format, version 1.0.0.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// All metrics of the daemon.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels<3>, Counter>,
    durations: Family<Labels<2>, Histogram, fn() -> Histogram>,
    /// What has been counted so far, by route: a family would want its labels made for every request.
    counted: RwLock<HashMap<String, Vec<Counted>>>,
}

/// The requests of one method to one route that were answered with one status.
struct Counted {
    method: &'static str,
    status: u16,
    requests: Counter,
    durations: Histogram,
}

impl Counted {
    fn count(&self, took: Duration) {
        self.requests.inc();
        self.durations.observe(took.as_secs_f64());
    }
}

impl Metrics {
    /// The server's own metrics, and those of others in the house.
    pub(crate) fn new(vault: Arc<Vault>, hub: Arc<Hub>, others: Vec<Box<dyn Collector>>) -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        let durations = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register("tresor_http_requests", "Requests served", requests.clone());
        registry.register(
            "tresor_http_request_duration_seconds",
            "Time from a request's header to its answer's header",
            durations.clone(),
        );
        registry.register_collector(Box::new(House { vault, hub }));
        for collector in others {
            registry.register_collector(collector);
        }
        Self { registry, requests, durations, counted: RwLock::default() }
    }

    /// Counts a request.
    pub(crate) fn served(&self, method: &'static str, route: &str, status: u16, took: Duration) {
        let is_it = |counted: &&Counted| counted.method == method && counted.status == status;
        if let Some(all) = self.counted.read().get(route)
            && let Some(counted) = all.iter().find(is_it)
        {
            return counted.count(took);
        }
        let labels = [("method", method.into()), ("route", route.to_owned().into())];
        let durations = self.durations.get_or_create(&labels).clone();
        let [method_label, route_label] = labels;
        let labels = [method_label, route_label, ("status", status.to_string().into())];
        let requests = self.requests.get_or_create(&labels).clone();
        let counted = Counted { method, status, requests, durations };
        counted.count(took);
        let mut all = self.counted.write();
        let of_route = all.entry(route.to_owned()).or_default();
        // Another may have been as fast; both count in the same places.
        if !of_route.iter().any(|one| is_it(&one)) {
            of_route.push(counted);
        }
    }

    /// All of them as text.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// From a quarter of a millisecond to the time that a request may wait for its turn.
fn histogram() -> Histogram {
    Histogram::new([0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 5.0])
}

/// What store and watches say of themselves.
struct House {
    vault: Arc<Vault>,
    hub: Arc<Hub>,
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("House")
    }
}

impl Collector for House {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let info = ConstGauge::new(1i64);
        let mut family =
            out.encode_descriptor("tresor_build_info", "The release", None, info.metric_type())?;
        info.encode(family.encode_family(&version)?)?;
        let writable = i64::from(self.vault.failure().is_none());
        gauge(&mut out, "tresor_store_writable", "Whether the store takes writes", writable)?;
        let revision = self.vault.resource_version().revision().get();
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        gauge(&mut out, "tresor_store_revision", "Commits since the store was made", revision)?;
        self.rollback(&mut out)?;
        let uses = i64::try_from(self.vault.key_uses()).unwrap_or(i64::MAX);
        gauge(&mut out, "tresor_key_uses", "Uses of the current encryption keys", uses)?;
        let left = i64::try_from(self.vault.rotation_left()).unwrap_or(i64::MAX);
        let about = "Records that a change of keys has still to rewrite";
        gauge(&mut out, "tresor_key_rotation_records_left", about, left)?;
        let open = i64::try_from(self.hub.open()).unwrap_or(i64::MAX);
        gauge(&mut out, "tresor_watches_open", "Open watches", open)?;
        let cut_off = self.hub.cut_off.load(Ordering::Relaxed);
        let about = "Watches that were cut off because their client did not read";
        counter(&mut out, "tresor_watches_cut_off", about, cut_off)?;
        let lines = self.hub.lines.load(Ordering::Relaxed);
        counter(&mut out, "tresor_watch_lines", "Changes sent to watchers", lines)
    }
}

impl House {
    /// One for each kind of witness, so that an alert can rest on those that it believes.
    fn rollback(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let about = "Whether somebody outside has seen a later state of the store";
        let kind = ConstGauge::new(0i64).metric_type();
        let name = "tresor_store_rollback_suspected";
        let mut family = out.encode_descriptor(name, about, None, kind)?;
        let suspected = self.vault.rollback();
        for witness in Witness::ALL {
            let is_one = suspected.iter().any(|found| found.witness == witness);
            let gauge = ConstGauge::new(i64::from(is_one));
            gauge.encode(family.encode_family(&[("witness", witness.as_str())])?)?;
        }
        Ok(())
    }
}

/// Writes one gauge.
fn gauge(out: &mut DescriptorEncoder<'_>, name: &str, about: &str, value: i64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(out.encode_descriptor(name, about, None, gauge.metric_type())?)
}

fn counter(out: &mut DescriptorEncoder<'_>, name: &str, about: &str, value: u64) -> fmt::Result {
    let counter = ConstCounter::new(value);
    counter.encode(out.encode_descriptor(name, about, None, counter.metric_type())?)
}
