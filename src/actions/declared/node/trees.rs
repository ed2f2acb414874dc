//! Cases of the actions that copy folders to a host and fetch files from it.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Detected};
use crate::connect::{Fact, Probe};

/// Contains the SHA-256 of `hello`.
const STAMP: &str = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 strip 0\n";

const COMMIT: &str = "head 1111111111111111111111111111111111111111\norigin https://a/x.git\nchanged yes\nremote\n\
                      1111111111111111111111111111111111111111\trefs/heads/main\n\
                      2222222222222222222222222222222222222222\trefs/heads/other\n";

/// A host to which everything was copied already; the project folder has the same content.
fn answer(probe: &Probe) -> Fact {
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
            answer,
            params: &[
                ("archive", Detected::ByVerdict("archive = '/var/y.tar'")),
                ("path", Detected::ByVerdict("path = '/other'")),
                ("strip", Detected::ByVerdict("strip = 1")),
                ("creates", Detected::ByVerdict("creates = '/srv/other'")),
                ("format", Detected::Never),
                ("preserve_permissions", Detected::ByVerdict("preserve_permissions = true")),
            ],
        },
        Case {
            action: "node.copy_tree",
            step: "path = '/srv'\nmode = '0644'\ndirectory_mode = '0755'\nowner = 'root'\ngroup = 'root'\n\
                   source = { path = 's', files = [{ path = 'hello', content = 'aGVsbG8=', executable = false }] }",
            answer,
            params: &[
                (
                    "source",
                    Detected::ByVerdict(
                        "source = { path = 's', files = [{ path = 'hello', content = 'b3RoZXI=', executable = false }] }",
                    ),
                ),
                ("path", Detected::ByVerdict("path = '/other'")),
                ("mode", Detected::ByVerdict("mode = '0600'")),
                ("directory_mode", Detected::ByVerdict("directory_mode = '0700'")),
                ("owner", Detected::ByVerdict("owner = 'pi'")),
                ("group", Detected::ByVerdict("group = 'pi'")),
                ("delete", Detected::ByVerdict("delete = true")),
            ],
        },
        Case {
            action: "node.fetch",
            step: "path = '/srv/hello'\nto = { path = 'copy', at = '/project/copy' }",
            answer,
            params: &[
                ("path", Detected::ByVerdict("path = '/srv/other'")),
                ("to", Detected::ByVerdict("to = { path = 'other', at = '/project/other' }")),
                ("max_size", Detected::ByVerdict("max_size = 4")),
                ("mode", Detected::ByVerdict("mode = '0644'")),
            ],
        },
        Case {
            action: "node.fetch",
            step: "path = '/srv/other'\nto = { path = 'copy', at = '/project/copy' }\nrequired = false",
            answer,
            params: &[("required", Detected::ByVerdict("required = true"))],
        },
        Case {
            action: "node.git",
            step: "repo = 'https://a/x.git'\npath = '/srv/x'\nversion = 'main'",
            answer,
            params: &[
                ("repo", Detected::ByVerdict("repo = 'https://b/x.git'")),
                ("path", Detected::ByProbes("path = '/srv/y'")),
                ("version", Detected::ByVerdict("version = 'other'")),
                ("depth", Detected::Never),
                ("force", Detected::ByVerdict("force = true")),
            ],
        },
    ]
}
