//! HTTP/1.1 as bare as it can be, on one connection that is kept: whoever measures takes little of the
//! machine from what is measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// One connection to the daemon.
pub struct Wire {
    stream: BufReader<TcpStream>,
    authorization: String,
    request: Vec<u8>,
    line: String,
}

impl Wire {
    /// Connects, and signs each request with a token.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn open(address: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the daemon listens");
        stream.set_nodelay(true).expect("TCP has it");
        Self {
            stream: BufReader::with_capacity(64 << 10, stream),
            authorization: format!("host: {address}\r\nauthorization: Bearer {token}"),
            request: Vec::new(),
            line: String::new(),
        }
    }

    /// Sends a request, and returns the body of its answer.
    ///
    /// # Panics
    /// When it is refused, or the connection breaks off.
    pub fn call(&mut self, method: &str, path: &str, body: &str) -> String {
        self.request.clear();
        let (signed, length) = (&self.authorization, body.len());
        write!(
            self.request,
            "{method} {path} HTTP/1.1\r\n{signed}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .expect("memory takes all");
        self.stream.get_mut().write_all(&self.request).expect("the daemon reads");
        let succeeded = self.next_line().starts_with("HTTP/1.1 2");
        let mut length = 0;
        while let (name, Some(value)) = split_header(self.next_line()) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().expect("a length is a number");
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).expect("an answer is whole");
        let answer = String::from_utf8(answer).expect("the daemon answers text");
        assert!(succeeded, "{method} {path}: {answer}");
        answer
    }

    fn next_line(&mut self) -> &str {
        self.line.clear();
        self.stream.read_line(&mut self.line).expect("the daemon answers");
        self.line.trim_end()
    }
}

fn split_header(line: &str) -> (&str, Option<&str>) {
    match line.split_once(": ") {
        Some((name, value)) => (name, Some(value)),
        None => (line, None),
    }
}

/// The lines of a watch, until it ends. It is asked for in HTTP/1.0, whose answers have no chunks that
/// would have to be taken out first.
pub struct Lines(BufReader<TcpStream>);

impl Lines {
    /// Begins a watch; it stands when this returns.
    ///
    /// # Panics
    /// When it is refused.
    pub fn open(address: &str, token: &str, path: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the daemon listens");
        // The head must not bring lines into the buffer that `into_stream` would lose.
        let mut stream = BufReader::with_capacity(1, stream);
        let request = format!(
            "GET {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.get_mut().write_all(request.as_bytes()).expect("the daemon reads");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = stream.read_line(&mut head).expect("the daemon answers");
            assert!(read > 0, "a watch ends before it begins: {head}");
        }
        assert!(head.split_whitespace().nth(1) == Some("200"), "{head}");
        Self(BufReader::new(stream.into_inner()))
    }

    /// The connection, from which nothing but the head was read.
    ///
    /// # Panics
    /// When a line was taken already.
    pub fn into_stream(self) -> TcpStream {
        assert!(self.0.buffer().is_empty(), "lines were read ahead");
        self.0.into_inner()
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).ok()?;
        (read > 0).then_some(line)
    }
}
