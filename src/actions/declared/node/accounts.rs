//! Cases of the actions on users and their ssh keys.

use crate::actions::declared::host::Host;
use crate::actions::declared::{Case, Detected};
use crate::connect::host::{self, CommandOutput};
use crate::connect::{Fact, Probe};

/// A host with the user `ada`, in the groups `ada` and `more`, whose password has the hash `$6$x`.
fn with_ada(probe: &Probe) -> Fact {
    let Probe::Host(host::Probe::Run(run)) = probe else { panic!("another question") };
    let password = match run.stdin.as_slice() {
        b"" => "",
        b"$6$x\n" => "password\tsame\n",
        _ => "password\tdiffers\n",
    };
    let said = format!(
        "known\tada\t1000\nknown\tmore\t1001\nknown\tother\t1002\nentry\tada:x:1000:1000:Ada:/home/ada:/bin/bash\ngroup\tada\n\
         member\t1000\tada\there\nmember\t1001\tmore\there\n{password}"
    );
    Fact::Host(host::Fact::Run(CommandOutput::new(0, said.as_str(), "")))
}

/// A host without any user but root.
fn with_nobody(_: &Probe) -> Fact {
    Fact::Host(host::Fact::Run(CommandOutput::new(0, "", "")))
}

/// A host where two ssh keys may log in as `pi`.
fn with_keys(probe: &Probe) -> Fact {
    const SAID: &str = "user\t1000\t0\nplace\t/home/pi\t/home/pi/.ssh/authorized_keys\nfolder\t1000 700\nfile\t1000 600\ncontent\n\
                        ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0a\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0b\n";
    Host { commands: &[("user=", SAID)], ..Host::default() }.answer(probe)
}

pub fn cases() -> Vec<Case> {
    vec![
        Case {
            action: "node.user",
            step: "name = 'ada'\nuid = 1000\ngroup = 'ada'\ngroups = ['more']\nshell = '/bin/bash'\nhome = '/home/ada'\n\
                   comment = 'Ada'\npassword = '$6$x'\ncreate_home = false",
            answer: with_ada,
            params: &[
                ("name", Detected::ByProbes("name = 'other'")),
                ("state", Detected::ByVerdictOf("name = 'ada'\nstate = 'absent'")),
                ("uid", Detected::ByVerdict("uid = 1001")),
                ("group", Detected::ByVerdict("group = 'other'")),
                ("groups", Detected::ByVerdict("groups = ['more', 'other']")),
                ("append", Detected::ByVerdict("groups = []\nappend = false")),
                ("shell", Detected::ByVerdict("shell = '/bin/sh'")),
                ("home", Detected::ByVerdict("home = '/srv/ada'")),
                ("comment", Detected::ByVerdict("comment = 'Countess'")),
                ("password", Detected::ByVerdict("password = '$6$y'")),
                ("create_home", Detected::ByVerdict("create_home = true")),
            ],
        },
        Case {
            action: "node.user",
            step: "name = 'ada'\nsystem = true",
            answer: with_ada,
            params: &[("system", Detected::ByVerdict("system = false"))],
        },
        Case {
            action: "node.user",
            step: "name = 'ada'\nstate = 'absent'",
            answer: with_nobody,
            params: &[("remove_home", Detected::Never)],
        },
        Case {
            action: "node.authorized_key",
            step: "user = 'pi'\nkeys = ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0a']",
            answer: with_keys,
            params: &[
                ("user", Detected::ByProbes("user = 'other'")),
                ("keys", Detected::ByVerdict("keys = ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0c']")),
                ("state", Detected::ByVerdict("state = 'absent'")),
                ("exclusive", Detected::ByVerdict("exclusive = true")),
                ("options", Detected::ByVerdict("options = 'restrict'")),
                ("path", Detected::ByProbes("path = '/etc/ssh/keys'")),
            ],
        },
    ]
}
