//! Commands and kernel parameters as words of a script. No I/O.

use super::frame::user_script;
use super::quote;
use super::types::{Command, Run};

/// The command as the script of one part of a request.
pub fn script(run: &Run) -> String {
    let script = match &run.command {
        Command::Shell(script) => script.clone(),
        Command::Argv(argv) => quote::words(argv.iter().map(String::as_str)),
    };
    let script = user_script(&script, run.cwd.as_deref(), run.stdin.as_slice());
    if run.quiet { format!("{script} >/dev/null 2>&1") } else { script }
}

/// The file of a kernel parameter. Like `sysctl`, takes the first separator in the key (`.` or `/`) as the one that
/// separates its components.
pub fn sysctl_file(key: &str) -> String {
    let dotted = key.find(['.', '/']).is_none_or(|at| key.as_bytes()[at] == b'.');
    let swapped: String = if dotted {
        key.chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect()
    } else {
        key.to_owned()
    };
    format!("/proc/sys/{swapped}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_parameters_are_named_as_sysctl_names_them() {
        for (key, file) in [
            ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
            ("net/ipv4/conf/eth0.1/forwarding", "/proc/sys/net/ipv4/conf/eth0.1/forwarding"),
            ("net.ipv4.conf.eth0/1.forwarding", "/proc/sys/net/ipv4/conf/eth0.1/forwarding"),
        ] {
            assert_eq!(sysctl_file(key), file);
        }
    }
}
