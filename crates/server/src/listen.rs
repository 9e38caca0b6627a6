//! The listener: accepts, limits, serves HTTP/1.1 and HTTP/2, and drains.

use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::{Problem, ProblemKind};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http::Method;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use crate::App;
use crate::audit::record;
use crate::caller::Peer;
use crate::metrics::Metrics;
use crate::native::{metrics_routes, routes};
use crate::surface::say;

/// How many connections the operator's socket serves at once.
const OPERATOR_CONNECTIONS: usize = 16;
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
        let connections = Arc::new(Semaphore::new(METRICS_REQUESTS));
        let gate = Gate::new(app.clone(), METRICS_REQUESTS);
        let router = metrics_routes(app).layer(from_fn_with_state(gate, admit));
        self.accept_until(router, connections, stop).await;
    }

    /// Serves until `stop` completes; then accepts nothing more and lets requests in flight finish.
    pub async fn serve(self, app: App, stop: impl Future<Output = ()>) {
        let connections = Arc::new(Semaphore::new(app.limits().connections));
        let hub = app.hub().clone();
        tokio::spawn(hub.clone().keep_up(app.shared_vault()));
        let router = whole_router(app);
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
        let (stopping, stopped) = watch::channel(());
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = accept(&self.0, &connections) => accepted,
                () = &mut stop => break,
            };
            let Some((stream, address, slot)) = accepted else { continue };
            let service = from_peer(router.clone(), Peer::Network(address.ip().to_canonical()));
            let watcher = graceful.watcher();
            let mut stopped = stopped.clone();
            tokio::spawn(async move {
                let spoken = tokio::time::timeout(HEADER_TIMEOUT, protocol(&stream));
                let spoken = tokio::select! {
                    spoken = spoken => spoken,
                    // Who has said nothing yet has nothing in flight.
                    _ = stopped.changed() => return,
                };
                let builder = match spoken {
                    Ok(Ok(Protocol::Http1)) => builder().http1_only(),
                    Ok(Ok(Protocol::Http2)) => builder().http2_only(),
                    Ok(Err(_)) | Err(_) => return,
                };
                let connection = builder.serve_connection(with_timeout(stream), service);
                // A connection that breaks is the client's affair; its requests are logged.
                let _ = watcher.watch(connection.into_owned()).await;
                drop(slot);
            });
        }
        drop((self.0, stopping));
        if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still in flight when the time to drain ended");
        }
    }
}

/// All routes, behind all that comes before them. That is one layer: each more costs every request
/// several allocations.
fn whole_router(app: App) -> Router {
    let gate = Gate::new(app.clone(), app.limits().requests);
    routes(app).layer(from_fn_with_state(gate, front))
}

/// What comes before every route: it is counted, waits for its turn, and is written down.
async fn front(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let served = Served::begin(&request);
    let app = &gate.app;
    let response = gate.limit(request, |request| record(app.clone(), request, next)).await;
    served.end(app.metrics(), &response);
    response
}

/// The gate alone.
async fn admit(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    gate.limit(request, |request| next.run(request)).await
}

/// The service of one connection: each of its requests knows the other side.
fn from_peer(
    router: Router,
    peer: Peer,
) -> impl hyper::service::Service<
    http::Request<Incoming>,
    Response = Response,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + Clone
+ Send
+ 'static {
    let router = router.map_request(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request
    });
    TowerToHyperService::new(router)
}

fn with_timeout<S: AsyncRead + AsyncWrite>(stream: S) -> TokioIo<Pin<Box<TimeoutStream<S>>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    TokioIo::new(Box::pin(stream))
}

/// The operator's socket: who may open it is the daemon's own user or root, and may do everything.
pub struct OperatorSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl OperatorSocket {
    /// Makes the socket, mode 0600; one that an earlier daemon left is replaced, since whoever calls
    /// this holds the lock of the data directory.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn bind(path: PathBuf) -> std::io::Result<Self> {
        match std::fs::symlink_metadata(&path) {
            // Anything else that has the name is somebody's file, and binding refuses it.
            Ok(there) if there.file_type().is_socket() => std::fs::remove_file(&path)?,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Serves until `stop` completes, and removes the socket.
    pub async fn serve(self, app: App, stop: impl Future<Output = ()>) {
        let router = whole_router(app);
        let connections = Arc::new(Semaphore::new(OPERATOR_CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let own = rustix::process::geteuid().as_raw();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&connections) => accepted,
                () = &mut stop => break,
            };
            let Some((stream, slot)) = accepted else { continue };
            // The mode keeps others out already; this also holds where it was changed.
            let uid = stream.peer_cred().map(|peer| peer.uid());
            if !uid.is_ok_and(|uid| uid == own || uid == 0) {
                tracing::warn!("someone else's connection to the operator's socket was closed");
                continue;
            }
            let service = from_peer(router.clone(), Peer::Operator);
            let watcher = graceful.watcher();
            tokio::spawn(async move {
                let builder = builder().http1_only();
                let connection = builder.serve_connection(with_timeout(stream), service);
                let _ = watcher.watch(connection.into_owned()).await;
                drop(slot);
            });
        }
        // It is of no use without a daemon; the next one replaces it in any case.
        let _ = std::fs::remove_file(&self.path);
        drop(self.listener);
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await;
    }

    async fn accept(&self, connections: &Arc<Semaphore>) -> Option<(UnixStream, Slot)> {
        let slot = connections.clone().acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, slot)),
            Err(error) => {
                tracing::warn!(%error, "a connection to the operator's socket was not accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
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

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, Slot)> {
    let slot = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            // Answers are small and should not wait for more to come.
            let _ = stream.set_nodelay(true);
            Some((stream, address, slot))
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

/// Bounds how many requests are in the house at once, each with a body of up to 2 MiB.
#[derive(Clone)]
struct Gate {
    app: App,
    slots: Arc<Semaphore>,
}

impl Gate {
    fn new(app: App, requests: usize) -> Self {
        Self { app, slots: Arc::new(Semaphore::new(requests)) }
    }

    /// Has a request served when it is its turn. What comes when the house is full waits a moment, and is
    /// then asked to come again. Probes do not wait: a full house is no reason to be restarted.
    async fn limit<F: Future<Output = Response>>(
        &self,
        request: Request,
        serve: impl FnOnce(Request) -> F,
    ) -> Response {
        if matches!(request.uri().path(), "/healthz" | "/readyz" | "/metrics") {
            return serve(request).await;
        }
        match tokio::time::timeout(QUEUE_TIMEOUT, self.slots.acquire()).await {
            Ok(Ok(_slot)) => serve(request).await,
            _ => {
                let detail = "The daemon has more requests than it can hold. Try again.";
                say(&self.app, request.uri().path(), Problem::new(ProblemKind::Busy, detail))
            }
        }
    }
}

/// A request that is being served, for the metrics and the log.
struct Served {
    started: Instant,
    method: &'static str,
    /// The route's pattern, never the path, which a caller may have put a value in.
    route: Option<MatchedPath>,
}

impl Served {
    fn begin(request: &Request) -> Self {
        let method = known_method(request.method());
        let route = request.extensions().get::<MatchedPath>().cloned();
        Self { started: Instant::now(), method, route }
    }

    /// Counts it, and writes one line.
    fn end(self, metrics: &Metrics, response: &Response) {
        let route = self.route.as_ref().map_or("none", MatchedPath::as_str);
        let (status, took) = (response.status().as_u16(), self.started.elapsed());
        metrics.served(self.method, route, status, took);
        tracing::info!(
            http.method = self.method,
            http.route = route,
            http.status = status,
            duration_ms = took.as_secs_f64() * 1000.0,
            "request served"
        );
    }
}

#[cfg(test)]
mod tests {
    //! On paused time, which jumps on as soon as everyone waits: what takes ten seconds takes none.

    use std::net::Ipv4Addr;

    use axum::body::Body;
    use axum::routing::get;
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;
    use tokio::task::JoinHandle;

    use super::*;

    /// More than all socket buffers on the way hold.
    const LARGE: usize = 64 << 20;

    struct Serving {
        address: SocketAddr,
        connections: Arc<Semaphore>,
        stop: oneshot::Sender<()>,
        running: JoinHandle<()>,
    }

    async fn serve() -> Serving {
        let large = || async { Body::from(Bytes::from(vec![0; LARGE])) };
        let silent = || async {
            Body::from_stream(futures::stream::pending::<Result<Bytes, std::convert::Infallible>>())
        };
        let router = Router::new().route("/large", get(large)).route("/silent", get(silent));
        let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), false).await.unwrap();
        // One for the connection, and one that the listener holds ready for the next.
        let (address, connections) = (listener.address().unwrap(), Arc::new(Semaphore::new(2)));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move { drop(stopped.await) };
        let running = tokio::spawn(listener.accept_until(router, connections.clone(), stopped));
        Serving { address, connections, stop, running }
    }

    async fn ask(address: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: tresor.test\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        // The answer has begun.
        stream.read_exact(&mut [0]).await.unwrap();
        stream
    }

    #[tokio::test]
    async fn a_socket_takes_the_place_of_a_socket_and_of_nothing_else() {
        let dir = std::env::temp_dir().join(format!("tresor-socket-{}", std::process::id()));
        std::fs::create_dir(&dir).unwrap();
        let path = dir.join("s");
        drop(OperatorSocket::bind(path.clone()).unwrap());
        drop(OperatorSocket::bind(path.clone()).unwrap());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "somebody's").unwrap();
        assert!(OperatorSocket::bind(path.clone()).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's");
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_does_not_wait_for_who_has_said_nothing() {
        let Serving { address, connections, stop, running } = serve().await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        while connections.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let begun = tokio::time::Instant::now();
        stop.send(()).unwrap();
        running.await.unwrap();
        assert!(begun.elapsed() < HEADER_TIMEOUT, "{:?}", begun.elapsed());
        assert_eq!(silent.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_an_answer_gives_up_the_connection() {
        let serving = serve().await;
        let begun = tokio::time::Instant::now();
        let _unread = ask(serving.address, "/large").await;
        let slot = tokio::time::timeout(2 * WRITE_TIMEOUT, serving.connections.acquire()).await;
        assert!(slot.is_ok(), "the connection is still served");
        assert!(begun.elapsed() >= WRITE_TIMEOUT, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_with_nothing_to_send_goes_on() {
        let serving = serve().await;
        let mut quiet = ask(serving.address, "/silent").await;
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(10 * WRITE_TIMEOUT, quiet.read_to_end(&mut rest)).await;
        assert!(ended.is_err(), "{}", String::from_utf8_lossy(&rest));
    }
}
