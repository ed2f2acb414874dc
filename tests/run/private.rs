//! Files that `rollout` keeps on this machine are accessible to its user only, whatever the umask.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Output};

use crate::needs;
use crate::project::{Project, file, gate, wait_for, wait_until};

/// Runs the program with umask 0.
fn open(project: &Project, args: &[&str], names_plan: bool) -> Output {
    let program = project.command(args);
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; exec \"$@\"", "sh"]).arg(program.get_program());
    let plan = usize::from(!names_plan);
    command.args(program.get_args().take(program.get_args().count() - plan));
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    output
}

/// The folder and everything below it to which others have any access.
fn open_to_others(path: &Path) -> Vec<String> {
    let seen = fs::symlink_metadata(path).unwrap();
    let is_open = !seen.is_symlink() && seen.mode() & 0o077 != 0;
    let mut all: Vec<String> = is_open.then(|| format!("{:o} {}", seen.mode(), path.display())).into_iter().collect();
    if seen.is_dir() {
        all.extend(fs::read_dir(path).unwrap().flat_map(|entry| open_to_others(&entry.unwrap().path())));
    }
    all
}

fn files(path: &Path) -> usize {
    fs::read_dir(path).unwrap().flatten().map(|e| if e.path().is_dir() { files(&e.path()) } else { 1 }).sum()
}

#[test]
fn nothing_that_is_kept_is_open_to_others_whatever_the_umask() {
    let project = Project::new(&format!("{}{}", file("a"), gate("gate")));
    let state = project.path("state");
    open(&project, &["run", "--detach"], true);
    wait_for(&project.path("begun"));
    // Also during the run.
    assert_eq!(open_to_others(&state), [""; 0]);
    fs::write(project.path("go"), "").unwrap();
    wait_until("the run in the background ended well", || {
        String::from_utf8_lossy(&open(&project, &["runs"], false).stdout).contains("succeeded")
    });
    open(&project, &["run"], true);
    open(&project, &["plan", "-o", project.path("saved").to_str().unwrap()], true);
    open(&project, &["prove", "--yes"], true);
    assert_eq!((open_to_others(&state), open_to_others(&project.path("saved"))), (Vec::new(), Vec::new()));
    assert!(files(&state) > 3, "journals, a log and a lock at least");
    open(&project, &["runs", "--prune", "--keep", "1"], false);
    assert_eq!(open_to_others(&state), [""; 0]);
    assert!(files(&state) > 0);
}

#[test]
fn what_an_earlier_version_left_open_is_closed() {
    let project = Project::new(&file("a"));
    let state = project.path("state");
    assert_eq!(project.run().0, 0);
    let journal = project.journals().pop().unwrap();
    for (path, mode) in [(journal.as_path(), 0o644), (journal.parent().unwrap(), 0o755), (&state, 0o755)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    assert_eq!(project.run().0, 0);
    assert_eq!(open_to_others(&state), [""; 0]);
}

#[test]
fn a_state_folder_of_others_or_open_to_them_is_refused() {
    let project = Project::new(&file("a"));
    let state = project.path("state");
    fs::create_dir(&state).unwrap();
    let refused = |what: &str| {
        let said = project.call(&["run"]);
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.status.code() == Some(1) && text.contains(what), "{said:?}");
        assert!(!project.path("a").exists() && fs::read_dir(&state).unwrap().next().is_none());
    };
    fs::set_permissions(&state, fs::Permissions::from_mode(0o777)).unwrap();
    refused("can be written by others");
    fs::set_permissions(&state, fs::Permissions::from_mode(0o700)).unwrap();
    if !needs::root("give folders away") {
        return;
    }
    chown(&state, Some(65534), None).unwrap();
    refused("belongs to another user");
    fs::rename(&state, project.path("theirs")).unwrap();
    symlink(project.path("theirs"), &state).unwrap();
    refused("belongs to another user");
}
