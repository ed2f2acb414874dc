//! Files and what is in them.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Seen};

fn sees(probe: &crate::connect::Probe) -> crate::connect::Fact {
    Host {
        files: &[
            ("/srv", FileState::Folder(0o755)),
            ("/srv/hello", FileState::Text("hello", 0o644)),
            ("/srv/link", FileState::Link("hello")),
            ("/srv/lines", FileState::Text("a = 1\n# BEGIN x\ny\n# END x\nb = 2\n", 0o644)),
            ("/etc/hosts", FileState::Text("10.0.0.1\tx y\n", 0o644)),
            ("/etc/cron.d/x", FileState::Text("MAILTO=\"\"\n@daily root date\n", 0o644)),
        ],
        commands: &[("command -v", "curl\nwget\ntar\ngit\n")],
        ..Host::default()
    }
    .answer(probe)
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "node.directory",
            step: "path = '/srv'\nmode = '0755'\nowner = 'root'\ngroup = '0'",
            sees,
            params: &[
                ("path", Seen::With("path = '/other'")),
                ("state", Seen::Instead("path = '/srv/hello'\nstate = 'absent'")),
                ("mode", Seen::With("mode = '0750'")),
                ("owner", Seen::With("owner = 'pi'")),
                ("group", Seen::With("group = '4'")),
            ],
        },
        Case {
            action: "node.file",
            step: "path = '/srv/hello'\ncontent = 'hello'\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            sees,
            params: &[
                ("path", Seen::With("path = '/srv/other'")),
                ("content", Seen::With("content = 'other'")),
                ("state", Seen::Instead("path = '/srv/hello'\nstate = 'absent'")),
                ("mode", Seen::With("mode = '0600'")),
                ("owner", Seen::With("owner = 'pi'")),
                ("group", Seen::With("group = 'pi'")),
                ("backup", Seen::Told),
                ("validate", Seen::Told),
            ],
        },
        Case {
            action: "node.file",
            step: "path = '/srv/link'\nstate = 'link'\ntarget = 'hello'",
            sees,
            params: &[("target", Seen::With("target = 'other'"))],
        },
        Case {
            action: "node.file",
            step: "path = '/srv/hello'\nsource = { path = 'f', content = 'hello' }",
            sees,
            params: &[("source", Seen::With("source = { path = 'f', content = 'other' }"))],
        },
        Case {
            action: "node.template",
            step: "path = '/srv/hello'\ntemplate = { path = 't', content = 'hello' }\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            sees,
            params: &[
                ("path", Seen::With("path = '/srv/other'")),
                ("template", Seen::With("template = { path = 't', content = 'other' }")),
                ("mode", Seen::With("mode = '0600'")),
                ("owner", Seen::With("owner = 'pi'")),
                ("group", Seen::With("group = 'pi'")),
                ("backup", Seen::Told),
                ("validate", Seen::Told),
            ],
        },
        Case {
            action: "node.block",
            step: "path = '/srv/lines'\nmarker = '# {mark} x'\nblock = 'y'\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            sees,
            params: &[
                ("path", Seen::With("path = '/srv/hello'")),
                ("block", Seen::With("block = 'z'")),
                ("marker", Seen::With("marker = '# {mark} z'")),
                ("state", Seen::Instead("path = '/srv/lines'\nmarker = '# {mark} x'\nstate = 'absent'")),
                ("insert", Seen::Told),
                ("after", Seen::Told),
                ("before", Seen::Told),
                ("first_match", Seen::Told),
                ("create", Seen::Told),
                ("mode", Seen::With("mode = '0600'")),
                ("owner", Seen::With("owner = 'pi'")),
                ("group", Seen::With("group = 'pi'")),
                ("backup", Seen::Told),
                ("validate", Seen::Told),
            ],
        },
        Case {
            action: "node.line",
            step: "path = '/srv/lines'\nline = 'a = 1'\nmatch = '^a ='\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            sees,
            params: &[
                ("path", Seen::With("path = '/srv/hello'")),
                ("line", Seen::With("line = 'a = 2'")),
                ("match", Seen::With("match = '^b ='")),
                ("state", Seen::Instead("path = '/srv/lines'\nline = 'a = 1'\nstate = 'absent'")),
                ("insert", Seen::Told),
                ("after", Seen::Told),
                ("before", Seen::Told),
                ("create", Seen::Told),
                ("mode", Seen::With("mode = '0600'")),
                ("owner", Seen::With("owner = 'pi'")),
                ("group", Seen::With("group = 'pi'")),
                ("backup", Seen::Told),
                ("validate", Seen::Told),
            ],
        },
        Case {
            action: "node.line",
            step: "path = '/srv/lines'\nline = '$1 = 1'\nmatch = '^([ab]) ='\nexcept = '^b'\nbackrefs = true",
            sees,
            params: &[("except", Seen::With("except = '^a'")), ("backrefs", Seen::With("backrefs = false"))],
        },
        Case {
            action: "node.line",
            step: "path = '/srv/lines'\nline = 'a = 1'\nmatch = ' = '\nfirst_match = true",
            sees,
            params: &[("first_match", Seen::With("first_match = false"))],
        },
        Case {
            action: "node.hosts_entry",
            step: "address = '10.0.0.1'\nnames = ['x', 'y']",
            sees,
            params: &[
                ("names", Seen::With("names = ['x', 'z']")),
                ("address", Seen::With("address = '10.0.0.2'")),
                ("state", Seen::With("state = 'absent'")),
                ("path", Seen::With("path = '/srv/hello'")),
                ("backup", Seen::Told),
            ],
        },
        Case {
            action: "node.cron",
            step: "name = 'x'\nschedule = '@daily'\ncommand = 'date'\nenvironment = { MAILTO = '' }",
            sees,
            params: &[
                ("name", Seen::With("name = 'y'")),
                ("state", Seen::Instead("name = 'x'\nstate = 'absent'")),
                ("schedule", Seen::With("schedule = '@hourly'")),
                ("command", Seen::With("command = 'true'")),
                ("user", Seen::With("user = 'pi'")),
                ("environment", Seen::With("environment = { MAILTO = 'a' }")),
                ("folder", Seen::With("folder = '/srv'")),
            ],
        },
        Case {
            action: "node.download",
            step: "url = 'https://x/y'\npath = '/srv/hello'\nchecksum = 'sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            sees,
            params: &[
                ("url", Seen::Told),
                ("path", Seen::With("path = '/srv/other'")),
                (
                    "checksum",
                    Seen::With("checksum = 'sha256:3cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'"),
                ),
                ("headers", Seen::Told),
                ("mode", Seen::With("mode = '0600'")),
                ("owner", Seen::With("owner = 'pi'")),
                ("group", Seen::With("group = 'pi'")),
            ],
        },
    ]
}
