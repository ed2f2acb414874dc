//! Every action is applied twice on this machine: the second time there is nothing to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::testing::build;
use super::{AuthorizedKey, BootConfig, Command, Cron, Directory, Facts, File, Template};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::{Call, Real, Target, World};
use crate::inventory::Inventory;

/// Probes, judges and acts as the engine does; the verdict.
async fn apply(action: &dyn Action) -> Verdict {
    let (world, target) = (Real::new(&Inventory::default()), Target::default());
    let call = Call::quiet(Duration::from_secs(20));
    let facts = world.probe(&target, &action.probes(), &call).await.unwrap();
    let verdict = action.verdict(&facts);
    if matches!(verdict, Verdict::Change(_)) {
        let mut done = Vec::new();
        while let Some(effect) = action.next(&facts, &done).unwrap() {
            done.push(world.perform(&target, &effect, &call).await.unwrap());
        }
    }
    verdict
}

async fn changes_once<T: Spec>(toml: &str) {
    let action = build::<T>(toml).unwrap();
    let first = apply(&action).await;
    assert!(matches!(first, Verdict::Change(_)), "first: {first:?}\n{toml}");
    let second = apply(&action).await;
    assert!(matches!(second, Verdict::Same { .. }), "second: {second:?}\n{toml}");
}

#[tokio::test]
async fn a_second_time_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777;

    changes_once::<Directory>(&format!("path = '{}'\nmode = '1750'", at("a/b"))).await;
    assert_eq!(mode("a/b"), 0o1750);
    changes_once::<File>(&format!("path = '{}'\ncontent = 'x'\nmode = '0600'", at("a/file"))).await;
    changes_once::<File>(&format!("path = '{}'\ncontent = ''", at("a/empty"))).await;
    changes_once::<File>(&format!("path = '{}'\nmode = '0640'", at("a/file"))).await;
    changes_once::<File>(&format!("path = '{}'\ncontent = 'y'\nbackup = true", at("a/file"))).await;
    assert_eq!((fs::read_to_string(at("a/file")).unwrap().as_str(), mode("a/file")), ("y", 0o640));
    changes_once::<File>(&format!("path = '{}'\nstate = 'link'\ntarget = 'file'", at("a/link"))).await;
    assert_eq!(fs::read_to_string(at("a/link")).unwrap(), "y");
    changes_once::<File>(&format!("path = '{}'\nstate = 'absent'", at("a/link"))).await;
    let large = "0123456789abcde\n".repeat(20_000);
    let toml = format!("path = '{}'\ntemplate = {{ path = 't.j2', content = '''{large}''' }}", at("a/template"));
    changes_once::<Template>(&toml).await;
    assert!(fs::read_to_string(at("a/template")).unwrap() == large);
    let made = at("a/made");
    changes_once::<Command>(&format!("command = 'cat > {made}'\nstdin = 'z'\ncreates = '{made}'")).await;
    assert_eq!(fs::read_to_string(made).unwrap(), "z");
    changes_once::<Command>(&format!("argv = ['rm', '{0}']\nremoves = '{0}'", at("a/made"))).await;
    let there = format!("test -e {}", at("a/x"));
    changes_once::<Command>(&format!("command = 'touch {}'\nunless = '{there}'", at("a/x"))).await;
    changes_once::<Command>(&format!("command = 'rm {}'\nonly_if = '{there}'", at("a/x"))).await;
    let cron = format!("name = 'x'\nfolder = '{}'", at("a"));
    changes_once::<Cron>(&format!("{cron}\nschedule = '@daily'\ncommand = 'date +%F'")).await;
    changes_once::<Cron>(&format!("{cron}\nstate = 'absent'")).await;
    let keys = format!("user = 'root'\npath = '{}'\nkeys = ['ssh-ed25519 AAAAC3 ada']", at("a/keys"));
    changes_once::<AuthorizedKey>(&keys).await;
    changes_once::<AuthorizedKey>(&format!("{keys}\noptions = 'restrict'")).await;
    assert_eq!(fs::read_to_string(at("a/keys")).unwrap(), "restrict ssh-ed25519 AAAAC3 ada\n");
    changes_once::<AuthorizedKey>(&format!("{keys}\nstate = 'absent'")).await;
    for (name, text) in [("cmdline.txt", "root=x quiet\n"), ("config.txt", "[pi4]\na=1\n")] {
        fs::write(at(&format!("a/{name}")), text).unwrap();
    }
    let boot = format!("folder = '{}'\ncmdline = ['x=1']\ncmdline_absent = ['quiet']\nconfig = ['a=2']", at("a"));
    changes_once::<BootConfig>(&boot).await;
    assert_eq!(fs::read_to_string(at("a/cmdline.txt")).unwrap(), "root=x x=1\n");
    assert_eq!(fs::read_to_string(at("a/config.txt")).unwrap(), "[pi4]\na=1\n[all]\na=2\n");
    changes_once::<Directory>(&format!("path = '{}'\nstate = 'absent'", at("a"))).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn checks_only_look() {
    let facts = build::<Facts>("require = [\"page_size >= 4096 and cpus > 0 and kernel != ''\"]").unwrap();
    assert!(matches!(apply(&facts).await, Verdict::Same { .. }));
    let check = build::<Command>("command = 'echo seen'\nchanges = false").unwrap();
    assert_eq!(apply(&check).await, Verdict::Same { seen: "seen".into() });
}
