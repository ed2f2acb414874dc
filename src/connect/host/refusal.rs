//! Translates ssh's error messages into causes and remedies.

use crate::connect::ConnectError;
use crate::inventory::Host;

/// The error for ssh's output `text`: what happened, ssh's own message, and what the user can do.
pub fn explain(host: &Host, text: &str) -> ConnectError {
    let address = &host.address;
    let known_as =
        host.port.filter(|port| *port != 22).map_or_else(|| address.clone(), |port| format!("[{address}]:{port}"));
    let has = |part: &str| text.contains(part);
    let (what, hint) = if has("IDENTIFICATION HAS CHANGED") || has("has changed and you have requested strict checking")
    {
        (
            format!("the host key of {address} is NOT the one in known_hosts"),
            format!(
                "somebody may be between you and the host, or it was set up anew: read the key's fingerprint on the host \
                 itself (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), and only when it is the one ssh shows, \
                 replace the old line (`ssh-keygen -R '{known_as}'`, then add the new key)"
            ),
        )
    } else if has("host key is known for") || has("Host key verification failed") {
        (
            format!("the host key of {address} is not in known_hosts"),
            format!(
                "log in once by hand (`ssh {address}`), compare the fingerprint with the one on the host, and accept it; \
                 or add the key to known_hosts"
            ),
        )
    } else if has("Permission denied (") || has("Too many authentication failures") {
        (
            format!("{address} refuses the login"),
            format!(
                "try `ssh {address}` by hand: is the user right, the key in the agent, its public half on the host?"
            ),
        )
    } else if has("Could not resolve") {
        (
            format!("the name {address} does not resolve"),
            "set the host's `address` in the inventory, or a HostName in the ssh config".to_owned(),
        )
    } else if has("timed out") || has("Timeout") {
        (
            format!("{address} does not answer"),
            "check that it is powered on and on the network, and that no firewall blocks ssh".to_owned(),
        )
    } else if has("Connection refused") {
        (format!("{address} refuses the connection"), "is sshd running there, and on this port?".to_owned())
    } else if has("No route to host") || has("Network is unreachable") || has("Host is down") {
        (format!("there is no route to {address}"), "is it powered on, and is this machine on its network?".to_owned())
    } else if has("cannot run ssh") {
        ("there is no ssh program".to_owned(), "install the OpenSSH client".to_owned())
    } else if has("onfiguration option") || has("Can't open user config file") || has("command-line") {
        let hint = "see `[ssh]` and `ssh.options` in the inventory; `ssh -V` and `ssh -Q kex` tell what this ssh knows";
        ("ssh does not accept its configuration".to_owned(), hint.to_owned())
    } else if has("no matching") {
        let hint = "allow one that both support: `ssh.options` in the inventory can add algorithms";
        (format!("{address} and ssh have no algorithm in common"), hint.to_owned())
    } else {
        (format!("ssh cannot connect to {address}"), format!("try `ssh {address}` by hand"))
    };
    let message = ssh_message(text);
    let suffix = if message.is_empty() { String::new() } else { format!(": {message}") };
    ConnectError::unreachable(format!("{what}{suffix}")).hint(hint)
}

/// ssh's message on one line. Of the long warning about a changed host key, only the fingerprint and the place of the
/// old key are kept.
fn ssh_message(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    if !text.contains("IDENTIFICATION HAS CHANGED") {
        return lines.collect::<Vec<_>>().join("; ");
    }
    let fingerprint = lines.clone().find(|line| line.starts_with("SHA256:"));
    let fingerprint = fingerprint.map(|line| format!("it shows {}", line.trim_end_matches('.')));
    let old =
        lines.filter_map(|line| line.strip_prefix("Offending ")).map(|line| format!("known is the {line}")).next();
    [fingerprint, old].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(text: &str) -> (String, String) {
        let host = Host { name: "pi-1".into(), address: "pi-1.home".into(), ..Host::default() };
        match explain(&host, text) {
            ConnectError::Unreachable { message, hint } => (message, hint.unwrap_or_default()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_refusal_of_ssh_has_its_own_words() {
        for (text, what) in [
            (
                "ssh: Could not resolve hostname pi-1.home: Name or service not known",
                "the name pi-1.home does not resolve",
            ),
            ("ssh: connect to host pi-1.home port 22: Connection refused", "pi-1.home refuses the connection"),
            ("ssh: connect to host pi-1.home port 22: Connection timed out", "pi-1.home does not answer"),
            ("Connection timed out during banner exchange", "pi-1.home does not answer"),
            ("ssh: connect to host pi-1.home port 22: No route to host", "there is no route to pi-1.home"),
            ("me@pi-1.home: Permission denied (publickey,password).", "pi-1.home refuses the login"),
            ("Received disconnect from 10.0.0.2 port 22:2: Too many authentication failures", "refuses the login"),
            ("/home/me/c: line 3: Bad configuration option: foo", "ssh does not accept its configuration"),
            (
                "command-line line 0: Bad SSH2 KexAlgorithms 'no-such-exchange'.",
                "ssh does not accept its configuration",
            ),
            (
                "Unable to negotiate with 10.0.0.2 port 22: no matching key exchange method found. Their offer: x",
                "no algorithm in common",
            ),
            ("Can't open user config file /x: No such file or directory", "ssh does not accept its configuration"),
            (
                "No ED25519 host key is known for pi-1.home and you have requested strict checking.\r\n\
                 Host key verification failed.",
                "the host key of pi-1.home is not in known_hosts",
            ),
            ("kex_exchange_identification: read: Connection reset by peer", "ssh cannot connect to pi-1.home"),
        ] {
            let (message, hint) = explained(text);
            assert!(message.contains(what) && !hint.is_empty(), "{text}: {message}");
            assert!(message.contains(text.lines().next().unwrap().trim()), "{message}");
        }
    }

    #[test]
    fn a_changed_key_is_no_unknown_key_and_both_keys_are_named() {
        let text = "@@@@@@@@@@@\r\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r\n@@@@@@@@@@@\r\n\
                    IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r\n\
                    The fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\r\n\
                    Offending ED25519 key in /home/me/.ssh/known_hosts:1\r\n\
                    Host key for pi-1.home has changed and you have requested strict checking.\r\n\
                    Host key verification failed.";
        let (message, hint) = explained(text);
        assert_eq!(
            message,
            "the host key of pi-1.home is NOT the one in known_hosts: it shows SHA256:abc; \
             known is the ED25519 key in /home/me/.ssh/known_hosts:1"
        );
        assert!(hint.contains("fingerprint"), "{hint}");
    }
}
