//! The service that keeps a world as a plan says: drift is reported and repaired, an edited plan comes into force once it
//! checks, and everything else that may happen to a service.

use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use crate::project::{Project, wait_until};

const PLAN: &str = "[[phase.files.step]]\nid = \"one\"\naction = \"node.file\"\nhosts = \"localhost\"\n\
                    path = \"DIR/one\"\ncontent = \"1\\n\"\n\
                    [[phase.files.step]]\nid = \"two\"\naction = \"node.file\"\nhosts = \"localhost\"\n\
                    path = \"DIR/two\"\ncontent = \"2\\n\"\n";

/// A running service, probing each hour and whenever it gets SIGHUP.
struct Service {
    child: Child,
    lines: Receiver<Value>,
}

impl Service {
    fn start(project: &Project, args: &[&str]) -> Self {
        let mut all = vec!["converge", "--output", "json", "--every", "1h"];
        all.extend(args);
        let mut child = project.command(&all).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let service = Self { child, lines };
        assert_eq!(service.next(), "started");
        service
    }

    fn line(&self) -> Value {
        self.lines.recv_timeout(Duration::from_secs(60)).expect("the service reports nothing")
    }

    /// The name of the next event.
    fn next(&self) -> String {
        self.line()["event"].as_str().unwrap().to_owned()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    fn probe(&self) {
        self.signal("HUP");
    }

    fn stop(mut self) {
        self.signal("TERM");
        assert_eq!(self.next(), "stopped");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn drift_is_repaired_and_an_idle_tick_writes_nothing() {
    let project = Project::new(PLAN);
    let service = Service::start(&project, &[]);
    assert_eq!([service.next(), service.next()], ["drift", "repaired"], "the first tick brings everything about");
    assert_eq!(fs::read_to_string(project.path("two")).unwrap(), "2\n");
    let journals = project.journals();
    service.probe();
    let line = service.line();
    assert_eq!((&line["event"], &line["units"]), (&"in_order".into(), &2.into()));
    assert_eq!(project.journals(), journals);

    fs::write(project.path("two"), "edited\n").unwrap();
    service.probe();
    let drift = service.line();
    assert_eq!(drift["event"], "drift");
    assert_eq!(drift["units"][0]["unit"], "files/two@localhost");
    assert!(drift["units"][0]["changes"].to_string().contains("-edited"), "{drift}");
    let repaired = service.line();
    assert_eq!((&repaired["event"], &repaired["units"][0]), (&"repaired".into(), &"files/two@localhost".into()));
    assert_eq!(fs::read_to_string(project.path("two")).unwrap(), "2\n");
    service.stop();
}

#[test]
fn drift_is_only_reported_where_that_is_asked_for() {
    let project = Project::new(PLAN);
    let service = Service::start(&project, &["--mode", "detect"]);
    assert_eq!(service.next(), "drift");
    service.probe();
    assert_eq!(service.next(), "drift");
    assert!(!project.path("one").exists());
    service.stop();
}

#[test]
fn a_unit_that_something_else_undoes_is_left_alone_after_some_repairs() {
    let project = Project::new(PLAN);
    let service = Service::start(&project, &["--max-repairs", "2"]);
    assert_eq!([service.next(), service.next()], ["drift", "repaired"], "the first tick does not count");
    for _ in 0..2 {
        fs::write(project.path("one"), "edited\n").unwrap();
        service.probe();
        assert_eq!([service.next(), service.next()], ["drift", "repaired"]);
    }
    let suspended = service.line();
    assert_eq!((&suspended["event"], &suspended["unit"]), (&"suspended".into(), &"files/one@localhost".into()));
    for name in ["one", "two"] {
        fs::write(project.path(name), "edited\n").unwrap();
    }
    service.probe();
    assert_eq!([service.next(), service.next()], ["drift", "repaired"], "the other unit is repaired");
    assert_eq!(fs::read_to_string(project.path("one")).unwrap(), "edited\n");
    assert_eq!(fs::read_to_string(project.path("two")).unwrap(), "2\n");
    service.stop();
}

#[test]
fn a_signal_during_a_tick_starts_another_one() {
    let wait = "[[phase.slow.step]]\nid = \"slow\"\naction = \"node.command\"\nhosts = \"localhost\"\n\
                command = \"touch DIR/busy; until test -e DIR/go; do sleep 0.02; done\"\nchanges = false\n";
    let project = Project::new(wait);
    let service = Service::start(&project, &[]);
    wait_until("the tick is under way", || project.path("busy").exists());
    service.probe();
    fs::write(project.path("go"), "").unwrap();
    assert_eq!([service.next(), service.next()], ["in_order", "in_order"]);
    service.stop();
}

#[test]
fn an_edited_plan_comes_into_force_once_it_checks() {
    let project = Project::new(PLAN);
    let service = Service::start(&project, &[]);
    assert_eq!([service.next(), service.next()], ["drift", "repaired"]);
    project.write(&PLAN.replace("content = \"1", "contents = \"1"));
    fs::remove_file(project.path("one")).unwrap();
    service.probe();
    let refused = service.line();
    assert_eq!(refused["event"], "plan_refused");
    assert!(refused["findings"].as_str().unwrap().contains("no parameter `contents`"), "{refused}");
    assert_eq!([service.next(), service.next()], ["drift", "repaired"], "the last good plan stays in force");
    assert_eq!(fs::read_to_string(project.path("one")).unwrap(), "1\n");
    service.probe();
    assert_eq!(service.next(), "in_order", "the same findings are reported once");
    project.write(&PLAN.replace("content = \"1", "content = \"3"));
    service.probe();
    assert_eq!([service.next(), service.next(), service.next()], ["plan_reloaded", "drift", "repaired"]);
    assert_eq!(fs::read_to_string(project.path("one")).unwrap(), "3\n");
    service.stop();
}

#[test]
fn the_service_yields_to_a_run() {
    let wait = "[[phase.slow.step]]\nid = \"slow\"\naction = \"node.command\"\nhosts = \"localhost\"\n\
                command = \"until test -e DIR/go; do sleep 0.02; done\"\nchanges = false\n";
    let project = Project::new(&format!("{PLAN}{wait}"));
    let run = project.start_until("slow");
    let service = Service::start(&project, &[]);
    let busy = service.line();
    assert_eq!(busy["event"], "busy");
    assert!(busy["message"].as_str().unwrap().contains("another run of the plan"), "{busy}");
    fs::write(project.path("go"), "").unwrap();
    assert!(run.wait_with_output().unwrap().status.success());
    service.probe();
    assert_eq!(service.next(), "in_order");
    service.stop();
}

/// A server that answers each request with the next status, and hands out the bodies.
fn hook(statuses: &'static [&str]) -> (String, Receiver<Value>) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", server.local_addr().unwrap());
    let (sender, bodies) = channel();
    std::thread::spawn(move || {
        for status in statuses {
            let (stream, _) = server.accept().unwrap();
            let mut reader = BufReader::new(stream);
            let mut length = 0;
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.trim().is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            reader.into_inner().write_all(answer.as_bytes()).unwrap();
            if status.starts_with("200") {
                let _ = sender.send(serde_json::from_slice(&body).unwrap());
            }
        }
    });
    (url, bodies)
}

#[test]
fn news_are_posted_once_and_again_when_the_server_was_busy() {
    let (url, bodies) = hook(&["503 Busy", "200 OK", "200 OK", "200 OK"]);
    let project = Project::new(PLAN);
    let service = Service::start(&project, &["--mode", "detect", "--notify", &url]);
    for _ in 0..2 {
        assert_eq!(service.next(), "drift");
        service.probe();
    }
    assert_eq!(service.next(), "drift");
    for name in ["one", "two"] {
        fs::write(project.path(name), if name == "one" { "1\n" } else { "2\n" }).unwrap();
    }
    service.probe();
    assert_eq!(service.next(), "in_order");
    let next = || bodies.recv_timeout(Duration::from_secs(30)).unwrap();
    let first = next();
    assert_eq!((&first["plan"], &first["rollout"]["event"]), (&"test".into(), &"drift".into()));
    assert!(first["text"].as_str().unwrap().starts_with("test: drift: 2 units"), "{first}");
    assert!(next()["text"].as_str().unwrap().starts_with("test: recovered, in order: 2 units"));
    service.stop();
}

#[test]
fn systemd_is_told_when_the_service_is_ready_and_what_it_found() {
    let project = Project::new(PLAN);
    let path = project.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = project.command(&["converge", "--mode", "detect"]);
    let mut service = command.env("NOTIFY_SOCKET", &path).stdout(Stdio::null()).spawn().unwrap();
    let next = || {
        let mut message = [0; 1000];
        let length = socket.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    assert_eq!(next(), "READY=1");
    assert!(next().starts_with("STATUS=drift: 2 units"));
    assert!(Command::new("kill").arg(service.id().to_string()).status().unwrap().success());
    assert_eq!(next(), "STOPPING=1");
    assert!(service.wait().unwrap().success());
}

#[test]
fn bad_schedules_are_refused_at_the_start() {
    let project = Project::new(PLAN);
    for (args, message) in [
        (["--every", "10s"], "an interval of 10s is too short"),
        (["--cron", "0 0 30 2 *"], "`0 0 30 2 *` never comes"),
        (["--cron", "tomorrow"], "`tomorrow` is no cron expression"),
    ] {
        let output = project.call(&["converge", args[0], args[1]]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(message), "{text}");
    }
    let output = project.call(&["converge", "--cron", "0 * * * *", "--time-zone", "Berlin"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("knows no time zone `Berlin`"));
}
