//! Accounts, commands, and what waits.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Seen};
use crate::connect::{Fact, Probe};

fn sees(probe: &Probe) -> Fact {
    Host {
        files: &[("/made", FileState::Text("", 0o644))],
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
            action: "node.command",
            step: "command = 'x'\ncreates = '/made'",
            sees,
            params: &[
                ("creates", Seen::With("creates = '/other'")),
                ("removes", Seen::Instead("command = 'x'\nremoves = '/made'")),
                ("unless", Seen::Instead("command = 'x'\nunless = 'fails'")),
                ("only_if", Seen::Instead("command = 'x'\nonly_if = 'true'")),
                ("command", Seen::Told),
                ("argv", Seen::Told),
                ("stdin", Seen::Told),
                ("cwd", Seen::Told),
                ("ok_exit_codes", Seen::Told),
                ("failed_when", Seen::Told),
                ("changed_when", Seen::Told),
                ("on_interrupt", Seen::Told),
                ("wait", Seen::Told),
            ],
        },
        Case {
            action: "node.script",
            step: "script = { path = 's', content = 'x' }\ncreates = '/made'",
            sees,
            params: &[
                ("creates", Seen::With("creates = '/other'")),
                ("removes", Seen::Instead("script = { path = 's', content = 'x' }\nremoves = '/made'")),
                ("unless", Seen::Instead("script = { path = 's', content = 'x' }\nunless = 'fails'")),
                ("only_if", Seen::Instead("script = { path = 's', content = 'x' }\nonly_if = 'true'")),
                ("script", Seen::Told),
                ("args", Seen::Told),
                ("interpreter", Seen::Told),
                ("stdin", Seen::Told),
                ("cwd", Seen::Told),
                ("ok_exit_codes", Seen::Told),
                ("failed_when", Seen::Told),
                ("changed_when", Seen::Told),
                ("on_interrupt", Seen::Told),
            ],
        },
        Case {
            action: "node.command",
            step: "command = 'x'\nchanges = false",
            sees,
            params: &[("changes", Seen::With("changes = true"))],
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
