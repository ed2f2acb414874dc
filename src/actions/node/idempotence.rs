//! Applies each action twice on this machine: the second run must find nothing to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::testing::{build, perform};
use super::{
    Archive, AuthorizedKey, Block, BootConfig, Command, CopyTree, Cron, Directory, Facts, Fetch, File, HostsEntry,
    Line, Template,
};
use crate::actions::{Action, Spec, Verdict};
use crate::connect::host::Run;
use crate::connect::{CallContext, RealWorld, Target, World};
use crate::event::Problem;
use crate::inventory::Inventory;

/// Probes, judges and performs the effects as the engine does; returns the verdict.
async fn apply(action: &dyn Action) -> Verdict {
    try_apply(action).await.unwrap()
}

async fn try_apply(action: &dyn Action) -> Result<Verdict, Problem> {
    let (world, target) = (RealWorld::new(&Inventory::default()), Target::default());
    let call = CallContext::silent(Duration::from_secs(20));
    let facts = world.probe(&target, &action.probes(), &call).await.unwrap();
    let verdict = action.verdict(&facts);
    if matches!(verdict, Verdict::Change(_)) {
        let mut done = Vec::new();
        while let Some(effect) = action.next_effect(&facts, &done)? {
            done.push(world.perform(&target, &effect, &call).await.unwrap());
        }
    }
    Ok(verdict)
}

async fn changes_once<T: Spec + std::fmt::Debug>(toml: &str) {
    is_idempotent(&build::<T>(toml).unwrap()).await;
}

async fn is_idempotent<T: Spec + std::fmt::Debug>(action: &T) {
    let first = apply(action).await;
    assert!(matches!(first, Verdict::Change(_)), "first: {first:?}\n{action:?}");
    let second = apply(action).await;
    assert!(matches!(second, Verdict::Same { .. }), "second: {second:?}\n{action:?}");
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
    edits(&at("a/text")).await;
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

async fn edits(path: &str) {
    let text = || fs::read_to_string(path).unwrap();
    changes_once::<Line>(&format!("path = '{path}'\nline = 'a = 1'\ncreate = true\nmode = '0640'")).await;
    changes_once::<Line>(&format!("path = '{path}'\nline = 'a = 2'\nmatch = '^a ='\nvalidate = 'grep -q 2 %s'")).await;
    let block = format!("path = '{path}'\nmarker = '# {{mark}} b'\ninsert = 'start'");
    changes_once::<Block>(&format!("{block}\nblock = \"x\\ny\"")).await;
    assert_eq!(text(), "# BEGIN b\nx\ny\n# END b\na = 2\n");
    changes_once::<Block>(&format!("{block}\nstate = 'absent'")).await;
    changes_once::<Line>(&format!("path = '{path}'\nstate = 'absent'\nmatch = '^a'")).await;
    changes_once::<HostsEntry>(&format!("path = '{path}'\naddress = '10.0.0.1'\nnames = ['x', 'y']")).await;
    assert_eq!(text(), "10.0.0.1\tx y\n");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[tokio::test]
async fn a_folder_is_copied_once() {
    let (project, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, path) = (project.path().join("files"), target.path().join("a/b"));
    let long = format!("{}/it's {}", "d".repeat(90), "f".repeat(90));
    for (name, content) in [("x", &b"1\0"[..]), ("c/y", b""), (&long, &vec![b'z'; 100_000])] {
        fs::create_dir_all(source.join(name).parent().unwrap()).unwrap();
        fs::write(source.join(name), content).unwrap();
    }
    fs::set_permissions(source.join("x"), fs::Permissions::from_mode(0o700)).unwrap();
    let step = |rest: &str| {
        let files = crate::plan::folder::read(&project.path().into(), "files").unwrap();
        let mut params: Value =
            toml::from_str(&format!("path = '{}'\ndirectory_mode = '0750'\n{rest}", path.display())).unwrap();
        params["source"] = json!({ "path": "files", "files": files });
        serde_json::from_value::<CopyTree>(params).unwrap()
    };
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o7777;
    is_idempotent(&step("")).await;
    assert_eq!((mode("x"), mode("c/y"), mode("c"), mode("")), (0o755, 0o644, 0o750, 0o750));
    assert_eq!(fs::read(path.join(&long)).unwrap().len(), 100_000);
    fs::write(path.join("x"), "2").unwrap();
    fs::set_permissions(path.join("c/y"), fs::Permissions::from_mode(0o600)).unwrap();
    is_idempotent(&step("")).await;
    assert_eq!((fs::read(path.join("x")).unwrap(), mode("c/y")), (b"1\0".to_vec(), 0o644));
    fs::create_dir_all(path.join("old/er")).unwrap();
    fs::remove_file(source.join("c/y")).unwrap();
    is_idempotent(&step("delete = true")).await;
    let mut left: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["d".repeat(90), "x".to_owned()].map(std::ffi::OsString::from));
}

#[tokio::test]
async fn a_file_is_fetched_once_and_only_as_it_was_seen() {
    let (there, project) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (path, copy) = (there.path().join("x"), project.path().join("a/b/x"));
    let mut params: Value = toml::from_str(&format!("path = '{}'", path.display())).unwrap();
    params["to"] = json!({ "path": "a/b/x", "at": copy });
    let step = serde_json::from_value::<Fetch>(params).unwrap();
    let mode = || fs::metadata(&copy).unwrap().permissions().mode() & 0o7777;
    let large: Vec<u8> = (0..2_500_000u32).map(|n| n.to_le_bytes()[(n % 4) as usize]).collect();
    for content in [&large[..], b"", b"small"] {
        fs::write(&path, content).unwrap();
        is_idempotent(&step).await;
        assert!(fs::read(&copy).unwrap() == content && mode() == 0o600);
    }
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
    is_idempotent(&step).await;
    assert_eq!(mode(), 0o600);

    let (world, target, call) =
        (RealWorld::new(&Inventory::default()), Target::default(), CallContext::silent(Duration::from_secs(20)));
    for (seen, then, comes) in [
        (&large[..], &large[..2_000_000], "changed on the host while it was fetched"),
        (b"one", b"two", "changed on the host while it was fetched"),
        (b"log", b"log that grows", "log"),
    ] {
        fs::write(&path, seen).unwrap();
        let facts = world.probe(&target, &step.probes(), &call).await.unwrap();
        fs::write(&path, then).unwrap();
        let effect = step.next_effect(&facts, &[]).unwrap().unwrap();
        match world.perform(&target, &effect, &call).await {
            Err(error) => assert!(error.to_string().contains(comes) && fs::read(&copy).unwrap() == b"small", "{error}"),
            Ok(_) => assert_eq!(fs::read_to_string(&copy).unwrap(), comes),
        }
    }
    assert_eq!(fs::read_dir(copy.parent().unwrap()).unwrap().count(), 1, "something is left behind");
}

#[tokio::test]
async fn archives_are_unpacked_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let make = "mkdir -p a/b && echo x >a/b/c && chmod 0755 a/b/c && tar -czf x.tar.gz a && tar -cJf x.tar.xz a && \
                tar --zstd -cf x.tar.zst a && tar -cf x.tar a";
    let made = perform(&Run { cwd: Some(root.to_owned()), ..Run::shell(make) }).await;
    assert_eq!(made.exit, 0, "{}", made.stderr.text());
    for name in ["x.tar.gz", "x.tar.xz", "x.tar.zst", "x.tar"] {
        let at = format!("{root}/out/{name}.d");
        let toml = format!("archive = '{root}/{name}'\npath = '{at}'\nstrip = 1");
        changes_once::<Archive>(&toml).await;
        assert_eq!(fs::read_to_string(format!("{at}/b/c")).unwrap(), "x\n", "{name}");
        fs::remove_dir_all(format!("{at}/b")).unwrap();
        changes_once::<Archive>(&format!("{toml}\ncreates = '{at}/b'")).await;
        if name == "x.tar" {
            // A plain tar file that is cut off still unpacks without an error.
            continue;
        }
        let file = fs::OpenOptions::new().write(true).open(format!("{root}/{name}")).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
        let step = build::<Archive>(&toml).unwrap();
        let failed = try_apply(&step).await.unwrap_err().message;
        assert!(failed.contains("cannot unpack"), "{failed}");
        assert!(!fs::exists(format!("{at}/.{name}.unpacked")).unwrap(), "a stamp for half of {name}");
    }
}

#[tokio::test]
async fn checks_only_look() {
    let facts = build::<Facts>("require = [\"page_size >= 4096 and cpus > 0 and kernel != ''\"]").unwrap();
    assert!(matches!(apply(&facts).await, Verdict::Same { .. }));
    let check = build::<Command>("command = 'echo seen'\nchanges = false").unwrap();
    assert_eq!(apply(&check).await, Verdict::Same { seen: "seen".into() });
}
