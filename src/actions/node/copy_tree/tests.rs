use super::super::testing::{at, blocked, build, change, file, is_same, ran, refused};
use super::*;
use crate::actions::node::content::tests::regular;

fn step(rest: &str) -> CopyTree {
    let mut step: CopyTree = build(&format!("source = 'files'\npath = '/srv'\n{rest}")).unwrap();
    let one = |path: &str, executable| FolderFile { path: path.into(), content: path.as_bytes().into(), executable };
    step.source.files = vec![one("a", false), one("b/c/x", true)];
    step
}

fn directory() -> Fact {
    file(Some(at(FileKind::Directory, 0o755)))
}

fn tar() -> Fact {
    ran(0, "tar\n", "")
}

#[test]
fn a_file_with_a_secret_in_it_is_its_owners_alone() {
    crate::secret::register("secret-of-a-tree");
    for (content, executable, mode) in [
        ("plain", false, 0o644),
        ("plain", true, 0o755),
        ("key = secret-of-a-tree", false, 0o600),
        ("key = secret-of-a-tree", true, 0o700),
    ] {
        let file = FolderFile { path: "a".into(), content: content.as_bytes().into(), executable };
        assert_eq!(step("").file_attributes(&file).mode, Some(mode), "{content}");
        assert_eq!(step("mode = '0640'").file_attributes(&file).mode, Some(0o640));
    }
}

#[test]
fn files_and_directories_are_compared_one_by_one() {
    let right = vec![tar(), directory(), directory(), directory(), file(Some(regular("a", 0o644)))];
    let with = |x: Fact| [right.clone(), vec![x]].concat();
    let step = step("");
    assert_eq!(step.probes().len(), 6);
    assert!(is_same(&step.verdict(&with(file(Some(regular("b/c/x", 0o755)))))));
    let facts = with(file(Some(regular("b/c/x", 0o644))));
    assert_eq!(change(&step.verdict(&facts)), ["~ /srv/b/c/x mode: 0644 → 0755"]);
    assert!(step.copy(&facts).unwrap().stdin.as_slice().is_empty(), "the content is right");
    let facts = with(file(None));
    assert_eq!(
        change(&step.verdict(&facts)),
        ["~ /srv/b/c/x", "@@ -0,0 +1 @@", "+b/c/x", "\\ No newline at end of file"]
    );
    let run = step.copy(&facts).unwrap();
    assert!(run.command.to_string().ends_with("unpack\nput /srv/b/c 0 0755 x"), "{}", run.command);
    assert!(blocked(&step.verdict(&with(directory()))).contains("is a directory, and should be a file"));
}

#[test]
fn what_is_not_in_the_folder_goes_only_when_asked_for() {
    let facts = |list: &str| {
        let files = [file(Some(regular("a", 0o644))), file(Some(regular("b/c/x", 0o755)))];
        [vec![tar(), directory(), directory(), directory()], files.to_vec(), vec![ran(0, list, "")]].concat()
    };
    let step = step("delete = true");
    assert!(is_same(&step.verdict(&facts("./a\0./b\0./b/c\0./b/c/x\0"))));
    let more = facts("./a\0./b\0./b/old\0./b/old/1\0./b/c\0./older\0./b/c/x\0");
    let lines = ["- /srv/b/old: not in the folder", "- /srv/older: not in the folder"];
    assert_eq!(change(&step.verdict(&more)), lines);
    let effects = step.effects(&more).unwrap();
    let script = effects[0].command.to_string();
    assert!(effects.len() == 1 && script.ends_with("drop /srv older\ndrop /srv/b old"), "{script}");
    let mut denied = facts("");
    denied[6] = ran(1, "", "find: Permission denied\n");
    assert!(blocked(&step.verdict(&denied)).contains("cannot list what is in /srv:\nfind: Permission denied"));
}

#[test]
fn wrong_parameters_are_refused() {
    assert_eq!(refused::<CopyTree>("source = ''\npath = '/x'"), "/source");
    assert_eq!(refused::<CopyTree>("source = 'x'\npath = 'x'"), "/path");
    assert_eq!(refused::<CopyTree>("source = 'x'\npath = '//'"), "/path");
}
