//! Cases of the actions on packages and their repositories.

use crate::actions::declared::host::{FileState, Host};
use crate::actions::declared::{Case, Detected};
use crate::connect::{Fact, Probe};

const KEY: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQ==\n-----END PGP PUBLIC KEY BLOCK-----\n";

/// A host with apt, whose package lists are 100 seconds old, with curl 8.1 installed, and wget removed except for its
/// configuration.
fn answer(probe: &Probe) -> Fact {
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
            answer,
            params: &[
                ("names", Detected::ByVerdict("names = ['curl=8.2']")),
                ("state", Detected::ByVerdict("names = ['curl']\nstate = 'absent'")),
                ("hold", Detected::ByVerdict("hold = true")),
                ("recommends", Detected::Never),
                ("allow_downgrade", Detected::Never),
                ("lock_timeout", Detected::Never),
            ],
        },
        Case {
            action: "node.package",
            step: "names = ['curl']\ncache_max_age = '10s'",
            answer,
            params: &[("update_cache", Detected::ByVerdict("update_cache = true"))],
        },
        Case {
            action: "node.package",
            step: "names = ['curl']\nupdate_cache = true",
            answer,
            params: &[("cache_max_age", Detected::ByVerdict("cache_max_age = '10s'"))],
        },
        Case {
            action: "node.package",
            step: "names = ['wget']\nstate = 'absent'",
            answer,
            params: &[("purge", Detected::ByVerdict("purge = true"))],
        },
        Case {
            action: "node.apt_repository",
            step: "name = 'x'\nuris = ['https://a/debian']\nsuites = ['stable']\ncomponents = ['main']\n\
                   key_file = { path = 'k', content = \"-----BEGIN PGP PUBLIC KEY BLOCK-----\\n\\nmQ==\\n-----END PGP PUBLIC KEY BLOCK-----\" }",
            answer,
            params: &[
                ("name", Detected::ByVerdict("name = 'y'")),
                ("state", Detected::ByVerdictOf("name = 'x'\nstate = 'absent'")),
                ("uris", Detected::ByVerdict("uris = ['https://b/debian']")),
                ("suites", Detected::ByVerdict("suites = ['testing']")),
                ("components", Detected::ByVerdict("components = ['main', 'extra']")),
                ("architectures", Detected::ByVerdict("architectures = ['arm64']")),
                (
                    "key_file",
                    Detected::ByVerdict(
                        "key_file = { path = 'k', content = '-----BEGIN PGP PUBLIC KEY BLOCK----- other -----END PGP' }",
                    ),
                ),
                (
                    "signed_by",
                    Detected::ByVerdictOf(
                        "name = 'x'\nuris = ['https://a/debian']\nsuites = ['stable']\ncomponents = ['main']\n\
                         signed_by = '/usr/share/keyrings/x.gpg'",
                    ),
                ),
                ("source_packages", Detected::ByVerdict("source_packages = true")),
            ],
        },
    ]
}
