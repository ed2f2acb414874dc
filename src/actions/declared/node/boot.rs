//! What a host is, is called, and how it boots.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Seen};
use crate::connect::{Fact, Probe};

/// A Raspberry Pi that was booted after its config.txt was written.
fn sees(probe: &Probe) -> Fact {
    Host {
        files: &[
            ("/boot/firmware/cmdline.txt", FileState::Text("quiet cgroup_memory=1\n", 0o644)),
            ("/boot/firmware/config.txt", FileState::Text("arm_64bit=1\ndtparam=audio=on\n", 0o644)),
            ("/etc/hostname", FileState::Text("pi-1\n", 0o644)),
            ("/etc/hosts", FileState::Text("127.0.1.1\tpi-1\n", 0o644)),
        ],
        commands: &[("btime", "200\n100\nquiet cgroup_memory=1\n")],
        sysctls: &[("kernel.hostname", "pi-1")],
    }
    .answer(probe)
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "node.boot_config",
            step: "cmdline = ['cgroup_memory=1']\nconfig = ['arm_64bit=1']",
            sees,
            params: &[
                ("cmdline", Seen::With("cmdline = ['cgroup_memory=0']")),
                ("cmdline_absent", Seen::With("cmdline_absent = ['quiet']")),
                ("config", Seen::With("config = ['arm_64bit=0']")),
                ("config_absent", Seen::With("config_absent = ['dtparam=audio=on']")),
                ("section", Seen::With("section = 'pi5'")),
                ("folder", Seen::With("folder = '/boot'")),
            ],
        },
        Case {
            action: "node.facts",
            step: "require = ['cpus < 1']",
            sees,
            params: &[("require", Seen::With("require = ['cpus > 1']"))],
        },
        Case { action: "node.hostname", step: "name = 'pi-1'", sees, params: &[("name", Seen::With("name = 'pi-2'"))] },
        Case {
            action: "node.reboot",
            step: "when_file = '/var/run/reboot-required'",
            sees,
            params: &[
                ("when_file", Seen::With("when_file = '/etc/hosts'")),
                ("only_if", Seen::Instead("only_if = 'true'")),
                ("check", Seen::Told),
                ("command", Seen::Told),
                ("message", Seen::Told),
                ("delay", Seen::Told),
            ],
        },
    ]
}
