//! Cases of the actions on files and their content.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Detected};

fn answer(probe: &crate::connect::Probe) -> crate::connect::Fact {
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
            answer,
            params: &[
                ("path", Detected::ByVerdict("path = '/other'")),
                ("state", Detected::ByVerdictOf("path = '/srv/hello'\nstate = 'absent'")),
                ("mode", Detected::ByVerdict("mode = '0750'")),
                ("owner", Detected::ByVerdict("owner = 'pi'")),
                ("group", Detected::ByVerdict("group = '4'")),
            ],
        },
        Case {
            action: "node.file",
            step: "path = '/srv/hello'\ncontent = 'hello'\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            answer,
            params: &[
                ("path", Detected::ByVerdict("path = '/srv/other'")),
                ("content", Detected::ByVerdict("content = 'other'")),
                ("state", Detected::ByVerdictOf("path = '/srv/hello'\nstate = 'absent'")),
                ("mode", Detected::ByVerdict("mode = '0600'")),
                ("owner", Detected::ByVerdict("owner = 'pi'")),
                ("group", Detected::ByVerdict("group = 'pi'")),
                ("backup", Detected::Never),
                ("validate", Detected::Never),
            ],
        },
        Case {
            action: "node.file",
            step: "path = '/srv/link'\nstate = 'link'\ntarget = 'hello'",
            answer,
            params: &[("target", Detected::ByVerdict("target = 'other'"))],
        },
        Case {
            action: "node.file",
            step: "path = '/srv/hello'\nsource = { path = 'f', content = 'hello' }",
            answer,
            params: &[("source", Detected::ByVerdict("source = { path = 'f', content = 'other' }"))],
        },
        Case {
            action: "node.template",
            step: "path = '/srv/hello'\ntemplate = { path = 't', content = 'hello' }\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            answer,
            params: &[
                ("path", Detected::ByVerdict("path = '/srv/other'")),
                ("template", Detected::ByVerdict("template = { path = 't', content = 'other' }")),
                ("mode", Detected::ByVerdict("mode = '0600'")),
                ("owner", Detected::ByVerdict("owner = 'pi'")),
                ("group", Detected::ByVerdict("group = 'pi'")),
                ("backup", Detected::Never),
                ("validate", Detected::Never),
            ],
        },
        Case {
            action: "node.block",
            step: "path = '/srv/lines'\nmarker = '# {mark} x'\nblock = 'y'\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            answer,
            params: &[
                ("path", Detected::ByVerdict("path = '/srv/hello'")),
                ("block", Detected::ByVerdict("block = 'z'")),
                ("marker", Detected::ByVerdict("marker = '# {mark} z'")),
                ("state", Detected::ByVerdictOf("path = '/srv/lines'\nmarker = '# {mark} x'\nstate = 'absent'")),
                ("insert", Detected::Never),
                ("after", Detected::Never),
                ("before", Detected::Never),
                ("first_match", Detected::Never),
                ("create", Detected::Never),
                ("mode", Detected::ByVerdict("mode = '0600'")),
                ("owner", Detected::ByVerdict("owner = 'pi'")),
                ("group", Detected::ByVerdict("group = 'pi'")),
                ("backup", Detected::Never),
                ("validate", Detected::Never),
            ],
        },
        Case {
            action: "node.line",
            step: "path = '/srv/lines'\nline = 'a = 1'\nmatch = '^a ='\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            answer,
            params: &[
                ("path", Detected::ByVerdict("path = '/srv/hello'")),
                ("line", Detected::ByVerdict("line = 'a = 2'")),
                ("match", Detected::ByVerdict("match = '^b ='")),
                ("state", Detected::ByVerdictOf("path = '/srv/lines'\nline = 'a = 1'\nstate = 'absent'")),
                ("insert", Detected::Never),
                ("after", Detected::Never),
                ("before", Detected::Never),
                ("create", Detected::Never),
                ("mode", Detected::ByVerdict("mode = '0600'")),
                ("owner", Detected::ByVerdict("owner = 'pi'")),
                ("group", Detected::ByVerdict("group = 'pi'")),
                ("backup", Detected::Never),
                ("validate", Detected::Never),
            ],
        },
        Case {
            action: "node.line",
            step: "path = '/srv/lines'\nline = '$1 = 1'\nmatch = '^([ab]) ='\nexcept = '^b'\nbackrefs = true",
            answer,
            params: &[
                ("except", Detected::ByVerdict("except = '^a'")),
                ("backrefs", Detected::ByVerdict("backrefs = false")),
            ],
        },
        Case {
            action: "node.line",
            step: "path = '/srv/lines'\nline = 'a = 1'\nmatch = ' = '\nfirst_match = true",
            answer,
            params: &[("first_match", Detected::ByVerdict("first_match = false"))],
        },
        Case {
            action: "node.hosts_entry",
            step: "address = '10.0.0.1'\nnames = ['x', 'y']",
            answer,
            params: &[
                ("names", Detected::ByVerdict("names = ['x', 'z']")),
                ("address", Detected::ByVerdict("address = '10.0.0.2'")),
                ("state", Detected::ByVerdict("state = 'absent'")),
                ("path", Detected::ByVerdict("path = '/srv/hello'")),
                ("backup", Detected::Never),
            ],
        },
        Case {
            action: "node.cron",
            step: "name = 'x'\nschedule = '@daily'\ncommand = 'date'\nenvironment = { MAILTO = '' }",
            answer,
            params: &[
                ("name", Detected::ByVerdict("name = 'y'")),
                ("state", Detected::ByVerdictOf("name = 'x'\nstate = 'absent'")),
                ("schedule", Detected::ByVerdict("schedule = '@hourly'")),
                ("command", Detected::ByVerdict("command = 'true'")),
                ("user", Detected::ByVerdict("user = 'pi'")),
                ("environment", Detected::ByVerdict("environment = { MAILTO = 'a' }")),
                ("folder", Detected::ByVerdict("folder = '/srv'")),
            ],
        },
        Case {
            action: "node.download",
            step: "url = 'https://x/y'\npath = '/srv/hello'\nchecksum = 'sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'\nmode = '0644'\nowner = 'root'\ngroup = 'root'",
            answer,
            params: &[
                ("url", Detected::Never),
                ("path", Detected::ByVerdict("path = '/srv/other'")),
                (
                    "checksum",
                    Detected::ByVerdict(
                        "checksum = 'sha256:3cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824'",
                    ),
                ),
                ("headers", Detected::Never),
                ("mode", Detected::ByVerdict("mode = '0600'")),
                ("owner", Detected::ByVerdict("owner = 'pi'")),
                ("group", Detected::ByVerdict("group = 'pi'")),
            ],
        },
    ]
}
