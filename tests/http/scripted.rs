//! An HTTP server that does what a test tells it, request by request.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of a request.
pub enum Reply {
    /// An answer: status and body.
    Answer(u16, String),
    /// An answer with a `Location`.
    Redirect(String),
    /// The connection is closed.
    Close,
    /// Nothing ever comes back.
    Silence,
}

/// A server on loopback; ends with the test.
pub struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `script` gets each request's head and says what becomes of it.
    pub async fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, script) = (requests.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, seen.clone(), script.clone()));
            }
        });
        Self { port, requests }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The heads of all requests whose first line contains `part`.
    pub fn requests(&self, part: &str) -> Vec<String> {
        let all = self.requests.lock().unwrap();
        all.iter().filter(|r| r.lines().next().unwrap_or_default().contains(part)).cloned().collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    seen: Arc<Mutex<Vec<String>>>,
    script: Arc<impl Fn(&str) -> Reply + Send + Sync + 'static>,
) {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|w| w == b"\r\n\r\n") {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    seen.lock().unwrap().push(head.clone());
    let answer = match script(&head) {
        Reply::Answer(status, body) => {
            format!("HTTP/1.1 {status} Some\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        }
        Reply::Redirect(to) => {
            format!("HTTP/1.1 307 Some\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Reply::Close => return,
        Reply::Silence => std::future::pending().await,
    };
    drop(stream.write_all(answer.as_bytes()).await);
}
