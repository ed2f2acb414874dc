use std::io::{Seek as _, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use super::super::testing::{blocked, build, change, effects, is_same, ran, refused};
use super::*;

const A: &str = "ssh-ed25519 AAAAC3a ada@laptop";

fn sees(rest: &str) -> [Fact; 1] {
    [ran(0, &format!("user\t1000\t0\nplace\t/home/pi\t/home/pi/.ssh/authorized_keys\n{rest}"), "")]
}

fn step() -> AuthorizedKey {
    build(&format!("user = 'pi'\nkeys = ['{A}']")).unwrap()
}

#[test]
fn a_key_is_added_as_the_user_whose_it_is() {
    let facts = sees("");
    assert_eq!(change(&step().verdict(&facts)), ["~ /home/pi/.ssh/authorized_keys", "@@ -0,0 +1 @@", &format!("+{A}")]);
    let effects = effects(&step(), &facts);
    let [host::Effect::Run(run)] = &effects[..] else { panic!("{effects:?}") };
    assert!(run.command.to_string().contains("runuser -u pi -- sh -c"), "{}", run.command);
    assert_eq!(run.stdin.as_slice(), format!("{A}\n").as_bytes());
    assert!(is_same(&step().verdict(&sees(&format!("file\t1000 600\ncontent\n{A}\n")))));
}

#[test]
fn nothing_is_made_for_the_sake_of_keys_that_should_not_be_there() {
    let step = build::<AuthorizedKey>(&format!("user = 'pi'\nkeys = ['{A}']\nstate = 'absent'")).unwrap();
    assert!(is_same(&step.verdict(&sees(""))));
    assert!(is_same(&step.verdict(&[ran(0, "nobody\n", "")])), "who is gone has no keys");
    let there = sees(&format!("file\t1000 600\ncontent\n{A}\n"));
    assert_eq!(change(&step.verdict(&there)).last().unwrap(), &format!("-{A}"));
}

#[test]
fn what_others_may_write_is_closed() {
    let facts = sees(&format!("folder\t1000 775\nfile\t1000 600\ncontent\n{A}\n"));
    assert_eq!(change(&step().verdict(&facts)), ["~ folder's mode: 0775 → 0755"]);
}

#[test]
fn what_is_not_as_it_should_be_blocks() {
    let says = |text: &str| blocked(&step().verdict(&[ran(0, text, "")]));
    assert!(says("nobody\n").contains("no user pi"));
    assert!(says("user\t1\t0\nhomeless\t/home/pi\n").contains("/home/pi does not exist"));
    assert!(says("user\t1\t0\noutside\t/etc/shadow\n").contains("outside of the home directory, at /etc/shadow"));
    assert!(says("what\n").contains("`what`"));
    assert!(blocked(&step().verdict(&sees("folder\t0 700\n"))).contains("belongs to user number 0"));
    let other = [ran(0, "user\t1000\t33\nplace\t/home/pi\t/home/pi/.ssh/authorized_keys\n", "")];
    assert!(blocked(&step().verdict(&other)).contains("neither as pi nor as root"));
}

#[test]
fn wrong_parameters_are_refused() {
    for (toml, parameter) in [
        ("user = 'pi'\nkeys = []".to_owned(), "/keys"),
        ("user = 'pi'\nkeys = ['# only a note']".into(), "/keys"),
        (format!("user = 'pi'\nkeys = ['{A}', 'ssh-rsa']"), "/keys/1"),
        (format!("user = 'pi:x'\nkeys = ['{A}']"), "/user"),
        (format!("user = 'pi'\nkeys = ['{A}']\nstate = 'absent'\nexclusive = true"), "/exclusive"),
        (format!("user = 'pi'\nkeys = ['{A}']\noptions = 'no pty'"), "/options"),
        (format!("user = 'pi'\nkeys = ['{A}']\npath = 'x'"), "/path"),
    ] {
        assert_eq!(refused::<AuthorizedKey>(&toml), parameter, "{toml}");
    }
}

/// Runs the script that writes the file, with this folder as home directory.
fn write(home: &Path, place: &Path, content: &str) -> Result<(), String> {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let seen = KeysFile { home: text(home), place: text(place), ..KeysFile::default() };
    // stdin is a file, not a pipe: the script may end before it has read all input.
    let mut input = tempfile::tempfile().unwrap();
    input.write_all(content.as_bytes()).unwrap();
    input.rewind().unwrap();
    let output = Command::new("sh").args(["-c", &write_script(&seen, content.len())]).stdin(input).output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

#[test]
fn the_file_is_written_for_its_owner_only_and_never_outside_of_the_home() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (home, elsewhere) = (root.join("home"), root.join("elsewhere"));
    for path in [&home, &elsewhere] {
        std::fs::create_dir(path).unwrap();
    }
    let place = home.join(".ssh/authorized_keys");
    write(&home, &place, "a\n").unwrap();
    write(&home, &place, "b\n").unwrap();
    assert_eq!(std::fs::read_to_string(&place).unwrap(), "b\n");
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(place.parent().unwrap())), (0o600, 0o700));
    assert_eq!(std::fs::read_dir(place.parent().unwrap()).unwrap().count(), 1, "nothing is left beside");

    std::fs::remove_dir_all(home.join(".ssh")).unwrap();
    symlink(&elsewhere, home.join(".ssh")).unwrap();
    assert!(write(&home, &place, "c\n").unwrap_err().contains("leads out of"));
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0);
}
