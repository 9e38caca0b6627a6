//! A blocking HTTP/1.1 client on a plain socket, small enough to send anything, and the actors
//! that use it: each has its own token and nobody else's powers.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// No answer takes this long unless something hangs.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Connections that idled are not reused: the daemon may be about to close them.
const REUSE_WITHIN: Duration = Duration::from_secs(4);

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// The problem document, which must be complete and of this status and type.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        let problem = self.json();
        assert_eq!(problem["type"], format!("urn:tresor:problem:{kind}"), "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem
    }

    /// The resource version in the metadata, which the `ETag` must repeat.
    #[track_caller]
    pub(crate) fn resource_version(&self) -> String {
        let version = self.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
        assert_eq!(self.header("etag"), Some(format!("\"{version}\"").as_str()));
        version
    }
}

/// One connection; it sends whatever bytes it is given.
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
    used: Instant,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { reader: BufReader::new(stream), used: Instant::now() })
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Reads exactly so many bytes, for protocols other than HTTP/1.1.
    pub(crate) fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.reader.read_exact(bytes)
    }

    /// Whether the other side closes without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        !matches!(self.reader.read(&mut [0]), Ok(1..))
    }

    pub(crate) fn receive(&mut self) -> io::Result<Answer> {
        let mut answer = self.head()?;
        if answer.header("content-type") == Some("application/octet-stream") {
            self.chunks(&mut answer.body)?;
            return Ok(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            let what = "answers that are no watch are never chunked";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        answer.body.resize(length.unwrap_or(0), 0);
        self.reader.read_exact(&mut answer.body)?;
        self.used = Instant::now();
        Ok(answer)
    }

    /// A download, to its last chunk.
    fn chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let size = self.line()?;
            let size = usize::from_str_radix(&size, 16).map_err(|_| io::ErrorKind::InvalidData)?;
            let at = body.len();
            body.resize(at + size, 0);
            self.reader.read_exact(&mut body[at..])?;
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn head(&mut self) -> io::Result<Answer> {
        head(&mut self.reader)
    }

    fn line(&mut self) -> io::Result<String> {
        line(&mut self.reader)
    }
}

/// An answer's status and headers, without its body.
fn head(reader: &mut impl BufRead) -> io::Result<Answer> {
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let status_line = line(reader)?;
    let status = status_line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| malformed(&status_line))?;
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| malformed(&line))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    Ok(Answer { status, headers, body: Vec::new() })
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

/// A watch that is open: its lines, one by one.
pub(crate) struct Watch {
    connection: Connection,
    pending: Vec<u8>,
    over: bool,
}

impl Watch {
    /// The next line; none when the watch has ended in order or was cut off.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Value> {
        let line = self.next_text()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}")))
    }

    /// The next line as it came.
    pub(crate) fn next_text(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.pending.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            if self.over || !self.chunk().unwrap_or(false) {
                self.over = true;
                return None;
            }
        }
    }

    /// The next line that is no bookmark.
    #[track_caller]
    pub(crate) fn next_change(&mut self) -> Option<Value> {
        loop {
            let line = self.next()?;
            if line["type"] != "BOOKMARK" {
                return Some(line);
            }
        }
    }

    /// All lines up to a bookmark, and the resource version of that.
    #[track_caller]
    pub(crate) fn until_bookmark(&mut self) -> (Vec<Value>, String) {
        let mut lines = Vec::new();
        loop {
            let line = self.next().expect("the watch ended before a bookmark");
            if line["type"] == "BOOKMARK" {
                return (lines, line_version(&line));
            }
            lines.push(line);
        }
    }

    /// Reads one chunk (RFC 9112, section 7.1); whether there was one.
    fn chunk(&mut self) -> io::Result<bool> {
        let size = self.connection.line()?;
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "not the size of a chunk");
        let size = usize::from_str_radix(&size, 16).map_err(|_| wrong())?;
        let mut bytes = vec![0; size];
        self.connection.read_exact(&mut bytes)?;
        self.connection.line()?;
        self.pending.extend(bytes);
        Ok(size > 0)
    }
}

/// The resource version in a watch's line.
#[track_caller]
pub(crate) fn line_version(line: &Value) -> String {
    line["object"]["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// The bytes of one request; a body gets its `Content-Length`.
pub(crate) fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Vec<u8> {
    let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: tresor.test\r\n");
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        bytes.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Someone with a token, or without one.
pub(crate) struct Actor {
    pub(crate) address: SocketAddr,
    token: Option<String>,
    connection: Mutex<Option<Connection>>,
}

impl Actor {
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: Some(token.to_owned()), connection: Mutex::default() }
    }

    pub(crate) fn anonymous(address: SocketAddr) -> Self {
        Self { address, token: None, connection: Mutex::default() }
    }

    /// Opens a watch on a path with a query.
    #[track_caller]
    pub(crate) fn watch(&self, path: &str) -> Watch {
        self.try_watch(path).unwrap_or_else(|refused| panic!("{path}: {}", refused.text()))
    }

    /// Opens a watch; the answer when it is refused.
    #[track_caller]
    pub(crate) fn try_watch(&self, path: &str) -> Result<Watch, Answer> {
        let mut connection = Connection::open(self.address).unwrap();
        let authorization = self.authorization();
        let headers = [("Authorization", authorization.as_str())];
        connection.send(&request("GET", path, &headers, b"")).unwrap();
        let mut answer = connection.head().unwrap();
        if answer.status != 200 {
            let length = answer.header("content-length").unwrap().parse().unwrap();
            answer.body.resize(length, 0);
            connection.read_exact(&mut answer.body).unwrap();
            return Err(answer);
        }
        assert_eq!(answer.header("content-type"), Some("application/jsonl"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        Ok(Watch { connection, pending: Vec::new(), over: false })
    }

    /// The same person on a connection of their own.
    pub(crate) fn again(&self) -> Self {
        Self { address: self.address, token: self.token.clone(), connection: Mutex::default() }
    }

    /// The header that a hand-made request carries.
    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token.as_deref().unwrap_or_default())
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn try_send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let authorization = self.authorization();
        let mut headers = headers.to_vec();
        if self.token.is_some() {
            headers.push(("Authorization", &authorization));
        }
        let mut slot = self.connection.lock().unwrap();
        let fresh = slot.take().filter(|connection| connection.used.elapsed() < REUSE_WITHIN);
        let mut connection = fresh.map_or_else(|| Connection::open(self.address), Ok)?;
        // A request that is refused early may not be taken to its end; the answer is there then.
        let sent = connection.send(&request(method, path, &headers, body));
        // The answer to HEAD says how long the body would be, and has none.
        let answer = if method == "HEAD" { connection.head() } else { connection.receive() };
        if answer.is_err() {
            sent?;
        }
        let answer = answer?;
        if answer.header("connection") != Some("close") {
            *slot = Some(connection);
        }
        Ok(answer)
    }

    #[track_caller]
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let answer = self.try_send(method, path, headers, body);
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"")
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, JSON, body.to_string().as_bytes())
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, JSON, body.to_string().as_bytes())
    }

    #[track_caller]
    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send("PATCH", path, MERGE_PATCH, body.to_string().as_bytes())
    }

    #[track_caller]
    pub(crate) fn make_project(&self, name: &str) {
        self.post(PROJECTS, &json!({ "metadata": { "name": name } })).expect(201);
    }

    /// Writes `{"value": value}`, whether the secret exists or not.
    pub(crate) fn try_put_value(&self, path: &str, value: &str) -> io::Result<Answer> {
        self.try_send("PUT", path, JSON, opaque(value).to_string().as_bytes())
    }

    /// The current value that `try_put_value` wrote.
    #[track_caller]
    pub(crate) fn value(&self, path: &str) -> String {
        decoded(&self.get(&format!("{path}/data")).expect(200).json()["data"]["value"])
    }

    /// Makes a token and hands it to a new actor.
    #[track_caller]
    pub(crate) fn make_actor(&self, role: &str, projects: &[&str]) -> Self {
        self.mint(&json!({ "rights": [right(role, projects)] })).0
    }

    /// Makes a user who has signed in: with [`PASSWORD`], and with a project of the same name.
    #[track_caller]
    pub(crate) fn make_user(&self, name: &str) -> Self {
        self.post(USERS, &json!({ "metadata": { "name": name }, "password": PASSWORD }))
            .expect(201);
        self.sign_in(name, PASSWORD)
    }

    /// Makes a machine account, and a token of it that its actor uses.
    #[track_caller]
    pub(crate) fn make_machine(&self, name: &str) -> Self {
        self.post(MACHINES, &json!({ "metadata": { "name": name } })).expect(201);
        self.mint(&json!({ "machineAccount": name })).0
    }

    /// Someone signs in, from where this actor is.
    #[track_caller]
    pub(crate) fn sign_in(&self, name: &str, password: &str) -> Self {
        let signed_in = self.try_sign_in(name, password).expect(201).json();
        Self::new(self.address, signed_in["token"].as_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn try_sign_in(&self, name: &str, password: &str) -> Answer {
        Self::anonymous(self.address)
            .post(LOGIN, &json!({ "username": name, "password": password }))
    }

    /// Gives someone a role in a project.
    #[track_caller]
    pub(crate) fn make_member(&self, project: &str, subject: &str, role: &str) {
        self.put(&member(project, subject), &json!({ "role": role })).expect(200);
    }

    /// Gives someone a role at a place; the identity of the grant.
    #[track_caller]
    pub(crate) fn give(&self, subject: &str, role: &str, uri: &str) -> String {
        let wanted = json!({ "subject": subject, "role": role, "uri": uri });
        let given = self.post(GRANTS, &wanted).expect(201).json();
        given["id"].as_str().unwrap().to_owned()
    }

    /// The token itself.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap_or_default()
    }

    /// Makes a token as asked: its actor and its identity.
    #[track_caller]
    pub(crate) fn mint(&self, wanted: &Value) -> (Self, String) {
        let minted = self.post(TOKENS, wanted).expect(201).json();
        let actor = Self::new(self.address, minted["token"].as_str().unwrap());
        (actor, minted["metadata"]["id"].as_str().unwrap().to_owned())
    }
}

/// Whoever may open the operator's socket. Each request has a connection of its own.
pub(crate) struct Operator {
    socket: PathBuf,
}

impl Operator {
    pub(crate) fn of(data_dir: &Path) -> Self {
        Self { socket: data_dir.join("operator.sock") }
    }

    #[track_caller]
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut headers = headers.to_vec();
        headers.push(("Connection", "close"));
        stream.write_all(&request(method, path, &headers, body)).unwrap();
        let mut reader = BufReader::new(stream);
        let mut answer = head(&mut reader).unwrap();
        reader.read_to_end(&mut answer.body).unwrap();
        answer
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, JSON, body.to_string().as_bytes())
    }
}

pub(crate) const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];
pub(crate) const MERGE_PATCH: &[(&str, &str)] = &[("Content-Type", "application/merge-patch+json")];
pub(crate) const PROJECTS: &str = "/tresor/v1/orgs/default/projects";
pub(crate) const TOKENS: &str = "/tresor/v1/tokens";
pub(crate) const WHOAMI: &str = "/tresor/v1/whoami";

pub(crate) const LOGIN: &str = "/tresor/v1/login";
pub(crate) const USERS: &str = "/tresor/v1/users";
pub(crate) const MACHINES: &str = "/tresor/v1/machine-accounts";
pub(crate) const GROUPS: &str = "/tresor/v1/groups";
pub(crate) const GRANTS: &str = "/tresor/v1/grants";
pub(crate) const ORGS: &str = "/tresor/v1/orgs";
pub(crate) const REVIEWS: &str = "/tresor/v1/access-reviews";
pub(crate) const AUDIT: &str = "/tresor/v1/audit";
/// A password that is taken for any user of these tests.
pub(crate) const PASSWORD: &str = "correct-staple-lagoon-visa";

pub(crate) fn user(name: &str) -> String {
    format!("{USERS}/{name}")
}

pub(crate) fn member(project: &str, subject: &str) -> String {
    format!("{PROJECTS}/{project}/members/{subject}")
}

pub(crate) fn project(name: &str) -> String {
    format!("{PROJECTS}/{name}")
}

pub(crate) fn secrets(project: &str) -> String {
    format!("{PROJECTS}/{project}/secrets")
}

/// A secret's path; the name is percent-encoded already.
pub(crate) fn secret(project: &str, name: &str) -> String {
    format!("{PROJECTS}/{project}/secrets/{name}")
}

pub(crate) fn opaque(value: &str) -> Value {
    json!({ "stringData": { "value": value } })
}

pub(crate) fn right(role: &str, projects: &[&str]) -> Value {
    json!({ "role": role, "projects": projects })
}

#[track_caller]
pub(crate) fn decoded(value: &Value) -> String {
    String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap()
}
