//! Requests over the operator's socket: one connection each.

use std::path::Path;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

type Failed = Box<dyn std::error::Error + Send + Sync>;

pub(crate) async fn send(
    socket: &Path,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Failed> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the answer's body; what it meets before that is what the answer fails with.
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}
