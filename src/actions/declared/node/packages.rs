//! Packages, and where they come from.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Seen};
use crate::connect::{Fact, Probe};

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n";

/// A host with apt and its lists of 100 seconds ago, curl 8.1, and the configuration of wget.
fn sees(probe: &Probe) -> Fact {
    Host {
        files: &[
            (
                "/etc/apt/sources.list.d/x.sources",
                FileState::Text(
                    "Types: deb\nURIs: https://a/debian\nSuites: stable\nComponents: main\nSigned-By: /etc/apt/keyrings/x.asc\n",
                    0o644,
                ),
            ),
            ("/etc/apt/keyrings/x.asc", FileState::Text(KEY, 0o644)),
        ],
        commands: &[(
            "dpkg-query",
            "manager\tapt\nnative\tarm64\nlists\t100\npackage\tcurl\tarm64\tii \t8.1\npackage\twget\tarm64\trc \t1.2\n",
        )],
        ..Host::default()
    }
    .answer(probe)
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "node.package",
            step: "names = ['curl=8.1']",
            sees,
            params: &[
                ("names", Seen::With("names = ['curl=8.2']")),
                ("state", Seen::With("names = ['curl']\nstate = 'absent'")),
                ("hold", Seen::With("hold = true")),
                ("recommends", Seen::Told),
                ("allow_downgrade", Seen::Told),
                ("lock_timeout", Seen::Told),
            ],
        },
        Case {
            action: "node.package",
            step: "names = ['curl']\ncache_max_age = '10s'",
            sees,
            params: &[("update_cache", Seen::With("update_cache = true"))],
        },
        Case {
            action: "node.package",
            step: "names = ['curl']\nupdate_cache = true",
            sees,
            params: &[("cache_max_age", Seen::With("cache_max_age = '10s'"))],
        },
        Case {
            action: "node.package",
            step: "names = ['wget']\nstate = 'absent'",
            sees,
            params: &[("purge", Seen::With("purge = true"))],
        },
        Case {
            action: "node.apt_repository",
            step: "name = 'x'\nuris = ['https://a/debian']\nsuites = ['stable']\ncomponents = ['main']\n\
                   key_file = { path = 'k', content = \"-----BEGIN PGP PUBLIC KEY BLOCK-----\\n\\nmQ==\\n-----END PGP PUBLIC KEY BLOCK-----\" }",
            sees,
            params: &[
                ("name", Seen::With("name = 'y'")),
                ("state", Seen::Instead("name = 'x'\nstate = 'absent'")),
                ("uris", Seen::With("uris = ['https://b/debian']")),
                ("suites", Seen::With("suites = ['testing']")),
                ("components", Seen::With("components = ['main', 'extra']")),
                ("architectures", Seen::With("architectures = ['arm64']")),
                (
                    "key_file",
                    Seen::With(
                        "key_file = { path = 'k', content = '-----BEGIN PGP PUBLIC KEY BLOCK----- other -----END PGP' }",
                    ),
                ),
                (
                    "signed_by",
                    Seen::Instead(
                        "name = 'x'\nuris = ['https://a/debian']\nsuites = ['stable']\ncomponents = ['main']\n\
                         signed_by = '/usr/share/keyrings/x.gpg'",
                    ),
                ),
                ("source_packages", Seen::With("source_packages = true")),
            ],
        },
    ]
}
