//! Cases of the actions on groups, commands, scripts and waiting.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Detected};
use crate::connect::{Fact, Probe};

fn answer(probe: &Probe) -> Fact {
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
            answer,
            params: &[
                ("name", Detected::ByProbes("name = 'other'")),
                ("state", Detected::ByVerdictOf("name = 'web'\nstate = 'absent'")),
                ("gid", Detected::ByVerdict("gid = 81")),
                ("system", Detected::Never),
            ],
        },
        Case {
            action: "node.command",
            step: "command = 'x'\ncreates = '/made'",
            answer,
            params: &[
                ("creates", Detected::ByVerdict("creates = '/other'")),
                ("removes", Detected::ByVerdictOf("command = 'x'\nremoves = '/made'")),
                ("unless", Detected::ByVerdictOf("command = 'x'\nunless = 'fails'")),
                ("only_if", Detected::ByVerdictOf("command = 'x'\nonly_if = 'true'")),
                ("command", Detected::Never),
                ("argv", Detected::Never),
                ("stdin", Detected::Never),
                ("cwd", Detected::Never),
                ("ok_exit_codes", Detected::Never),
                ("failed_when", Detected::Never),
                ("changed_when", Detected::Never),
                ("on_interrupt", Detected::Never),
                ("wait", Detected::Never),
            ],
        },
        Case {
            action: "node.script",
            step: "script = { path = 's', content = 'x' }\ncreates = '/made'",
            answer,
            params: &[
                ("creates", Detected::ByVerdict("creates = '/other'")),
                ("removes", Detected::ByVerdictOf("script = { path = 's', content = 'x' }\nremoves = '/made'")),
                ("unless", Detected::ByVerdictOf("script = { path = 's', content = 'x' }\nunless = 'fails'")),
                ("only_if", Detected::ByVerdictOf("script = { path = 's', content = 'x' }\nonly_if = 'true'")),
                ("script", Detected::Never),
                ("args", Detected::Never),
                ("interpreter", Detected::Never),
                ("stdin", Detected::Never),
                ("cwd", Detected::Never),
                ("ok_exit_codes", Detected::Never),
                ("failed_when", Detected::Never),
                ("changed_when", Detected::Never),
                ("on_interrupt", Detected::Never),
            ],
        },
        Case {
            action: "node.command",
            step: "command = 'x'\nchanges = false",
            answer,
            params: &[("changes", Detected::ByVerdict("changes = true"))],
        },
        Case {
            action: "node.wait_for",
            step: "path = '/made'",
            answer,
            params: &[
                ("path", Detected::ByVerdict("path = '/other'")),
                ("state", Detected::ByVerdict("state = 'absent'")),
                ("command", Detected::ByVerdictOf("command = 'true'\nstate = 'absent'")),
            ],
        },
        Case {
            action: "node.wait_for",
            step: "port = 80\naddress = 'x'",
            answer,
            params: &[("port", Detected::ByProbes("port = 81")), ("address", Detected::ByProbes("address = 'y'"))],
        },
    ]
}
