//! The listener: accepts, limits, serves HTTP/1.1 and HTTP/2, and drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Problem, ProblemKind};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::Method;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

use crate::App;
use crate::answer::Failure;
use crate::metrics::Metrics;
use crate::native::{metrics_routes, routes};

/// How long a request's header may take to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADER_BYTES: usize = 32 << 10;
/// How long a request waits for its turn.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
/// How many requests for metrics are served at once on an address of their own.
const METRICS_REQUESTS: usize = 16;
/// How long a client may take no bytes of an answer before its connection is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests in flight may take to finish once the daemon stops.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Why the daemon cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address would carry values in the clear beyond this machine.
    #[error(
        "{address} is not a loopback address, and plain HTTP would carry values in the clear; listen on 127.0.0.1 behind a TLS proxy, or say --insecure-plain-http"
    )]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system refused the address.
    #[error("cannot listen on {address}")]
    Refused {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// A bound listener.
pub struct Listener(TcpListener);

impl Listener {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is not a loopback one and `insecure_plain_http` does not say that it may
    /// be, or the system refuses it.
    pub async fn bind(address: SocketAddr, insecure_plain_http: bool) -> Result<Self, ListenError> {
        if !address.ip().is_loopback() && !insecure_plain_http {
            return Err(ListenError::NotLoopback { address });
        }
        let bound = TcpListener::bind(address).await;
        bound.map(Self).map_err(|source| ListenError::Refused { address, source })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// When the system cannot say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves the metrics and nothing else until `stop` completes.
    pub async fn serve_metrics(self, app: App, stop: impl Future<Output = ()>) {
        let slots = Arc::new(Semaphore::new(METRICS_REQUESTS));
        let connections = Arc::new(Semaphore::new(METRICS_REQUESTS));
        let router = metrics_routes(app).layer(from_fn_with_state(slots, limit));
        self.accept_until(router, connections, stop).await;
    }

    /// Serves until `stop` completes; then accepts nothing more and lets requests in flight finish.
    pub async fn serve(self, app: App, stop: impl Future<Output = ()>) {
        let slots = Arc::new(Semaphore::new(app.limits().requests));
        let connections = Arc::new(Semaphore::new(app.limits().connections));
        let hub = app.hub().clone();
        tokio::spawn(hub.clone().keep_up(app.shared_vault()));
        let metrics = app.metrics().clone();
        let router = routes(app);
        let router = router.layer(from_fn_with_state(slots, limit));
        let router = router.layer(from_fn_with_state(metrics, log));
        let stop = async {
            stop.await;
            // Watches last as long as they may; the others finish by themselves.
            hub.close();
        };
        self.accept_until(router, connections, stop).await;
    }

    async fn accept_until(
        self,
        router: Router,
        connections: Arc<Semaphore>,
        stop: impl Future<Output = ()>,
    ) {
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.0, &connections) => accepted,
                () = &mut stop => break,
            };
            let Some((stream, slot)) = accepted else { continue };
            let service = TowerToHyperService::new(router.clone());
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let spoken = tokio::time::timeout(HEADER_TIMEOUT, protocol(&stream)).await;
                let builder = match spoken {
                    Ok(Ok(Protocol::Http1)) => builder().http1_only(),
                    Ok(Ok(Protocol::Http2)) => builder().http2_only(),
                    Ok(Err(_)) | Err(_) => return,
                };
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(WRITE_TIMEOUT));
                let stream = TokioIo::new(Box::pin(stream));
                let connection = builder.serve_connection(stream, service);
                // A connection that breaks is the client's affair; its requests are logged.
                let _ = watcher.watch(connection.into_owned()).await;
                drop(slot);
            });
        }
        drop(self.0);
        if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still in flight when the time to drain ended");
        }
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .max_concurrent_streams(128)
        .max_header_list_size(MAX_HEADER_BYTES as u32);
    builder
}

enum Protocol {
    Http1,
    Http2,
}

/// What a client begins to speak. Looked at here, because the library's own look has no time-out,
/// and silent connections would fill the house.
async fn protocol(stream: &TcpStream) -> std::io::Result<Protocol> {
    /// RFC 9113 section 3.4.
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        let begun = seen.get(..count).unwrap_or_default();
        match begun {
            [] => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ if !PREFACE.starts_with(begun) => return Ok(Protocol::Http1),
            _ if count == PREFACE.len() => return Ok(Protocol::Http2),
            // `peek` answers at once while there is something; the rest may be on its way.
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

type Slot = tokio::sync::OwnedSemaphorePermit;

async fn accept(listener: &TcpListener, connections: &Arc<Semaphore>) -> Option<(TcpStream, Slot)> {
    let slot = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are small and should not wait for more to come.
            let _ = stream.set_nodelay(true);
            Some((stream, slot))
        }
        Err(error) => {
            // Most likely out of descriptors: wait for some to come back rather than spin.
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

/// The standard methods by name; a caller may have made one up, with anything in it.
fn known_method(method: &Method) -> &'static str {
    let known = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}

/// Bounds how many requests are in the house at once, each with a body of up to 2 MiB. The others
/// wait a moment, and are then asked to come again. Probes do not wait: a full house is no reason
/// to be restarted.
async fn limit(State(slots): State<Arc<Semaphore>>, request: Request, next: Next) -> Response {
    if matches!(request.uri().path(), "/healthz" | "/readyz" | "/metrics") {
        return next.run(request).await;
    }
    match tokio::time::timeout(QUEUE_TIMEOUT, slots.acquire()).await {
        Ok(Ok(_slot)) => next.run(request).await,
        _ => {
            let detail = "The daemon has more requests than it can hold. Try again.";
            Failure(Problem::new(ProblemKind::Busy, detail)).into_response()
        }
    }
}

/// One line a request: the route's pattern, never the path, which a caller may have put a value in.
async fn log(State(metrics): State<Arc<Metrics>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = known_method(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let (status, took) = (response.status().as_u16(), started.elapsed());
    metrics.served(method, route, status, took);
    tracing::info!(
        http.method = method,
        http.route = route,
        http.status = status,
        duration_ms = took.as_secs_f64() * 1000.0,
        "request served"
    );
    response
}
