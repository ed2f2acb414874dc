use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use super::super::testing::{at, blocked, build, change, file, is_same, perform, ran, refused};
use super::*;
use crate::actions::node::content::tests::regular;
use crate::connect::host::sha256;

fn step(url: &str, path: &str, content: &str, rest: &str) -> Download {
    let sum = sha256(content.as_bytes());
    build(&format!("url = '{url}'\npath = '{path}'\nchecksum = 'sha256:{sum}'\n{rest}")).unwrap()
}

#[test]
fn a_file_with_the_checksum_is_not_asked_for_again() {
    let step = step("https://x/y", "/y", "a", "mode = '0755'");
    let programs = ran(0, "curl\nwget\n", "");
    assert!(is_same(&step.verdict(&[file(Some(regular("a", 0o755))), programs.clone()])));
    let facts = [file(Some(regular("a", 0o644))), ran(0, "", "")];
    assert_eq!(change(&step.verdict(&facts)), ["~ mode: 0644 → 0755"]);
    let facts = [file(Some(regular("b", 0o755))), programs.clone()];
    let lines = change(&step.verdict(&facts));
    assert!(lines[0].starts_with("~ /y content: sha256:3e23e") && lines[0].ends_with("from https://x/y"), "{lines:?}");
    assert!(blocked(&step.verdict(&[file(Some(at(FileKind::Directory, 0o755))), programs])).contains("directory"));
}

#[test]
fn a_host_without_the_programs_blocks() {
    let plain = step("https://x/y", "/y", "a", "");
    assert!(blocked(&plain.verdict(&[file(None), ran(0, "", "")])).contains("neither curl nor wget"));
    assert!(matches!(plain.verdict(&[file(None), ran(0, "wget\n", "")]), Verdict::Change(_)));
    let headers = step("https://x/y", "/y", "a", "headers = { Accept = 'x' }");
    assert!(blocked(&headers.verdict(&[file(None), ran(0, "wget\n", "")])).contains("no curl"));
}

#[test]
fn headers_go_to_standard_input_only() {
    let step = step("https://x/\"y", "/y", "a", "headers = { Authorization = 'Bearer s3cret\\' }");
    let run = step.fetch(&[file(None), ran(0, "curl\n", "")]);
    let config = String::from_utf8(run.stdin.as_slice().to_vec()).unwrap();
    assert!(config.contains("https://x/\"y\nheader = \"Authorization: Bearer s3cret\\\\\"\n"), "{config}");
    assert!(!run.command.to_string().contains("s3cret"));
}

/// Answers `answers` requests with `answer`; returns the URL, and a thread that returns the requests.
fn serve(answers: usize, answer: &str) -> (String, std::thread::JoinHandle<Vec<String>>) {
    serve_each(vec![answer.to_owned(); answers])
}

fn serve_each(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/f", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let one = |answer: String| {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines().map(Result::unwrap);
            let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            stream.write_all(answer.as_bytes()).unwrap();
            request.join("\n")
        };
        answers.into_iter().map(one).collect()
    });
    (url, server)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

#[tokio::test]
async fn both_programs_bring_the_file_and_only_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let at = path.to_str().unwrap();
    for (program, rest) in [("curl\n", "mode = '0750'\nheaders = { X-Key = 'k' }"), ("wget\n", "mode = '0750'")] {
        let (url, server) = serve(2, OK);
        let facts = [file(None), ran(0, program, "")];
        let right = step(&url, at, "hello", rest);
        let done = [EffectResult::Host(perform(&right.fetch(&facts)).await)];
        assert!(matches!(right.next_effect(&facts, &done), Ok(None)), "{:?}", right.next_effect(&facts, &done).err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "hello");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o750);
        let wrong = step(&url, at, "other", rest);
        let done = [EffectResult::Host(perform(&wrong.fetch(&facts)).await)];
        let message = wrong.next_effect(&facts, &done).err().unwrap().message;
        assert!(message.contains("its checksum is sha256:2cf24dba"), "{message}");
        assert_eq!(server.join().unwrap()[0].contains("X-Key: k"), program == "curl\n");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something is left behind");
    }
}

#[tokio::test]
async fn a_redirect_takes_no_header_to_another_origin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let (end, at_the_end) = serve(1, OK);
    let (start, at_the_start) = serve(1, &redirect(&end));
    let facts = [file(None), ran(0, "curl\n", "")];
    let step = step(&start, path.to_str().unwrap(), "hello", "headers = { PRIVATE-TOKEN = 'k' }");
    let done = [EffectResult::Host(perform(&step.fetch(&facts)).await)];
    assert!(matches!(step.next_effect(&facts, &done), Ok(None)), "{:?}", step.next_effect(&facts, &done).err());
    assert!(at_the_start.join().unwrap()[0].contains("PRIVATE-TOKEN: k"));
    let request = at_the_end.join().unwrap().concat();
    assert!(request.contains("GET /f") && !request.contains("PRIVATE-TOKEN"), "{request}");
}

#[test]
fn what_a_secret_is_needed_for_is_not_for_everybody() {
    crate::secret::register("token-of-a-download");
    let mode = |rest: &str| step("https://x/y", "/y", "a", rest).fetch(&[file(None), ran(0, "curl\n", "")]);
    let secret = "headers = { PRIVATE-TOKEN = 'token-of-a-download' }\n";
    assert!(mode(secret).command.to_string().contains(" 0600 curl "));
    assert!(mode(&format!("{secret}mode = '0755'")).command.to_string().contains(" 0755 curl "));
    assert!(mode("headers = { Accept = 'x' }").command.to_string().contains(" 0644 curl "));
}

#[tokio::test]
async fn wget_is_sent_on_by_hand() {
    for (to, then) in [("/g?x", "GET /g?x "), ("g", "GET /g "), ("?q=1", "GET /f?q=1 "), ("../g", "GET /g ")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let (start, server) = serve_each(vec![redirect(to), OK.to_owned()]);
        let facts = [file(None), ran(0, "wget\n", "")];
        let step = step(&start, path.to_str().unwrap(), "hello", "");
        let done = [EffectResult::Host(perform(&step.fetch(&facts)).await)];
        assert!(matches!(step.next_effect(&facts, &done), Ok(None)), "{:?}", step.next_effect(&facts, &done).err());
        let requests = server.join().unwrap();
        assert!(requests[1].starts_with(then), "{to}: {requests:?}");
    }
}

#[tokio::test]
async fn busybox_brings_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let (start, server) = serve_each(vec![redirect("/g"), OK.to_owned()]);
    let facts = [file(None), ran(0, "wget\n", "")];
    let step = step(&start, path.to_str().unwrap(), "hello", "");
    let run = step.fetch(&facts);
    let shell = format!("wget() {{ busybox wget \"$@\"; }}\n{}", run.command);
    let run = Run { command: host::Command::Shell(shell), ..run };
    let done = [EffectResult::Host(perform(&run).await)];
    assert!(matches!(step.next_effect(&facts, &done), Ok(None)), "{:?}", step.next_effect(&facts, &done).err());
    assert_eq!(server.join().unwrap().len(), 2);
}

/// Answers one request over TLS, with a self-signed certificate that is written to the folder.
fn serve_with_tls(folder: &std::path::Path, answer: String) -> (String, std::thread::JoinHandle<()>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(folder.join("ca.pem"), cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/f", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let session = rustls::ServerConnection::new(std::sync::Arc::new(config)).unwrap();
        let mut stream = BufReader::new(rustls::StreamOwned::new(session, stream));
        let mut line = String::new();
        while stream.read_line(&mut line).unwrap() > 2 {
            line.clear();
        }
        let stream = stream.get_mut();
        stream.write_all(answer.as_bytes()).unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    });
    (url, server)
}

#[tokio::test]
async fn https_is_not_left_for_http() {
    for program in ["curl\n", "wget\n"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let (url, server) = serve_with_tls(folder.path(), redirect("http://127.0.0.1:1/f?token=x"));
        let facts = [file(None), ran(0, program, "")];
        let step = step(&url, path.to_str().unwrap(), "hello", "");
        let run = step.fetch(&facts);
        // Trust the certificate of this test.
        let trust = format!(
            "ca={}\ncurl() {{ command curl \"$@\" --cacert \"$ca\"; }}\n\
             wget() {{ command wget --ca-certificate=\"$ca\" \"$@\"; }}\n",
            folder.path().join("ca.pem").display()
        );
        let run = Run { command: host::Command::Shell(format!("{trust}{}", run.command)), ..run };
        let done = [EffectResult::Host(perform(&run).await)];
        let problem = step.next_effect(&facts, &done).err().unwrap();
        server.join().unwrap();
        assert!(problem.message.contains("it redirects to http://127.0.0.1:1, which is not"), "{}", problem.message);
        assert!(problem.hint.unwrap().contains("none from https to http"));
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_redirect_within_its_origin_keeps_the_headers_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let (start, server) = serve(11, &redirect("/g?x"));
    let facts = [file(None), ran(0, "curl\n", "")];
    let step = step(&start, path.to_str().unwrap(), "hello", "headers = { PRIVATE-TOKEN = 'k' }");
    let done = [EffectResult::Host(perform(&step.fetch(&facts)).await)];
    let message = step.next_effect(&facts, &done).err().unwrap().message;
    assert!(message.contains("which is not followed"), "{message}");
    let requests = server.join().unwrap();
    assert!(requests.iter().all(|request| request.contains("PRIVATE-TOKEN: k")), "{requests:?}");
    assert!(requests[1].starts_with("GET /g?x"), "{requests:?}");
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn what_the_server_refuses_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    let (url, server) = serve(1, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let facts = [file(None), ran(0, "curl\n", "")];
    let step = step(&url, path.to_str().unwrap(), "hello", "");
    let done = [EffectResult::Host(perform(&step.fetch(&facts)).await)];
    assert!(step.next_effect(&facts, &done).err().unwrap().message.contains("404"));
    server.join().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn wrong_parameters_are_refused() {
    let sum = format!("checksum = 'sha256:{}'", "0".repeat(64));
    for (toml, parameter) in [
        (format!("url = 'ftp://x'\npath = '/x'\n{sum}"), "/url"),
        (format!("url = 'https://x y'\npath = '/x'\n{sum}"), "/url"),
        (format!("url = 'https://x'\npath = '/x/'\n{sum}"), "/path"),
        ("url = 'https://x'\npath = '/x'\nchecksum = 'md5:00'".to_owned(), "/checksum"),
        (format!("url = 'https://x'\npath = '/x'\n{sum}\nheaders = {{ A = \"b\\nc\" }}"), "/headers"),
    ] {
        assert_eq!(refused::<Download>(&toml), parameter, "{toml}");
    }
}
