//! What a broken exchange means, in words.

use super::shell::ExchangeError;
use crate::connect::ConnectError;

/// The last thing that was seen, as the end of a message.
pub fn seen(broken: &ExchangeError) -> String {
    let seen = broken.seen.trim();
    if seen.is_empty() { String::new() } else { format!("; seen last: {seen}") }
}

/// A request that got no whole reply.
pub fn broken(host: &str, broken: &ExchangeError, connected: bool, change: bool) -> ConnectError {
    if let Some(excess) = &broken.excess {
        let message = format!("{host} answered {excess}");
        let error = if change { ConnectError::lost(message) } else { ConnectError::failed(message) };
        return error.hint("look on the host what prints so much; if it is right, divide the step into several");
    }
    let seen = seen(broken);
    if broken.deadline {
        let message = format!("no end of it on {host} before the deadline{seen}");
        let hint = "give the step a longer `timeout`, or look on the host why it hangs; what ran there is ended as soon as it is reached";
        let error = if change { ConnectError::lost(message) } else { ConnectError::failed(message) };
        return error.hint(hint);
    }
    let message = if connected {
        format!("the shell on {host} was ended in the middle, maybe by the command itself{seen}")
    } else {
        format!("the connection to {host} was lost in the middle{seen}")
    };
    let error = match (change, connected) {
        (true, _) => ConnectError::lost(message),
        (false, true) => ConnectError::failed(message),
        (false, false) => ConnectError::unreachable(message),
    };
    error.hint(if no_process(&broken.seen) {
        NO_PROCESS
    } else if connected {
        "does it end its own parent, or was it killed there (`dmesg` tells of too little memory)?"
    } else {
        "is the network steady, and did the host or its sshd go down? then run the plan again: it looks first"
    })
}

/// What to do about a host that can start no process.
const NO_PROCESS: &str =
    "the host or the user has as many processes as they may (`ps -eLf | wc -l`, `ulimit -u`): end some";

/// Whether it says that there is no room for one more process.
fn no_process(said: &str) -> bool {
    ["Cannot fork", "can't fork", "fork: ", "Resource temporarily unavailable"].iter().any(|part| said.contains(part))
}

/// A shell that never answered, on a connection that works.
pub fn no_shell(host: &str, as_root: bool, broken: &ExchangeError) -> ConnectError {
    let seen = seen(broken);
    let says = |part: &str| broken.seen.contains(part);
    if as_root && (says("password is required") || says("no tty present") || says("must have a tty")) {
        return ConnectError::failed(format!("sudo on {host} wants a password")).hint(
            "name the secret that it is in the inventory (`[become] password = \"{{ secrets.NAME }}\"`), let the user \
                 become root without one (NOPASSWD in /etc/sudoers.d), or log in as root",
        );
    }
    if as_root && says("sudo") && says("not found") {
        return ConnectError::failed(format!("there is no sudo on {host}"))
            .hint("install it, or set the host's `user` to root in the inventory");
    }
    if as_root && (says("sudoers") || says("not allowed")) {
        return ConnectError::failed(format!("sudo on {host} does not let the user become root{seen}"))
            .hint("allow it in /etc/sudoers.d, or log in as root");
    }
    if no_process(&broken.seen) {
        return ConnectError::unreachable(format!("no shell can be started on {host}{seen}")).hint(NO_PROCESS);
    }
    let what = if broken.deadline { "did not answer before the deadline" } else { "ended before it answered" };
    ConnectError::unreachable(format!("the shell on {host} {what}{seen}"))
        .hint(
            "does `sh` run there, and may the user log in with commands, and start one more process? it needs base64, stat and \
             sha256sum too",
        )
}

/// Sudo asked once more.
pub fn wrong_password(host: &str) -> ConnectError {
    ConnectError::failed(format!("the password for sudo on {host} is wrong")).hint(format!(
        "it was tried once, and is not again in this run; `become.password` in the inventory says which secret it is: \
         try it on {host} with `sudo -k -v`"
    ))
}

/// A password that cannot be sent.
pub fn no_password(host: &str, longest: usize) -> ConnectError {
    ConnectError::failed(format!("the password for sudo on {host} is not one line of at most {longest} bytes"))
        .hint("see the secret that `become.password` in the inventory names")
}

/// Sudo ended after it was given the password.
pub fn no_root(host: &str, broken: &ExchangeError) -> ConnectError {
    let known = no_shell(host, true, broken);
    if matches!(known, ConnectError::Failed { .. }) {
        return known;
    }
    ConnectError::failed(format!("sudo on {host} took the password for root and ended{}", seen(broken)))
        .hint(format!("is the password right, and may the user become root? try `sudo -k -v` on {host}"))
}

/// A server that opens not even one session.
pub fn no_session(host: &str) -> ConnectError {
    ConnectError::failed(format!("sshd on {host} opens no session, though none of this run is open"))
        .hint("look at MaxSessions in its sshd_config, and for what else uses this connection")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(seen: &str) -> ExchangeError {
        ExchangeError { seen: seen.into(), ..ExchangeError::default() }
    }

    #[test]
    fn what_keeps_sudo_from_working_is_told_with_a_cure() {
        for (seen, what) in [
            ("sudo: a password is required", "sudo on pi-1 wants a password"),
            ("sh: 1: exec: sudo: not found", "there is no sudo on pi-1"),
            ("sh: exec: line 0: sudo: not found", "there is no sudo on pi-1"),
            ("bob is not in the sudoers file.", "does not let the user become root; seen last: bob is not"),
        ] {
            let ConnectError::Failed { message, hint } = no_shell("pi-1", true, &ended(seen)) else { panic!("{seen}") };
            assert!(message.contains(what) && hint.is_some(), "{message}");
        }
        let excess = ExchangeError { excess: Some("too much".into()), ..ended("") };
        assert_eq!(broken("pi-1", &excess, true, false).to_string(), "pi-1 answered too much");
        assert!(matches!(no_shell("pi-1", false, &ended("sudo: not found")), ConnectError::Unreachable { .. }));
    }

    #[test]
    fn what_is_known_afterwards_depends_on_what_was_asked_and_on_what_broke() {
        let late = ExchangeError { deadline: true, seen: "downloading".into(), ..ExchangeError::default() };
        for (broken_by, connected, change, kind) in [
            (&late, true, true, "lost"),
            (&late, true, false, "failed"),
            (&ended(""), true, true, "lost"),
            (&ended(""), true, false, "failed"),
            (&ended(""), false, true, "lost"),
            (&ended(""), false, false, "unreachable"),
        ] {
            let found = match broken("pi-1", broken_by, connected, change) {
                ConnectError::Unreachable { .. } => "unreachable",
                ConnectError::Failed { .. } => "failed",
                ConnectError::Lost { .. } => "lost",
                ConnectError::Defect { .. } => "defect",
            };
            assert_eq!(found, kind, "connected {connected}, change {change}");
        }
        assert!(broken("pi-1", &late, true, true).to_string().ends_with("seen last: downloading"));
    }
}
