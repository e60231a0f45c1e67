//! A server of a few lines: it answers as a test wants, also as no server should, and tells what it was asked.

use sabot::ObjectStores;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What a server is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: String,
    /// With the query.
    pub(super) path: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// What the query has under a name.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        query
            .split('&')
            .filter_map(|part| part.split_once('='))
            .find(|(found, _)| *found == name)
            .map(|(_, v)| v)
    }
}

/// What it answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body after which the connection is closed.
    pub(super) cut: Option<usize>,
}

impl Answer {
    pub(super) fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// The range of these bytes that was asked for, or all.
    pub(super) fn of(request: &Request, bytes: &[u8]) -> Self {
        let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
        let Some((from, to)) = range.and_then(|range| range.split_once('-')) else {
            return Self { status: 200, body: bytes.to_vec(), ..Self::default() };
        };
        let (from, to): (usize, usize) = (from.parse().unwrap(), to.parse().unwrap());
        let to = to.min(bytes.len() - 1);
        let range = format!("bytes {from}-{to}/{}", bytes.len());
        let headers = vec![("Content-Range", range)];
        Self { status: 206, headers, body: bytes[from..=to].to_vec(), cut: None }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn send(self, method: &str, mut to: TcpStream) -> std::io::Result<()> {
        write!(to, "HTTP/1.1 {} Said\r\nConnection: close\r\n", self.status)?;
        for (name, value) in &self.headers {
            write!(to, "{name}: {value}\r\n")?;
        }
        write!(to, "Content-Length: {}\r\n\r\n", self.body.len())?;
        if method != "HEAD" {
            to.write_all(&self.body[..self.cut.unwrap_or(self.body.len()).min(self.body.len())])?;
        }
        to.flush()
    }
}

/// It ends when it is dropped.
pub(super) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Request>>>,
    ended: Arc<AtomicBool>,
}

impl Server {
    pub(super) fn start(answer: impl Fn(&Request) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (seen, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (requests, stop) = (seen.clone(), ended.clone());
        thread::spawn(move || {
            for connection in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                // A client that goes away does not end the server.
                let Some((request, connection)) = connection.ok().and_then(received) else { continue };
                requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                let _ = answer(&request).send(&request.method, connection);
            }
        });
        Self { address, seen, ended }
    }

    /// A URL of the web.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// Stores for which it is the web.
    pub(super) fn web(&self) -> ObjectStores {
        ObjectStores::with_options([("allow_http", "true"), ("max_retries", "0")])
    }

    /// Stores for which it is S3.
    pub(super) fn s3(&self) -> ObjectStores {
        ObjectStores::with_options([
            ("aws_endpoint", &*format!("http://{}", self.address)),
            ("aws_region", "us-east-1"),
            ("aws_skip_signature", "true"),
            ("allow_http", "true"),
            ("max_retries", "0"),
        ])
    }

    /// What it was asked since this was called last.
    pub(super) fn seen(&self) -> Vec<Request> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn received(connection: TcpStream) -> Option<(Request, TcpStream)> {
    let mut lines = BufReader::new(connection.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let mut request = Request { method: words.next()?, path: words.next()?, headers: Vec::new() };
    loop {
        let line = lines.next()?.ok()?;
        match line.split_once(':') {
            Some((name, value)) => request.headers.push((name.to_lowercase(), value.trim().to_owned())),
            None if line.is_empty() => return Some((request, connection)),
            None => return None,
        }
    }
}
