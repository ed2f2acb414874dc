//! The kernel, mounts, and what systemd runs.

use crate::actions::declared::host::{Host, Thing};
use crate::actions::declared::{Case, Seen};

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "node.sysctl",
            step: "name = 'x'\nminimum = true\nsettings = { \"vm.swappiness\" = 10 }",
            sees: |probe| {
                Host {
                    files: &[("/etc/sysctl.d/x.conf", Thing::Text("vm.swappiness = 20\n", 0o644))],
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
