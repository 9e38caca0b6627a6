//! Limits on what a client may send, and how the daemon ends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Connection, JSON, opaque, request, secret, secrets};
use crate::harness::{Daemon, Home, fresh, run, wait_until};

#[test]
fn a_header_that_trickles_in_is_cut_off() {
    let fresh = fresh();
    let mut stream = TcpStream::connect(fresh.daemon.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nX-Slow: ").unwrap();
    let started = Instant::now();
    // Each byte is in time; the whole header is not.
    loop {
        assert!(started.elapsed() < Duration::from_secs(60), "it is still being listened to");
        if stream.write_all(b"x").is_err() {
            break;
        }
        let mut answer = [0; 4096];
        match stream.read(&mut answer) {
            Ok(0) => break,
            Ok(count) => assert!(answer[..count].starts_with(b"HTTP/1.1 408")),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    fresh.daemon.anonymous().get("/healthz").expect(200);
}

#[test]
fn who_connects_and_says_nothing_is_cut_off() {
    let fresh = fresh();
    // The last is what HTTP/2 begins with: until it is whole, nobody knows what will be spoken.
    let silent = [&b""[..], b"GET", b"PRI * HTT"].map(|first| {
        let mut stream = TcpStream::connect(fresh.daemon.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(first).unwrap();
        (first, stream)
    });
    for (first, mut stream) in silent {
        let ended = stream.read_to_end(&mut Vec::new());
        // Closed with bytes unread, the connection is reset instead of ended.
        let closed = ended.is_ok()
            || ended.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(closed, "after {:?}: {ended:?}", String::from_utf8_lossy(first));
    }
}

#[test]
fn a_body_over_the_limit_is_refused_however_it_is_framed() {
    let fresh = fresh();
    let before = fresh.admin.get(&secrets("ml")).expect(200).text();
    let authorization = fresh.admin.authorization();
    let target = secret("ml", "big");
    let headers = [JSON[0], ("Authorization", authorization.as_str())];

    let mut announced = Connection::open(fresh.daemon.address).unwrap();
    let mut head = request("PUT", &target, &headers, b"");
    let lines = head.len() - 2;
    head.splice(lines.., *b"Content-Length: 1099511627776\r\n\r\n");
    announced.send(&head).unwrap();
    let sender = send_until_refused(&announced, vec![b' '; 64 << 10]);
    announced.receive().unwrap().problem(413, "payload-too-large");
    assert!(announced.is_closed(), "the rest of the body is no request");
    sender.join().unwrap();

    let mut chunked = Connection::open(fresh.daemon.address).unwrap();
    let headers = [headers[0], headers[1], ("Transfer-Encoding", "chunked")];
    chunked.send(&request("PUT", &target, &headers, b"")).unwrap();
    let chunk = [b"10000\r\n".as_slice(), &vec![b' '; 64 << 10], b"\r\n"].concat();
    let sender = send_until_refused(&chunked, chunk);
    chunked.receive().unwrap().problem(413, "payload-too-large");
    assert!(chunked.is_closed());
    sender.join().unwrap();
    assert_eq!(fresh.admin.get(&secrets("ml")).expect(200).text(), before);
}

/// Sends the same bytes, up to 16 MiB, until the other side has had enough.
fn send_until_refused(connection: &Connection, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    let mut stream = connection.stream().try_clone().unwrap();
    thread::spawn(move || {
        for _ in 0..256 {
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_content_length_that_lies_stores_nothing() {
    let fresh = fresh();
    let before = fresh.admin.get(&secrets("ml")).expect(200).text();
    let authorization = fresh.admin.authorization();
    let headers = [JSON[0], ("Authorization", authorization.as_str())];
    let target = secret("ml", "lie");
    let body = opaque("value").to_string();
    let honest = request("PUT", &target, &headers, body.as_bytes());
    let claim = |length: String| {
        let text = String::from_utf8(honest.clone()).unwrap();
        text.replace(&format!("Content-Length: {}", body.len()), &length).into_bytes()
    };
    let exchange = |bytes: Vec<u8>| {
        let mut connection = Connection::open(fresh.daemon.address).unwrap();
        connection.send(&bytes).unwrap();
        connection.stream().shutdown(Shutdown::Write).unwrap();
        connection.receive().map(|answer| answer.status)
    };
    let shorter = exchange(claim(format!("Content-Length: {}", body.len() - 1)));
    assert_eq!(shorter.unwrap(), 400);
    // Whether a client that hung up is told so does not matter.
    for longer in [
        format!("Content-Length: {}", body.len() + 1),
        format!("Content-Length: {0}\r\nContent-Length: {1}", body.len(), body.len() + 1),
        format!("Content-Length: -{}", body.len()),
        format!("Content-Length: +{}", body.len()),
        format!("Content-Length: 0x{:x}", body.len()),
        "Transfer-Encoding: chunked, identity".to_owned(),
    ] {
        let status = exchange(claim(longer.clone()));
        assert!(matches!(status, Err(_) | Ok(400)), "{longer}: {status:?}");
    }
    assert_eq!(fresh.admin.get(&secrets("ml")).expect(200).text(), before);
}

#[test]
fn a_header_over_the_limit_is_refused() {
    let fresh = fresh();
    let large = "x".repeat(256 << 10);
    let mut connection = Connection::open(fresh.daemon.address).unwrap();
    // The daemon may hang up before it has heard all of it.
    let _ = connection.send(&request("GET", "/healthz", &[("X-Large", &large)], b""));
    assert!(matches!(connection.receive().map(|answer| answer.status), Err(_) | Ok(431)));
    let many: Vec<_> = (0..500).map(|_| ("X-Many", "x")).collect();
    let mut connection = Connection::open(fresh.daemon.address).unwrap();
    connection.send(&request("GET", "/healthz", &many, b"")).unwrap();
    assert!(matches!(connection.receive().map(|answer| answer.status), Err(_) | Ok(431)));
    fresh.daemon.anonymous().get("/healthz").expect(200);
}

#[test]
fn http2_is_spoken_with_prior_knowledge() {
    let fresh = fresh();
    let mut connection = Connection::open(fresh.daemon.address).unwrap();
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    connection.send(&frame(SETTINGS, 0, 0, b"")).unwrap();
    // RFC 7541: indexed :method GET and :scheme http, literal :path and authorization.
    let authorization = fresh.admin.authorization();
    let mut block = vec![0x82, 0x86];
    for (index, text) in [(4, crate::client::WHOAMI), (1, "tresor.test")] {
        block.extend([index, u8::try_from(text.len()).unwrap()]);
        block.extend(text.as_bytes());
    }
    // Never indexed, name 23 of the static table in the 4-bit prefix form.
    block.extend([0x1f, 23 - 15, u8::try_from(authorization.len()).unwrap()]);
    block.extend(authorization.as_bytes());
    connection.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)).unwrap();
    let (mut status, mut body) = (None, Vec::new());
    loop {
        let (kind, flags, stream, payload) = read_frame(&mut connection);
        match (kind, stream) {
            (HEADERS, 1) => status = payload.first().copied(),
            (DATA, 1) => body.extend(payload),
            _ => {}
        }
        if stream == 1 && flags & END_STREAM != 0 {
            break;
        }
    }
    assert_eq!(status, Some(0x88), "indexed :status 200");
    let me: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(me["rights"], json!([{ "role": "admin" }]));
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// One frame, RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn read_frame(connection: &mut Connection) -> (u8, u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    connection.read_exact(&mut head).unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
    let mut payload = vec![0; usize::try_from(length).unwrap()];
    connection.read_exact(&mut payload).unwrap();
    (head[3], head[4], stream, payload)
}

#[test]
fn a_request_in_flight_is_answered_before_the_daemon_ends() {
    let fresh = fresh();
    let authorization = fresh.admin.authorization();
    let headers = [JSON[0], ("Authorization", authorization.as_str())];
    let body = opaque("in flight").to_string();
    let bytes = request("PUT", &secret("ml", "late"), &headers, body.as_bytes());
    let (first, rest) = bytes.split_at(bytes.len() - 5);
    let mut in_flight = Connection::open(fresh.daemon.address).unwrap();
    in_flight.send(first).unwrap();
    let mut idle = Connection::open(fresh.daemon.address).unwrap();
    idle.send(&request("GET", "/healthz", &[], b"")).unwrap();
    idle.receive().unwrap().expect(200);
    // The other request, sent later, was answered: this one has been taken up too.
    thread::sleep(Duration::from_millis(100));
    fresh.daemon.terminate();
    assert!(idle.is_closed(), "an idle connection is closed");
    let address = fresh.daemon.address;
    wait_until("new connections are refused", || TcpStream::connect(address).is_err());
    in_flight.send(rest).unwrap();
    in_flight.receive().unwrap().expect(201);
    let ended = fresh.daemon.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let daemon = Daemon::start(&mut fresh.home.serve());
    let token = authorization.strip_prefix("Bearer ").unwrap();
    assert_eq!(daemon.actor(token).value(&secret("ml", "late")), "in flight");
}

#[test]
fn plain_http_beyond_loopback_needs_to_be_asked_for_in_so_many_words() {
    let home = Home::empty();
    home.init();
    for address in ["0.0.0.0:0", "[::]:0"] {
        let refused = run(home.command("serve").args(["--listen", address]));
        assert!(matches!(refused.code, Some(1 | 2)), "{refused:?}");
        let line = refused.one_error_line(refused.code.unwrap());
        assert!(line.contains("--insecure-plain-http"), "{line}");
    }
    let mut asked = home.command("serve");
    let daemon = Daemon::start(asked.args(["--listen", "0.0.0.0:0", "--insecure-plain-http"]));
    daemon.stop();
}
