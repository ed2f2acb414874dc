//! The kernel, mounts, and what systemd runs.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Seen};

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
            sees: with_systemd,
            params: &[
                ("name", Seen::Elsewhere("name = 'y'")),
                ("state", Seen::With("state = 'stopped'")),
                ("enabled", Seen::With("enabled = false")),
                ("unit", Seen::With("unit = \"[Service]\\nExecStart=/bin/x\\n[Install]\\nWantedBy=b.target\\n\"")),
                ("daemon_reload", Seen::With("daemon_reload = true")),
            ],
        },
        Case {
            action: "node.service",
            step: "name = 'x'\nmasked = false",
            sees: with_systemd,
            params: &[("masked", Seen::With("masked = true"))],
        },
        Case {
            action: "node.timer",
            step: "name = 'tidy'\ncommand = 'true'\non_calendar = 'daily'",
            sees: with_systemd,
            params: &[
                ("name", Seen::With("name = 'other'")),
                ("state", Seen::Instead("name = 'tidy'\nstate = 'absent'")),
                ("command", Seen::With("command = 'false'")),
                ("on_calendar", Seen::With("on_calendar = 'weekly'")),
                ("every", Seen::Instead("name = 'tidy'\ncommand = 'true'\nevery = '1h'")),
                ("persistent", Seen::With("persistent = true")),
                ("random_delay", Seen::With("random_delay = '1m'")),
                ("max_runtime", Seen::With("max_runtime = '1m'")),
                ("user", Seen::With("user = 'pi'")),
                ("description", Seen::With("description = 'other'")),
            ],
        },
        Case {
            action: "node.mount",
            step: "path = '/data'\nsource = 'LABEL=data'\nfstype = 'ext4'\noptions = ['noatime']\npass = 2",
            sees: |probe| {
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
                ("path", Seen::Elsewhere("path = '/other'")),
                ("state", Seen::Instead("path = '/data'\nstate = 'absent'")),
                ("source", Seen::With("source = 'LABEL=other'")),
                ("fstype", Seen::With("fstype = 'xfs'")),
                ("options", Seen::With("options = ['ro']")),
                ("pass", Seen::With("pass = 0")),
            ],
        },
        Case {
            action: "node.sysctl",
            step: "name = 'x'\nminimum = true\nsettings = { \"vm.swappiness\" = 10 }",
            sees: |probe| {
                Host {
                    files: &[("/etc/sysctl.d/x.conf", FileState::Text("vm.swappiness = 20\n", 0o644))],
                    sysctls: &[("vm.swappiness", "20")],
                    ..Host::default()
                }
                .answer(probe)
            },
            params: &[
                ("name", Seen::With("name = 'y'")),
                ("settings", Seen::With("settings = { \"vm.swappiness\" = 30 }")),
                ("minimum", Seen::With("minimum = false")),
            ],
        },
        Case {
            action: "node.kernel_module",
            step: "modules = ['overlay']\npersist = false",
            sees: |probe| Host::default().answer(probe),
            params: &[
                ("modules", Seen::With("modules = ['overlay', 'br_netfilter']")),
                ("persist", Seen::With("persist = true")),
            ],
        },
    ]
}
