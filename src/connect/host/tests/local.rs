//! Probes and effects on this machine.

use super::*;

fn backend() -> Backend {
    Backend::new(&Inventory::default())
}

async fn probe(probes: &[Probe]) -> Vec<Fact> {
    backend().probe(&Target::default(), probes, &call()).await.unwrap()
}

#[tokio::test]
async fn all_kinds_of_files_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("it's a file"), b"a\0b\n").unwrap();
    std::fs::write(path("large"), vec![b'x'; CONTENT_LIMIT + 1]).unwrap();
    std::os::unix::fs::symlink("/nowhere: really", path("link")).unwrap();
    let file = |name: &str, read| Probe::File { path: path(name), read };
    let probes = [
        file("it's a file", Read::Content),
        file("it's a file", Read::Hash),
        file("large", Read::Content),
        file("link", Read::Content),
        file("absent", Read::Content),
        file("", Read::Stat),
    ];
    let facts = probe(&probes).await;
    let [
        Fact::File(Some(content)),
        Fact::File(Some(hash)),
        Fact::File(Some(large)),
        Fact::File(Some(link)),
        Fact::File(None),
        Fact::File(Some(directory)),
    ] = &facts[..]
    else {
        panic!("{facts:?}")
    };
    assert_eq!(content.content.as_deref(), Some(&b"a\0b\n"[..]));
    assert_eq!(content.sha256, Some(sha256(b"a\0b\n")));
    assert_eq!(hash.sha256, content.sha256);
    assert_eq!((hash.content.as_ref(), hash.size), (None, 4));
    assert_eq!((large.content.as_ref(), large.size), (None, CONTENT_LIMIT as u64 + 1));
    assert_eq!(large.sha256, Some(sha256(&vec![b'x'; CONTENT_LIMIT + 1])));
    assert_eq!(link.kind, FileKind::Link("/nowhere: really".into()));
    assert_eq!(directory.kind, FileKind::Directory);
}

#[tokio::test]
async fn the_system_tells_what_it_is() {
    let facts =
        probe(&[Probe::System, Probe::Sysctl { key: "kernel.ostype".into() }, Probe::Sysctl { key: "no.such".into() }])
            .await;
    let [Fact::System(system), ostype, nothing] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(ostype, &Fact::Sysctl(Some("Linux".into())));
    assert_eq!(nothing, &Fact::Sysctl(None));
    assert_eq!(system.arch, std::env::consts::ARCH);
    assert!(system.page_size >= 4096 && system.cpus >= 1 && system.memory_total > 100, "{system:?}");
    assert!(!system.boot_id.is_empty() && !system.os_id.is_empty() && !system.user.is_empty(), "{system:?}");
}

#[tokio::test]
async fn a_command_has_its_status_and_both_outputs() {
    let done = backend().perform(&Target::default(), &run("echo out; echo err >&2; exit 3"), &call()).await.unwrap();
    assert_eq!((done.exit, done.stdout.text(), done.stderr.text()), (3, "out".into(), "err".into()));
}
