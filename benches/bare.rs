//! The least that a read over HTTP costs: hyper answers every request with the same bytes, whoever asks and
//! whatever for, and there is no store. `bare FILE` takes the answer from a file as `curl -i` writes it.

use std::convert::Infallible;
use std::future::ready;
use std::io::Write;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() {
    let path = std::env::args().nth(1).expect("usage: bare FILE");
    let answer = parse(&std::fs::read_to_string(path).expect("the file can be read"));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    writeln!(std::io::stdout(), "serving http://{address}").expect("somebody reads it");
    loop {
        let (stream, _) = listener.accept().await.expect("a connection is accepted");
        stream.set_nodelay(true).expect("it is TCP");
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(|_| ready(Ok::<_, Infallible>(answer.clone())));
            // A connection that breaks is the client's affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An answer with the headers and the body of another one.
fn parse(text: &str) -> Response<Full<Bytes>> {
    let (head, body) = text.split_once("\r\n\r\n").expect("a head, and a body behind it");
    let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    headers
        // hyper sets this one itself, as it does in Tresor.
        .filter(|(name, _)| !name.eq_ignore_ascii_case("date"))
        .fold(Response::builder(), |answer, (name, value)| answer.header(name, value))
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("these are headers")
}
