use super::super::testing::{blocked, build, change, is_same, perform, ran, refused};
use super::*;

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";

fn step(rest: &str) -> Git {
    build(&format!("repo = 'https://x/y'\npath = '/opt/y'\n{rest}")).unwrap()
}

fn seen(text: &str) -> [Fact; 2] {
    [ran(0, "git\n", ""), ran(0, text, "")]
}

#[test]
fn branches_come_before_tags_and_tags_are_followed_to_their_commit() {
    let there = format!("head {OLD}\norigin https://x/y\nremote\n");
    let facts = seen(&format!("{there}{OLD}\trefs/tags/v1\n{NEW}\trefs/tags/v1^{{}}\n"));
    let verdict = step("version = 'v1'").verdict(&facts);
    assert_eq!(change(&verdict), [format!("~ /opt/y HEAD: {OLD} → {NEW}")]);
    let facts = seen(&format!("{there}{NEW}\trefs/tags/v1\n{OLD}\trefs/heads/v1\n"));
    assert!(is_same(&step("version = 'v1'").verdict(&facts)));
    assert_eq!(step("version = 'v1'").outputs(&facts, &[])["commit"], json!(OLD));
    assert!(is_same(&step(&format!("version = '{OLD}'")).verdict(&seen(&there))));
    assert!(blocked(&step("version = 'v2'").verdict(&seen(&there))).contains("no branch or tag v2"));
}

#[test]
fn a_new_folder_and_another_origin_are_changes() {
    let lines = change(&step(&format!("version = '{NEW}'")).verdict(&seen("remote\n")));
    assert_eq!(lines, [format!("+ /opt/y HEAD: {NEW}"), "+ origin: https://x/y".to_owned()]);
    let facts = seen(&format!("head {NEW}\norigin https://old\nremote\n"));
    let lines = change(&step(&format!("version = '{NEW}'")).verdict(&facts));
    assert_eq!(lines, ["~ origin: https://old → https://x/y"]);
}

#[test]
fn local_changes_are_not_lost_by_accident() {
    let facts = seen(&format!("head {OLD}\norigin https://x/y\nchanged yes\nremote\n"));
    assert!(blocked(&step(&format!("version = '{NEW}'")).verdict(&facts)).contains("local changes"));
    let same = step(&format!("version = '{OLD}'")).verdict(&facts);
    assert_eq!(same, Verdict::Same { seen: "111111111111, with local changes".into() });
    let lines = change(&step(&format!("version = '{OLD}'\nforce = true")).verdict(&facts));
    assert_eq!(lines, ["- local changes: there are some"]);
    let taken = seen("taken by other files\nremote\n");
    assert!(blocked(&step("").verdict(&taken)).contains("taken by other files"));
}

#[test]
fn what_git_cannot_tell_blocks() {
    let none = [ran(0, "", ""), ran(127, "", "")];
    assert!(blocked(&step("").verdict(&none)).contains("no git"));
    let denied = [ran(0, "git\n", ""), ran(128, "remote\n", "fatal: could not read Username\n")];
    assert!(blocked(&step("").verdict(&denied)).contains("could not read Username"));
    assert!(blocked(&step("").verdict(&seen("what?\n"))).contains("cannot understand"));
    assert!(blocked(&step("").verdict(&seen("remote\nabc\tHEAD\n"))).contains("cannot understand"));
}

async fn git(folder: &str, line: &str) -> String {
    let line = format!("cd {folder} && export GIT_CONFIG_GLOBAL=/dev/null && {line}");
    let done = perform(&host::Run::shell(line)).await;
    assert_eq!(done.exit, 0, "{}", done.stderr.text());
    done.stdout.text()
}

/// Probes, and performs the effect of a change.
async fn apply(step: &Git) -> Verdict {
    let facts = [ran(0, "git\n", ""), Fact::Host(host::Fact::Run(perform(&step.probe()).await))];
    let verdict = step.verdict(&facts);
    if let (Verdict::Change(_), Ok(Some(Effect::Host(host::Effect::Run(run))))) =
        (&verdict, step.next_effect(&facts, &[]))
    {
        let done = [EffectResult::Host(perform(&run).await)];
        assert!(matches!(step.next_effect(&facts, &done), Ok(None)), "{:?}", step.next_effect(&facts, &done).err());
    }
    verdict
}

#[tokio::test]
async fn a_repository_follows_its_origin() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let commit = "git -c user.name=a -c user.email=a@b commit -q -a -m x && git rev-parse HEAD";
    let origin = format!("{root}/origin");
    let line = format!("git init -q -b main origin && cd origin && echo 1 >f && git add f && {commit} && git tag v1");
    let first = git(root, &line).await;
    for depth in ["", "depth = 1"] {
        let clone = format!("{root}/a/clone{}", depth.len());
        let at = |version: &str, more: &str| {
            let toml = format!("repo = 'file://{origin}'\npath = '{clone}'\nversion = '{version}'\n{depth}\n{more}");
            build::<Git>(&toml).unwrap()
        };
        if depth.is_empty() {
            // An earlier `git init` was interrupted there.
            std::fs::create_dir_all(format!("{clone}/.git/hooks")).unwrap();
        }
        assert!(matches!(apply(&at("main", "")).await, Verdict::Change(_)));
        assert!(is_same(&apply(&at("main", "")).await) && is_same(&apply(&at(&first, "")).await));
        let second = git(&origin, &format!("echo 2 >>f && {commit}")).await;
        // A killed git process left these.
        git(&clone, "touch .git/config.lock .git/index.lock .git/objects/maintenance.lock").await;
        assert!(matches!(apply(&at("main", "")).await, Verdict::Change(_)));
        assert_eq!(git(&clone, "git rev-parse HEAD").await, second);
        // A checkout was interrupted there, before it had written all files and HEAD.
        git(&clone, "echo half >f; echo 0 >.git/rollout-checkout").await;
        git(&origin, &format!("echo 3 >>f && echo 3 >g && git add g && {commit}")).await;
        std::fs::write(format!("{clone}/g"), "half").unwrap();
        assert!(matches!(apply(&at("main", "")).await, Verdict::Change(_)));
        assert_eq!(git(&clone, "cat f g && ls .git/rollout-checkout || true").await, "1\n2\n3\n3");
        assert!(is_same(&apply(&at("main", "")).await));
        git(&clone, "echo 3 >f").await;
        assert!(blocked(&apply(&at("v1", "")).await).contains("local changes"));
        assert!(matches!(apply(&at("v1", "force = true")).await, Verdict::Change(_)));
        assert!(is_same(&apply(&at("v1", "")).await));
        assert_eq!(git(&clone, "cat f").await, "1");
        git(&origin, "git reset -q --hard v1").await;
        let tag = "git -c user.name=a -c user.email=a@b tag -f -a -m x annotated && git rev-parse annotated";
        let tag = git(&origin, tag).await;
        let tag = tag.lines().next_back().unwrap();
        assert!(matches!(apply(&at("main", "")).await, Verdict::Same { .. } | Verdict::Change(_)));
        apply(&at(tag, "")).await;
        assert!(is_same(&apply(&at(tag, "")).await), "{tag}");
        // A hook checks out something else than git was asked for.
        git(&clone, "printf '#!/bin/sh\ngit symbolic-ref HEAD refs/heads/none\n' >.git/hooks/post-checkout && chmod +x .git/hooks/post-checkout").await;
        git(&origin, &format!("echo 4 >f && {commit}")).await;
        let look = Fact::Host(host::Fact::Run(perform(&at("main", "").probe()).await));
        let facts = [ran(0, "git\n", ""), look];
        let Ok(Some(Effect::Host(host::Effect::Run(run)))) = at("main", "").next_effect(&facts, &[]) else { panic!() };
        let ended = perform(&run).await;
        assert!(ended.exit == 1 && ended.stderr.text().contains("HEAD is not"), "{}", ended.stderr.text());
        git(&origin, "git reset -q --hard v1").await;
    }
    assert!(blocked(&apply(&build(&format!("repo = '{origin}'\npath = '{root}'")).unwrap()).await).contains("taken"));
}

#[tokio::test]
async fn a_fetch_that_was_cut_off_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let commit = "git -c user.name=a -c user.email=a@b commit -q -m x && git rev-parse HEAD";
    let line = format!("git init -q clone && git init -q origin && cd origin && echo 1 >f && git add f && {commit}");
    let commit = git(root, &line).await;
    // Only the commit object arrived, without its files.
    let object = format!("objects/{}/{}", &commit[..2], &commit[2..]);
    git(root, &format!("mkdir clone/.git/objects/{} && cp origin/.git/{object} clone/.git/{object}", &commit[..2]))
        .await;
    let step: Git = build(&format!("repo = 'file://{root}/origin'\npath = '{root}/clone'")).unwrap();
    assert!(matches!(apply(&step).await, Verdict::Change(_)));
    assert!(is_same(&apply(&step).await));
    assert_eq!(git(root, "cat clone/f").await, "1");
}

#[test]
fn wrong_parameters_are_refused() {
    let secret = crate::secret::Secret::new("a-secret-of-node-git");
    for (toml, parameter) in [
        ("repo = '-u'\npath = '/x'".to_owned(), "/repo"),
        (format!("repo = 'https://u:{}@x/y'\npath = '/x'", secret.expose()), "/repo"),
        ("repo = 'https://x'\npath = 'x'".to_owned(), "/path"),
        ("repo = 'https://x'\npath = '/x'\nversion = '--all'".to_owned(), "/version"),
        ("repo = 'https://x'\npath = '/x'\nversion = 'a b'".to_owned(), "/version"),
        ("repo = 'https://x'\npath = '/x'\ndepth = 0".to_owned(), "/depth"),
    ] {
        assert_eq!(refused::<Git>(&toml), parameter, "{toml}");
    }
}
