//! Whole inventories, good and bad.

mod access;

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::finding::Style;
use crate::inventory::{Connection, Inventory, Token};

fn findings(text: &str) -> String {
    match Inventory::parse(Path::new("inventory/lab.toml"), text) {
        Ok(_) => panic!("accepted"),
        Err(findings) => findings.text(Style { color: false, unicode: true, width: 100 }),
    }
}

const GOOD: &str = r#"
[vars]
zone = "eu"

[ssh]
config = "lab/ssh_config"
connect_timeout = "5s"
[kube]
kubeconfig = "/etc/kube.conf"
context = "lab"
lease_namespace = "runs"
[vault]
address = "https://vault:8200"
namespace = "/team/mesh/"
ca_cert = "ca.pem"
token_env = "LAB_TOKEN"
[helm]
binary = "helm3"

[hosts.control]
connection = "local"
[hosts.control.vars]
role = "own"

[hosts."pi-[01:03]"]
address = "10.0.0.[11:13]"
user = "pi"
port = 2222

[groups.pis]
hosts = ["pi-*"]
vars.role = "pi"
vars.level = "child"

[groups.everything]
hosts = ["control"]
children = ["pis"]
vars.role = "parent"
vars.level = "parent"
vars.only = "parent"
"#;

#[test]
fn a_whole_inventory_is_read() {
    let inventory = Inventory::parse(Path::new("/p/inventory/lab.toml"), GOOD).unwrap();
    let names: Vec<_> = inventory.hosts.iter().map(|h| format!("{}={}", h.name, h.address)).collect();
    assert_eq!(names, ["control=control", "pi-01=10.0.0.11", "pi-02=10.0.0.12", "pi-03=10.0.0.13"]);
    let pi = &inventory.hosts[1];
    assert_eq!((pi.user.as_deref(), pi.port, pi.connection), (Some("pi"), Some(2222), Connection::Ssh));
    assert_eq!(inventory.hosts[0].connection, Connection::Local);
    assert_eq!(inventory.groups[1].1, ["control", "pi-01", "pi-02", "pi-03"]);
    assert_eq!(inventory.ssh.config.as_deref(), Some(Path::new("/p/lab/ssh_config")));
    assert_eq!(inventory.ssh.connect_timeout, Some(Duration::from_secs(5)));
    assert_eq!(inventory.kube.kubeconfig.as_deref(), Some(Path::new("/etc/kube.conf")));
    assert_eq!(inventory.kube.lease_namespace(), "runs");
    assert_eq!(Inventory::builtin().kube.lease_namespace(), "kube-system");
    assert_eq!(inventory.vault.addresses, ["https://vault:8200"]);
    assert_eq!(inventory.vault.namespace.as_deref(), Some("team/mesh"));
    assert_eq!(inventory.vault.ca_cert.as_deref(), Some(Path::new("/p/ca.pem")));
    assert_eq!(inventory.vault.token, Token::Env("LAB_TOKEN".into()));
    assert_eq!(inventory.helm.as_deref(), Some(Path::new("helm3")));
}

#[test]
fn the_most_specific_variable_wins() {
    let inventory = Inventory::parse(Path::new("i.toml"), GOOD).unwrap();
    let vars = |n: usize| serde_json::Value::Object(inventory.hosts[n].vars.clone());
    assert_eq!(vars(0), json!({ "role": "own", "level": "parent", "only": "parent" }));
    assert_eq!(vars(1), json!({ "role": "pi", "level": "child", "only": "parent" }));
    let place = |host, name| inventory.place(host, name).map(|(source, span)| source.text[span.clone()].to_owned());
    assert_eq!(place(Some("control"), "role").as_deref(), Some("\"own\""));
    assert_eq!(place(Some("pi-02"), "zone").as_deref(), Some("\"eu\""));
    assert_eq!(place(None, "role"), None);
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = r#"[hosts.pi-1]
adress = "10.0.0.1"
port = 70000
connection = "telnet"
[hosts.pi-2]
ansible_host = "x"
[hosts."pi-[2:3]"]
address = "10.0.0.7"
[hosts."bad name"]
[groups.pis]
hosts = ["pi-9", "web"]
children = ["wbe"]
[groups.web]
hosts = ["pi-*"]
children = ["loop"]
[groups.loop]
children = ["web"]
[vault]
address = "vault:8200"
token = "s.1234567"
[ssh]
connect_timeout = 10
[kube]
lease_namespace = "Kube_System"
[hots.x]
"#;
    insta::assert_snapshot!(findings(text), @r#"
     × `adress` is not a key of host `pi-1`
      ╭─[inventory/lab.toml:2:1]
    1 │ [hosts.pi-1]
    2 │ adress = "10.0.0.1"
      · ──────
    3 │ port = 70000
      ╰────
     help: did you mean `address`?

     × `port` must be from 1 to 65535, not 70000
      ╭─[inventory/lab.toml:3:8]
    2 │ adress = "10.0.0.1"
    3 │ port = 70000
      ·        ─────
    4 │ connection = "telnet"
      ╰────

     × no connection is called `telnet`
      ╭─[inventory/lab.toml:4:14]
    3 │ port = 70000
    4 │ connection = "telnet"
      ·              ────────
    5 │ [hosts.pi-2]
      ╰────
     help: write `ssh` or `local`

     × `ansible_host` is not a key of host `pi-2`
      ╭─[inventory/lab.toml:6:1]
    5 │ [hosts.pi-2]
    6 │ ansible_host = "x"
      · ────────────
    7 │ [hosts."pi-[2:3]"]
      ╰────
     help: write `address`

     × host `pi-2` is defined twice
      ╭─[inventory/lab.toml:7:8]
    6 │ ansible_host = "x"
    7 │ [hosts."pi-[2:3]"]
      ·        ──────────
    8 │ address = "10.0.0.7"
      ╰────

     × one address for 2 hosts
      ╭─[inventory/lab.toml:8:11]
    7 │ [hosts."pi-[2:3]"]
    8 │ address = "10.0.0.7"
      ·           ──────────
    9 │ [hosts."bad name"]
      ╰────
     help: give the address a range of its own, for example "10.0.0.[11:30]"

     × `bad name` cannot be a host's name
       ╭─[inventory/lab.toml:9:8]
     8 │ address = "10.0.0.7"
     9 │ [hosts."bad name"]
       ·        ──────────
    10 │ [groups.pis]
       ╰────
     help: letters, digits, `-`, `_` and `.`, not `all`; anything else can be its `address`

     × no host or group is named `pi-9`
       ╭─[inventory/lab.toml:11:10]
    10 │ [groups.pis]
    11 │ hosts = ["pi-9", "web"]
       ·          ──────
    12 │ children = ["wbe"]
       ╰────
     help: did you mean `pi-1`?

     × `web` is a group
       ╭─[inventory/lab.toml:11:18]
    10 │ [groups.pis]
    11 │ hosts = ["pi-9", "web"]
       ·                  ─────
    12 │ children = ["wbe"]
       ╰────
     help: put groups into `children`

     × no group is named `wbe`
       ╭─[inventory/lab.toml:12:13]
    11 │ hosts = ["pi-9", "web"]
    12 │ children = ["wbe"]
       ·             ─────
    13 │ [groups.web]
       ╰────
     help: did you mean `web`?

     × groups contain each other: web → loop → web
       ╭─[inventory/lab.toml:13:9]
    12 │ children = ["wbe"]
    13 │ [groups.web]
       ·         ───
    14 │ hosts = ["pi-*"]
       ╰────

     × `vault:8200` is not a URL
       ╭─[inventory/lab.toml:19:11]
    18 │ [vault]
    19 │ address = "vault:8200"
       ·           ────────────
    20 │ token = "‹secret›"
       ╰────
     help: write "https://vault:8200"

     × a token does not belong in an inventory
       ╭─[inventory/lab.toml:20:1]
    19 │ address = "vault:8200"
    20 │ token = "‹secret›"
       · ─────
    21 │ [ssh]
       ╰────
     help: put it into a file of its own and write token_file, or token_env

     × `connect_timeout` is a duration without a unit
       ╭─[inventory/lab.toml:22:19]
    21 │ [ssh]
    22 │ connect_timeout = 10
       ·                   ──
    23 │ [kube]
       ╰────
     help: write connect_timeout = "10s"; units are ms, s, m, h

     × `Kube_System` cannot be a namespace's name
       ╭─[inventory/lab.toml:24:19]
    23 │ [kube]
    24 │ lease_namespace = "Kube_System"
       ·                   ─────────────
    25 │ [hots.x]
       ╰────
     help: lower-case letters, digits and `-` within, at most 63

     × `hots` is not a key of an inventory
       ╭─[inventory/lab.toml:25:2]
    24 │ lease_namespace = "Kube_System"
    25 │ [hots.x]
       ·  ────
       ╰────
     help: did you mean `hosts`?
    "#);
}

#[test]
fn without_a_file_there_is_this_machine() {
    let hosts = Inventory::builtin().select("localhost").unwrap();
    assert_eq!(hosts[0].connection, Connection::Local);
    let missing = Inventory::builtin().select("pi-1").unwrap_err();
    assert_eq!(missing.help.as_deref(), Some("without an inventory there are `localhost`, `all`"));
}

#[test]
fn an_ipv6_address_may_stand_in_brackets() {
    for (written, wanted) in
        [("[::1]", "::1"), ("::1", "::1"), ("[fe80::1%eth0]", "fe80::1%eth0"), ("2001:db8::[7:7]", "2001:db8::7")]
    {
        let text = format!("[hosts.a]\naddress = \"{written}\"\n");
        assert_eq!(Inventory::parse(Path::new("i"), &text).unwrap().hosts[0].address, wanted);
    }
    let refused = findings("[hosts.a]\naddress = \"[::1]:22\"\n");
    assert!(refused.contains("`:22` behind the address ::1: a port is set by `port = …`"), "{refused}");
}

#[test]
fn too_many_hosts_are_a_typo() {
    let text = "[hosts.\"a[1:9000]\"]\n[hosts.\"b[1:2000]\"]\n[hosts.c]\n";
    let findings = Inventory::parse(Path::new("i"), text).err().unwrap();
    let messages: Vec<&str> = findings.iter().map(|f| f.message.as_str()).collect();
    assert_eq!(messages, ["more than 10000 hosts"]);
}

#[test]
fn groups_with_shared_children_are_read_quickly() {
    let row: String = (1..=40).map(|n| format!("[groups.g{n}]\nchildren = [\"g{0}\", \"g{0}\"]\n", n - 1)).collect();
    let text = format!("[hosts.a]\n[groups.g0]\nhosts = [\"a\"]\n{row}");
    assert_eq!(Inventory::parse(Path::new("i"), &text).unwrap().select("g40").unwrap().len(), 1);
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(at in 0..GOOD.len(), with in "[\\[\\]\"'={}.\n a0-]{0,3}") {
        let mut text = GOOD.to_owned();
        text.replace_range(at..=at, &with);
        let _either = Inventory::parse(Path::new("i"), &text).map_err(|f| f.json());
    }
}

#[test]
fn http_addresses_of_vault_need_allow_http() {
    insta::assert_snapshot!(findings("[vault]\naddress = \"HTTP://vault:8200\"\nnamespace = \"/\"\n"), @r#"
     × `HTTP://vault:8200` sends the token and all secrets unencrypted
      ╭─[inventory/lab.toml:2:11]
    1 │ [vault]
    2 │ address = "HTTP://vault:8200"
      ·           ───────────────────
    3 │ namespace = "/"
      ╰────
     help: write https://, or, where nobody else can listen, `allow_http = true` under [vault]

     × `/` cannot be a namespace of Vault
      ╭─[inventory/lab.toml:3:13]
    2 │ address = "HTTP://vault:8200"
    3 │ namespace = "/"
      ·             ───
      ╰────
     help: write its path, such as "team/mesh"
    "#);
    let text = "[vault]\naddress = \"http://vault:8200\"\nallow_http = true\n";
    let inventory = Inventory::parse(Path::new("inventory/lab.toml"), text).unwrap();
    assert_eq!(inventory.vault.addresses, ["http://vault:8200"]);
}
