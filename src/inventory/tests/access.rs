//! `[ssh]` and `[become]`, of all hosts, of groups and of single hosts.

use std::path::Path;
use std::time::Duration;

use super::findings;
use crate::inventory::Inventory;

const ACCESS: &str = r#"
[secrets]
sudo.env = "SUDO_PASSWORD"
old_sudo.env = "OLD_SUDO_PASSWORD"
[ssh]
control_persist = "10m"
max_sessions = 4
options = { KexAlgorithms = ["mlkem768x25519-sha256", "curve25519-sha256"], Compression = true }
[become]
password = "{{ secrets.sudo }}"

[hosts."pi-[1:2]"]
[hosts.old]
ssh = { options = { kexalgorithms = "diffie-hellman-group14-sha256" }, max_sessions = 1 }
[groups.all_pis]
hosts = ["pi-*", "old"]
ssh = { options = { RekeyLimit = "1G", KexAlgorithms = "curve25519-sha256" } }
[groups.olds]
hosts = ["old"]
become.password = "{{secrets.old_sudo}}"
"#;

#[test]
fn settings_of_a_host_override_its_groups_and_the_defaults() {
    let inventory = Inventory::parse(Path::new("inventory/lab.toml"), ACCESS).unwrap();
    assert_eq!(inventory.ssh.control_persist, Some(Duration::from_secs(600)));
    let of = |name: &str| inventory.hosts.iter().find(|h| h.name == name).unwrap().access.clone();
    let options = |name: &str| of(name).options.into_iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>();
    assert_eq!(options("pi-1"), ["Compression=yes", "KexAlgorithms=curve25519-sha256", "RekeyLimit=1G"]);
    assert_eq!(options("old"), ["Compression=yes", "RekeyLimit=1G", "kexalgorithms=diffie-hellman-group14-sha256"]);
    assert_eq!((of("pi-2").max_sessions, of("old").max_sessions), (Some(4), Some(1)));
    assert_eq!((of("pi-1").password.as_deref(), of("old").password.as_deref()), (Some("sudo"), Some("old_sudo")));
    let only_all =
        Inventory::parse(Path::new("x.toml"), "[ssh]\noptions.RekeyLimit = ['a', 'b']\n[hosts.a]\n").unwrap();
    assert_eq!(only_all.hosts[0].access.options["RekeyLimit"], "a,b");
}

#[test]
fn forbidden_ssh_options_are_refused() {
    for (option, help) in [
        ("StrictHostKeyChecking = 'no'", "host keys are always verified"),
        ("stricthostkeychecking = 'accept-new'", "host keys are always verified"),
        ("BatchMode = false", "nobody can answer"),
        ("ControlPath = '/tmp/x'", "control_persist"),
        ("ServerAliveInterval = 0", "would not be noticed"),
        ("ConnectTimeout = 3", "`[ssh] connect_timeout`"),
        ("User = 'pi'", "the host's `user`"),
        ("RemoteCommand = 'true'", "without a terminal"),
        ("'Kex Algorithms' = 'x'", "as in ssh_config(5)"),
        ("RekeyLimit = \"a\\nb\"", "one line"),
        ("RekeyLimit = {}", "must be a text"),
    ] {
        for place in ["[ssh.options]", "[groups.g.ssh.options]", "[hosts.a.ssh.options]"] {
            let said = findings(&format!("{place}\n{option}\n"));
            assert!(said.contains(help) && said.contains("inventory/lab.toml:2:"), "{place} {option}: {said}");
        }
    }
    assert!(findings("[ssh]\ncontrol_persist = '10ms'").contains("less than a second"));
    assert!(findings("[hosts.a.ssh]\nconfig = 'x'").contains("`config` is not a key of `ssh` of host `a`"));
}

#[test]
fn a_password_is_the_name_of_a_secret_of_the_inventory() {
    for place in ["[become]", "[groups.g.become]", "[hosts.a.become]"] {
        let said = findings(&format!("{place}\npassword = 'hunter2-hunter2'\n"));
        assert!(said.contains("does not belong in an inventory") && said.contains("secrets.NAME"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        let said = findings(&format!("{place}\npassword = '{{{{ secrets.sud }}}}'\n[secrets]\nsudo.env = 'X'\n"));
        assert!(said.contains("has no secret `sud`") && said.contains("did you mean `sudo`"), "{said}");
    }
}
