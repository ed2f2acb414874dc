//! Folders that are brought to a host, and files that are brought from it.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Seen};
use crate::connect::{Fact, Probe};

/// SHA-256 of `hello`.
const STAMP: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 strip 0\n";

const COMMIT: &str = "head 1111111111111111111111111111111111111111\norigin https://a/x.git\nchanged yes\nremote\n\
                      1111111111111111111111111111111111111111\trefs/heads/main\n\
                      2222222222222222222222222222222222222222\trefs/heads/other\n";

/// A host with all of it, and the project beside which the tool runs.
fn sees(probe: &Probe) -> Fact {
    Host {
        files: &[
            ("/srv", FileState::Folder(0o755)),
            ("/srv/hello", FileState::Text("hello", 0o644)),
            ("/project/copy", FileState::Text("hello", 0o600)),
            ("/var/x.tar", FileState::Text("hello", 0o644)),
            ("/srv/.x.tar.unpacked", FileState::Text(STAMP, 0o644)),
        ],
        commands: &[("command -v", "cat\ntar\ngit\n"), ("find .", "./hello\0./more\0"), ("ls-remote", COMMIT)],
        ..Host::default()
    }
    .answer(probe)
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "node.archive",
            step: "archive = '/var/x.tar'\npath = '/srv'",
            sees,
            params: &[
                ("archive", Seen::With("archive = '/var/y.tar'")),
                ("path", Seen::With("path = '/other'")),
                ("strip", Seen::With("strip = 1")),
                ("creates", Seen::With("creates = '/srv/other'")),
                ("format", Seen::Told),
                ("preserve_permissions", Seen::With("preserve_permissions = true")),
            ],
        },
        Case {
            action: "node.copy_tree",
            step: "path = '/srv'\nmode = '0644'\ndirectory_mode = '0755'\nowner = 'root'\ngroup = 'root'\n\
                   source = { path = 's', files = [{ path = 'hello', content = 'aGVsbG8=', executable = false }] }",
            sees,
            params: &[
                (
                    "source",
                    Seen::With(
                        "source = { path = 's', files = [{ path = 'hello', content = 'b3RoZXI=', executable = false }] }",
                    ),
                ),
                ("path", Seen::With("path = '/other'")),
                ("mode", Seen::With("mode = '0600'")),
                ("directory_mode", Seen::With("directory_mode = '0700'")),
                ("owner", Seen::With("owner = 'pi'")),
                ("group", Seen::With("group = 'pi'")),
                ("delete", Seen::With("delete = true")),
            ],
        },
        Case {
            action: "node.fetch",
            step: "path = '/srv/hello'\nto = { path = 'copy', at = '/project/copy' }",
            sees,
            params: &[
                ("path", Seen::With("path = '/srv/other'")),
                ("to", Seen::With("to = { path = 'other', at = '/project/other' }")),
                ("max_size", Seen::With("max_size = 4")),
                ("mode", Seen::With("mode = '0644'")),
            ],
        },
        Case {
            action: "node.fetch",
            step: "path = '/srv/other'\nto = { path = 'copy', at = '/project/copy' }\nrequired = false",
            sees,
            params: &[("required", Seen::With("required = true"))],
        },
        Case {
            action: "node.git",
            step: "repo = 'https://a/x.git'\npath = '/srv/x'\nversion = 'main'",
            sees,
            params: &[
                ("repo", Seen::With("repo = 'https://b/x.git'")),
                ("path", Seen::Elsewhere("path = '/srv/y'")),
                ("version", Seen::With("version = 'other'")),
                ("depth", Seen::Told),
                ("force", Seen::With("force = true")),
            ],
        },
    ]
}
