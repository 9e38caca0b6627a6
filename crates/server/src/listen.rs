//! The listener: accepts, limits, serves HTTP/1.1 and HTTP/2, and drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::App;
use crate::native::routes;

/// How many connections are served at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 1024;
/// How long a request's header may take to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HEADER_BYTES: usize = 32 << 10;
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

    /// Serves until `stop` completes; then accepts nothing more and lets requests in flight finish.
    pub async fn serve(self, app: App, stop: impl Future<Output = ()>) {
        let router = routes(app).layer(from_fn(log));
        let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.0, &connections) => accepted,
                () = &mut stop => break,
            };
            let Some((stream, slot)) = accepted else { continue };
            let builder = builder();
            let service = TowerToHyperService::new(router.clone());
            let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
            let watched = graceful.watch(connection);
            tokio::spawn(async move {
                // A connection that breaks is the client's affair; its requests are logged.
                let _ = watched.await;
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

/// One line a request: the route's pattern, never the path, which a caller may have put a value in.
async fn log(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    tracing::info!(
        http.method = %method,
        http.route = route.as_ref().map_or("none", MatchedPath::as_str),
        http.status = response.status().as_u16(),
        duration_ms = started.elapsed().as_secs_f64() * 1000.0,
        "request served"
    );
    response
}
