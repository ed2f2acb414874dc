//! An HTTP server whose answer to each request is scripted by the test.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The answer to a request.
pub enum Reply {
    /// Status and body.
    Answer(u16, String),
    /// A redirect with a `Location`.
    Redirect(String),
    /// Closes the connection.
    Close,
    /// Never answers.
    Silence,
}

/// A server on loopback that stops with the test.
pub struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `script` maps the head of each request to an answer.
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
