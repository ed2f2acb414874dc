//! Cases of the actions on host names, boot files, facts and reboots.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Detected};
use crate::connect::{Fact, Probe};

/// A Raspberry Pi that was booted after its config.txt was written.
fn answer(probe: &Probe) -> Fact {
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
            answer,
            params: &[
                ("cmdline", Detected::ByVerdict("cmdline = ['cgroup_memory=0']")),
                ("cmdline_absent", Detected::ByVerdict("cmdline_absent = ['quiet']")),
                ("config", Detected::ByVerdict("config = ['arm_64bit=0']")),
                ("config_absent", Detected::ByVerdict("config_absent = ['dtparam=audio=on']")),
                ("section", Detected::ByVerdict("section = 'pi5'")),
                ("folder", Detected::ByVerdict("folder = '/boot'")),
            ],
        },
        Case {
            action: "node.facts",
            step: "require = ['cpus < 1']",
            answer,
            params: &[("require", Detected::ByVerdict("require = ['cpus > 1']"))],
        },
        Case {
            action: "node.hostname",
            step: "name = 'pi-1'",
            answer,
            params: &[("name", Detected::ByVerdict("name = 'pi-2'"))],
        },
        Case {
            action: "node.reboot",
            step: "when_file = '/var/run/reboot-required'",
            answer,
            params: &[
                ("when_file", Detected::ByVerdict("when_file = '/etc/hosts'")),
                ("only_if", Detected::ByVerdictOf("only_if = 'true'")),
                ("check", Detected::Never),
                ("command", Detected::Never),
                ("message", Detected::Never),
                ("delay", Detected::Never),
            ],
        },
    ]
}
