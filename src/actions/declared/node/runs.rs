//! Accounts, commands, and what waits.

use crate::actions::declared::host::{Host, Thing};
use crate::actions::declared::{Case, Seen};
use crate::connect::{Fact, Probe};

fn sees(probe: &Probe) -> Fact {
    Host {
        files: &[("/made", Thing::Text("", 0o644))],
        commands: &[("getent group web", "web:x:80:\n"), ("/dev/tcp", "open\n")],
        ..Host::default()
    }
    .answer(probe)
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "node.group",
            step: "name = 'web'\ngid = 80",
            sees,
            params: &[
                ("name", Seen::Elsewhere("name = 'other'")),
                ("state", Seen::Instead("name = 'web'\nstate = 'absent'")),
                ("gid", Seen::With("gid = 81")),
                ("system", Seen::Told),
            ],
        },
        Case {
            action: "node.wait_for",
            step: "path = '/made'",
            sees,
            params: &[
                ("path", Seen::With("path = '/other'")),
                ("state", Seen::With("state = 'absent'")),
                ("command", Seen::Instead("command = 'true'\nstate = 'absent'")),
            ],
        },
        Case {
            action: "node.wait_for",
            step: "port = 80\naddress = 'x'",
            sees,
            params: &[("port", Seen::Elsewhere("port = 81")), ("address", Seen::Elsewhere("address = 'y'"))],
        },
    ]
}
