//! `node.wait_for`: waits for a port, a path or a command on a host.

use schemars::JsonSchema;
use serde::Deserialize;

use super::conditions::check_no_secret;
use super::effects::script_with_args;
use super::failure::{failed, status_line};
use super::params::{check_path, trimmed};
use super::probes::{file_at, file_probe, output_at, run_probe, script_probe};
use super::text::State;
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::{self, Read};
use crate::connect::{Effect, EffectResult, Fact, Probe};
use crate::event::Problem;
use crate::plan::{ParamError, Role, RunsOn, refuse};

/// Waits until the host can connect to a port, something is at a path, or a command ends with status 0; with `state =
/// "absent"`, until that is no longer so. The check is repeated until the step's timeout ends.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitFor {
    /// TCP port. Needs bash, nc or python3 on the host.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// Name or address to connect to, as seen from the host. Default: 127.0.0.1, the host itself.
    #[serde(default)]
    pub address: Option<String>,
    /// Absolute path on the host.
    #[serde(default)]
    pub path: Option<String>,
    /// Script for `sh` that must end with status 0. It must not change anything.
    #[serde(default)]
    pub command: Option<String>,
    /// Whether to wait until the condition holds, or until it no longer holds.
    #[serde(default)]
    pub state: State,
}

impl Spec for WaitFor {
    const NAME: &'static str = "node.wait_for";
    const SUMMARY: &'static str = "waits for a port, a path or a command on a host";
    const RUNS_ON: RunsOn = RunsOn::Host;
    const ROLE: Role = Role::Check;
    const EXAMPLE: &'static str = r#"
[[phase.prepare.step]]
id = "api-server-up"
action = "node.wait_for"
hosts = "pis"
address = "10.0.0.11"
port = 6443
timeout = "2m"
"#;

    fn rules(&self) -> Result<(), ParamError> {
        let given = [("port", self.port.is_some()), ("path", self.path.is_some()), ("command", self.command.is_some())];
        let given: Vec<&str> = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
        match given[..] {
            [] => return refuse("port", "give what to wait for: `port`, `path` or `command`"),
            [_, second, ..] => return refuse(second, "give only one of `port`, `path` and `command`"),
            [_] => {}
        }
        if self.port == Some(0) {
            return refuse("port", "there is no port 0");
        }
        check_no_secret("command", self.command.as_deref())?;
        self.path.as_deref().map_or(Ok(()), |path| check_path("path", path))?;
        let Some(address) = &self.address else { return Ok(()) };
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        let (plain, in_brackets) = (self.address(), address.starts_with('['));
        if self.port.is_none() {
            return refuse("address", "it needs a `port`");
        }
        let bad = plain.is_empty() || plain.starts_with('-') || !plain.chars().all(is_allowed);
        if bad || in_brackets && !plain.contains(':') {
            return refuse("address", format!("\"{address}\" is not a host name or address"));
        }
        Ok(())
    }
}

/// `$1` address, `$2` port. The last line is `open`, `closed` or `unable`; the line before it, if any, is the error.
const CONNECT: &str = r#"
if command -v bash >/dev/null 2>&1; then
	timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1
elif nc -h 2>&1 | grep -q -e '-[a-zA-Z]*z'; then
	nc -z -w 5 "$1" "$2" 2>&1
elif nc -h 2>&1 | grep -q -e '-e PROG'; then
	nc -w 5 "$1" "$2" -e true 2>&1
elif command -v python3 >/dev/null 2>&1; then
	python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)' "$1" "$2" 2>&1
else
	echo unable
	exit
fi
if [ $? = 0 ]; then echo open; else echo closed; fi
"#;

/// Whether the condition holds.
enum Condition {
    /// The condition holds.
    Met(String),
    /// The condition does not hold.
    Unmet(String),
    /// The host cannot check the condition.
    Unable(Problem),
}

impl WaitFor {
    /// The address without the brackets in which an IPv6 address may be written.
    fn address(&self) -> &str {
        let address = self.address.as_deref().unwrap_or("127.0.0.1");
        address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address)
    }

    fn condition(&self, facts: &[Fact]) -> Condition {
        match (&self.path, self.port, output_at(facts, 0)) {
            (Some(path), ..) if file_at(facts, 0).is_some() => Condition::Met(format!("{path} is there")),
            (Some(path), ..) => Condition::Unmet(format!("{path} is not there")),
            (None, Some(port), Ok(done)) => self.port(port, done),
            (None, None, Ok(done)) if done.exit == 0 => Condition::Met(done.stdout.first_line()),
            (None, None, Ok(done)) => Condition::Unmet(status_line(done)),
            (None, _, Err(problem)) => Condition::Unable(problem),
        }
    }

    fn port(&self, port: u16, done: &host::CommandOutput) -> Condition {
        let text = done.stdout.text();
        let mut lines = text.lines().rev();
        let at = match self.address() {
            v6 if v6.contains(':') => format!("[{v6}]:{port}"),
            other => format!("{other}:{port}"),
        };
        match lines.next() {
            Some("open") => Condition::Met(format!("{at} is open")),
            Some("closed") => {
                let why = lines.next().and_then(|line| line.rsplit(": ").next()).unwrap_or_default();
                Condition::Unmet(format!("{at} cannot be connected to: {why}").trim_end_matches([':', ' ']).to_owned())
            }
            Some("unable") => Condition::Unable(
                Problem::new("the host has none of bash, nc and python3, which can test a port")
                    .hint("install one of them, for example Debian's package `netcat-openbsd`, or use `command`"),
            ),
            _ => Condition::Unable(failed(format!("try {at}"), done)),
        }
    }
}

impl Action for WaitFor {
    fn probes(&self) -> Vec<Probe> {
        let probe = match (&self.path, self.port) {
            (Some(path), _) => file_probe(&trimmed(path), Read::Stat),
            (None, Some(port)) => run_probe(script_with_args(CONNECT, &[self.address(), &port.to_string()])),
            (None, None) => script_probe(self.command.clone().unwrap_or_default()),
        };
        vec![probe]
    }

    fn verdict(&self, facts: &[Fact]) -> Verdict {
        match (self.condition(facts), self.state) {
            (Condition::Met(seen), State::Present) | (Condition::Unmet(seen), State::Absent) => Verdict::Same { seen },
            (Condition::Unmet(seen), State::Present) => Verdict::Wait { seen },
            (Condition::Met(seen), State::Absent) if seen.is_empty() => {
                Verdict::Wait { seen: "the command ends with status 0".into() }
            }
            (Condition::Met(seen), State::Absent) => Verdict::Wait { seen },
            (Condition::Unable(problem), _) => Verdict::Blocked(problem),
        }
    }

    fn next_effect(&self, _facts: &[Fact], _done: &[EffectResult]) -> Result<Option<Effect>, Problem> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::testing::{at, blocked, build, file, is_same, perform, ran, refused};
    use super::*;
    use crate::connect::host::FileKind;

    fn waits(verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Wait { seen } => seen,
            other => panic!("no wait: {other:?}"),
        }
    }

    #[tokio::test]
    async fn a_port_is_tried_from_the_host() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let step = build::<WaitFor>(&format!("port = {port}")).unwrap();
        let gone = build::<WaitFor>(&format!("port = {port}\nstate = 'absent'")).unwrap();
        let connect = script_with_args(CONNECT, &["127.0.0.1", &port.to_string()]);
        let seen = [Fact::Host(host::Fact::Run(perform(&connect).await))];
        assert_eq!(step.verdict(&seen), Verdict::Same { seen: format!("127.0.0.1:{port} is open") });
        assert!(waits(&gone.verdict(&seen)).contains("is open"));
        drop(listener);
        let seen = [Fact::Host(host::Fact::Run(perform(&connect).await))];
        let refused = format!("127.0.0.1:{port} cannot be connected to: Connection refused");
        assert_eq!(waits(&step.verdict(&seen)), refused);
        assert!(is_same(&gone.verdict(&seen)));
    }

    #[test]
    fn a_host_that_cannot_tell_blocks() {
        let step = build::<WaitFor>("port = 22\naddress = 'pi-1'").unwrap();
        assert!(blocked(&step.verdict(&[ran(0, "unable\n", "")])).contains("none of bash, nc and python3"));
        assert!(blocked(&step.verdict(&[ran(2, "", "sh: no")])).contains("cannot try pi-1:22:\nsh: no"));
        assert_eq!(waits(&step.verdict(&[ran(0, "closed\n", "")])), "pi-1:22 cannot be connected to");
        for address in ["::1", "[::1]"] {
            let step = build::<WaitFor>(&format!("port = 22\naddress = '{address}'")).unwrap();
            assert_eq!(waits(&step.verdict(&[ran(0, "closed\n", "")])), "[::1]:22 cannot be connected to");
        }
    }

    #[test]
    fn paths_and_commands_are_waited_for() {
        let step = build::<WaitFor>("path = '/run/x/'").unwrap();
        assert!(is_same(&step.verdict(&[file(Some(at(FileKind::Other, 0o600)))])));
        assert_eq!(waits(&step.verdict(&[file(None)])), "/run/x/ is not there");
        let step = build::<WaitFor>("command = 'x'").unwrap();
        assert_eq!(step.verdict(&[ran(0, "fine\n", "")]), Verdict::Same { seen: "fine".into() });
        assert_eq!(waits(&step.verdict(&[ran(1, "", "a\nnot yet\n")])), "exit status 1 not yet");
        let step = build::<WaitFor>("command = 'x'\nstate = 'absent'").unwrap();
        assert_eq!(waits(&step.verdict(&[ran(0, "", "")])), "the command ends with status 0");
    }

    #[test]
    fn wrong_parameters_are_refused() {
        for (toml, parameter) in [
            ("", "/port"),
            ("port = 0", "/port"),
            ("port = 1\npath = '/x'", "/path"),
            ("path = '/x'\ncommand = 'x'", "/command"),
            ("path = 'x'", "/path"),
            ("path = '/x'\naddress = 'a'", "/address"),
            ("port = 1\naddress = '-a'", "/address"),
            ("port = 1\naddress = 'a b'", "/address"),
            ("port = 1\naddress = '[::1'", "/address"),
            ("port = 1\naddress = '[a]'", "/address"),
            ("port = 1\naddress = '[]'", "/address"),
        ] {
            assert_eq!(refused::<WaitFor>(toml), parameter, "{toml}");
        }
    }
}
