//! Error messages for failed exchanges with a shell.

use super::reply::ExchangeError;
use crate::connect::ConnectError;

/// The last output, as the end of a message; empty when there is none.
pub fn last_output(failure: &ExchangeError) -> String {
    let output = failure.last_output.trim();
    if output.is_empty() { String::new() } else { format!("; last output: {output}") }
}

/// A request without a complete reply. `connected` says whether the connection still works, `change` whether the
/// request may have taken effect.
pub fn exchange_failed(host: &str, failure: &ExchangeError, connected: bool, change: bool) -> ConnectError {
    if let Some(excess) = &failure.excess {
        let message = format!("{host} answered {excess}");
        let error = if change { ConnectError::lost(message) } else { ConnectError::failed(message) };
        return error
            .hint("find out on the host what prints so much; if the output is right, divide the step into several");
    }
    let output = last_output(failure);
    if failure.timed_out {
        let message = format!("the request to {host} did not end before the deadline{output}");
        let hint = "give the step a longer `timeout`, or find out on the host why it hangs; the command is ended there as soon as the host can be reached";
        let error = if change { ConnectError::lost(message) } else { ConnectError::failed(message) };
        return error.hint(hint);
    }
    let message = if connected {
        format!("the shell on {host} ended before the request did, maybe because of the command itself{output}")
    } else {
        format!("the connection to {host} was lost before the request ended{output}")
    };
    let error = match (change, connected) {
        (true, _) => ConnectError::lost(message),
        (false, true) => ConnectError::failed(message),
        (false, false) => ConnectError::unreachable(message),
    };
    error.hint(if is_process_limit(&failure.last_output) {
        PROCESS_LIMIT_HINT
    } else if connected {
        "does the command kill its parent process, or was the shell killed (`dmesg` shows if memory ran out)?"
    } else {
        "check the network, the host and its sshd, then run the plan again: each step checks first what is left to do"
    })
}

/// The hint for a host that cannot start another process.
const PROCESS_LIMIT_HINT: &str =
    "the host or the user has reached the limit of processes (`ps -eLf | wc -l`, `ulimit -u`): end some";

/// Whether the output says that no more processes can be started.
fn is_process_limit(output: &str) -> bool {
    ["Cannot fork", "can't fork", "fork: ", "Resource temporarily unavailable"].iter().any(|part| output.contains(part))
}

/// A shell that never answered, on a working connection.
pub fn no_shell(host: &str, as_root: bool, failure: &ExchangeError) -> ConnectError {
    let output = last_output(failure);
    let says = |part: &str| failure.last_output.contains(part);
    if as_root && (says("password is required") || says("no tty present") || says("must have a tty")) {
        return ConnectError::failed(format!("sudo on {host} wants a password")).hint(
            "name its secret in the inventory (`[become] password = \"{{ secrets.NAME }}\"`), let the user \
                 become root without one (NOPASSWD in /etc/sudoers.d), or log in as root",
        );
    }
    if as_root && says("sudo") && says("not found") {
        return ConnectError::failed(format!("there is no sudo on {host}"))
            .hint("install it, or set the host's `user` to root in the inventory");
    }
    if as_root && (says("sudoers") || says("not allowed")) {
        return ConnectError::failed(format!("sudo on {host} does not let the user become root{output}"))
            .hint("allow it in /etc/sudoers.d, or log in as root");
    }
    if is_process_limit(&failure.last_output) {
        return ConnectError::unreachable(format!("no shell can be started on {host}{output}"))
            .hint(PROCESS_LIMIT_HINT);
    }
    let what = if failure.timed_out { "did not answer before the deadline" } else { "ended before it answered" };
    ConnectError::unreachable(format!("the shell on {host} {what}{output}"))
        .hint(
            "check that `sh` runs there, and that the user may run commands over ssh and start one more process; base64, stat and \
             sha256sum are needed too",
        )
}

/// Sudo asked for the password a second time.
pub fn wrong_password(host: &str) -> ConnectError {
    ConnectError::failed(format!("the password for sudo on {host} is wrong")).hint(format!(
        "it was tried once and is not tried again in this run; check the secret that `become.password` in the inventory \
         names, and try it on {host} with `sudo -k -v`"
    ))
}

/// A password that sudo could not read from one line of standard input.
pub fn unusable_password(host: &str, longest: usize) -> ConnectError {
    ConnectError::failed(format!("the password for sudo on {host} is not one line of at most {longest} bytes"))
        .hint("see the secret that `become.password` in the inventory names")
}

/// Sudo ended after it had been given the password.
pub fn no_root(host: &str, failure: &ExchangeError) -> ConnectError {
    let known = no_shell(host, true, failure);
    if matches!(known, ConnectError::Failed { .. }) {
        return known;
    }
    ConnectError::failed(format!("sudo on {host} ended after it had been given the password{}", last_output(failure)))
        .hint(format!("is the password right, and may the user become root? try `sudo -k -v` on {host}"))
}

/// A server that does not open even one session.
pub fn no_session(host: &str) -> ConnectError {
    ConnectError::failed(format!("sshd on {host} refuses to open a session, although this run has none open"))
        .hint("check MaxSessions in its sshd_config, and what else uses this connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(output: &str) -> ExchangeError {
        ExchangeError { last_output: output.into(), ..ExchangeError::default() }
    }

    #[test]
    fn what_keeps_sudo_from_working_is_told_with_a_cure() {
        for (output, what) in [
            ("sudo: a password is required", "sudo on pi-1 wants a password"),
            ("sh: 1: exec: sudo: not found", "there is no sudo on pi-1"),
            ("sh: exec: line 0: sudo: not found", "there is no sudo on pi-1"),
            ("bob is not in the sudoers file.", "does not let the user become root; last output: bob is not"),
        ] {
            let ConnectError::Failed { message, hint } = no_shell("pi-1", true, &ended(output)) else {
                panic!("{output}")
            };
            assert!(message.contains(what) && hint.is_some(), "{message}");
        }
        let excess = ExchangeError { excess: Some("too much".into()), ..ended("") };
        assert_eq!(exchange_failed("pi-1", &excess, true, false).to_string(), "pi-1 answered too much");
        assert!(matches!(no_shell("pi-1", false, &ended("sudo: not found")), ConnectError::Unreachable { .. }));
    }

    #[test]
    fn what_is_known_afterwards_depends_on_what_was_asked_and_on_what_broke() {
        let late = ExchangeError { timed_out: true, last_output: "downloading".into(), ..ExchangeError::default() };
        for (broken_by, connected, change, kind) in [
            (&late, true, true, "lost"),
            (&late, true, false, "failed"),
            (&ended(""), true, true, "lost"),
            (&ended(""), true, false, "failed"),
            (&ended(""), false, true, "lost"),
            (&ended(""), false, false, "unreachable"),
        ] {
            let found = match exchange_failed("pi-1", broken_by, connected, change) {
                ConnectError::Unreachable { .. } => "unreachable",
                ConnectError::Failed { .. } => "failed",
                ConnectError::Lost { .. } => "lost",
                ConnectError::Defect { .. } => "defect",
            };
            assert_eq!(found, kind, "connected {connected}, change {change}");
        }
        assert!(exchange_failed("pi-1", &late, true, true).to_string().ends_with("last output: downloading"));
    }
}
