//! Cases of the actions on the kernel, mounts and systemd.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Detected};

const SHOWN: &str =
    "Id=x.service\nLoadState=loaded\nActiveState=active\nSubState=running\nNeedDaemonReload=no\nIsEnabled=enabled\n";

const UNIT: &str = "[Service]\nExecStart=/bin/x\n[Install]\nWantedBy=a.target\n";

fn with_systemd(probe: &crate::connect::Probe) -> crate::connect::Fact {
    Host {
        files: &[
            ("/etc/systemd/system/x.service", FileState::Text(UNIT, 0o644)),
            (
                "/etc/systemd/system/tidy.service",
                FileState::Text(
                    "[Unit]\nDescription=tidy\n\n[Service]\nType=oneshot\nExecStart=/bin/sh -c \"true\"\n",
                    0o644,
                ),
            ),
            (
                "/etc/systemd/system/tidy.timer",
                FileState::Text(
                    "[Unit]\nDescription=tidy\n\n[Timer]\nOnCalendar=daily\nPersistent=false\n\n[Install]\nWantedBy=timers.target\n",
                    0o644,
                ),
            ),
        ],
        commands: &[("systemctl show", SHOWN)],
        ..Host::default()
    }
    .answer(probe)
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "node.service",
            step: "name = 'x'\nstate = 'started'\nenabled = true\nunit = \"[Service]\\nExecStart=/bin/x\\n[Install]\\nWantedBy=a.target\\n\"",
            answer: with_systemd,
            params: &[
                ("name", Detected::ByProbes("name = 'y'")),
                ("state", Detected::ByVerdict("state = 'stopped'")),
                ("enabled", Detected::ByVerdict("enabled = false")),
                (
                    "unit",
                    Detected::ByVerdict("unit = \"[Service]\\nExecStart=/bin/x\\n[Install]\\nWantedBy=b.target\\n\""),
                ),
                ("daemon_reload", Detected::ByVerdict("daemon_reload = true")),
            ],
        },
        Case {
            action: "node.service",
            step: "name = 'x'\nmasked = false",
            answer: with_systemd,
            params: &[("masked", Detected::ByVerdict("masked = true"))],
        },
        Case {
            action: "node.timer",
            step: "name = 'tidy'\ncommand = 'true'\non_calendar = 'daily'",
            answer: with_systemd,
            params: &[
                ("name", Detected::ByVerdict("name = 'other'")),
                ("state", Detected::ByVerdictOf("name = 'tidy'\nstate = 'absent'")),
                ("command", Detected::ByVerdict("command = 'false'")),
                ("on_calendar", Detected::ByVerdict("on_calendar = 'weekly'")),
                ("every", Detected::ByVerdictOf("name = 'tidy'\ncommand = 'true'\nevery = '1h'")),
                ("persistent", Detected::ByVerdict("persistent = true")),
                ("random_delay", Detected::ByVerdict("random_delay = '1m'")),
                ("max_runtime", Detected::ByVerdict("max_runtime = '1m'")),
                ("user", Detected::ByVerdict("user = 'pi'")),
                ("description", Detected::ByVerdict("description = 'other'")),
            ],
        },
        Case {
            action: "node.mount",
            step: "path = '/data'\nsource = 'LABEL=data'\nfstype = 'ext4'\noptions = ['noatime']\npass = 2",
            answer: |probe| {
                Host {
                    files: &[("/etc/fstab", FileState::Text("LABEL=data /data ext4 noatime 0 2\n", 0o644))],
                    commands: &[(
                        "mountinfo",
                        "/data\ndirectory\n/dev/sdb1\n8:11\nother\nentry /data /data\nmounts\n\
                         40 22 8:17 / /data rw,noatime - ext4 /dev/sdb1 rw\n",
                    )],
                    ..Host::default()
                }
                .answer(probe)
            },
            params: &[
                ("path", Detected::ByProbes("path = '/other'")),
                ("state", Detected::ByVerdictOf("path = '/data'\nstate = 'absent'")),
                ("source", Detected::ByVerdict("source = 'LABEL=other'")),
                ("fstype", Detected::ByVerdict("fstype = 'xfs'")),
                ("options", Detected::ByVerdict("options = ['ro']")),
                ("pass", Detected::ByVerdict("pass = 0")),
            ],
        },
        Case {
            action: "node.sysctl",
            step: "name = 'x'\nminimum = true\nsettings = { \"vm.swappiness\" = 10 }",
            answer: |probe| {
                Host {
                    files: &[("/etc/sysctl.d/x.conf", FileState::Text("vm.swappiness = 20\n", 0o644))],
                    sysctls: &[("vm.swappiness", "20")],
                    ..Host::default()
                }
                .answer(probe)
            },
            params: &[
                ("name", Detected::ByVerdict("name = 'y'")),
                ("settings", Detected::ByVerdict("settings = { \"vm.swappiness\" = 30 }")),
                ("minimum", Detected::ByVerdict("minimum = false")),
            ],
        },
        Case {
            action: "node.kernel_module",
            step: "modules = ['overlay']\npersist = false",
            answer: |probe| Host::default().answer(probe),
            params: &[
                ("modules", Detected::ByVerdict("modules = ['overlay', 'br_netfilter']")),
                ("persist", Detected::ByVerdict("persist = true")),
            ],
        },
    ]
}
