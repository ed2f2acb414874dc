use super::super::testing::{blocked, build, change, effects, is_same, perform, ran, refused};
use super::*;
use crate::connect::host;

const ADA: &str = "known\tsudo\t27\nknown\tvideo\t44\nknown\tgpio\t997\nknown\tada\t1001\n\
     entry\tada:x:1001:1001:Ada,,,:/home/ada:/bin/bash\ngroup\tada\n\
     member\t1001\tada\there\nmember\t27\tsudo\there\nmember\t44\tvideo\there\nhome\tthere\n";

fn sees(text: &str) -> [Fact; 1] {
    [ran(0, text, "")]
}

/// The first line of each script that a change runs.
fn lines(step: &User, facts: &[Fact]) -> Vec<String> {
    let first = |effect: host::Effect| match effect {
        host::Effect::Run(Run { command: host::Command::Shell(script), .. }) => {
            script.lines().next().unwrap_or_default().to_owned()
        }
        other => panic!("{other:?}"),
    };
    effects(step, facts).into_iter().map(first).collect()
}

#[test]
fn a_new_user_is_made_as_asked() {
    let step = build::<User>(
        "name = 'ada'\nuid = 1001\ngroups = ['sudo', 'video']\nshell = '/bin/bash'\ncomment = 'Ada L'\npassword = '$6$x$y'",
    )
    .unwrap();
    assert_eq!(
        change(&step.verdict(&sees(""))),
        ["+ user ada: 1001", "+ shell: /bin/bash", "+ groups: sudo, video", "+ comment: Ada L", "+ password: as given"]
    );
    let made = "useradd -M -u 1001 -G 'sudo,video' -s /bin/bash -c 'Ada L' -- ada";
    assert_eq!(lines(&step, &sees("")), [made, "name=ada", "chpasswd -e"]);
    let step = build::<User>("name = 'vault'\nsystem = true").unwrap();
    assert_eq!(lines(&step, &sees("namesake\n")), ["useradd -M -g vault -r -- vault"]);
}

#[test]
fn only_what_differs_is_changed() {
    let step = build::<User>("name = 'ada'\ngroups = ['sudo']\nhome = '/home/ada'\nshell = '/bin/bash'").unwrap();
    assert!(is_same(&step.verdict(&sees(ADA))));
    let step = build::<User>("name = 'ada'\ngroups = ['sudo', 'gpio']\nshell = '/bin/zsh'\ncomment = 'Ada'").unwrap();
    assert_eq!(
        change(&step.verdict(&sees(ADA))),
        ["~ shell: /bin/bash → /bin/zsh", "~ comment: Ada,,, → Ada", "~ groups: sudo, video → gpio, sudo, video"]
    );
    assert_eq!(lines(&step, &sees(ADA)), ["usermod -s /bin/zsh -c Ada -a -G gpio -- ada"]);
}

#[test]
fn groups_can_be_all_that_it_is_in() {
    let step = build::<User>("name = 'ada'\ngroups = ['sudo']\nappend = false").unwrap();
    assert_eq!(lines(&step, &sees(ADA)), ["usermod -G sudo -- ada"]);
    let step = build::<User>("name = 'ada'\ngroups = []\nappend = false").unwrap();
    assert_eq!(lines(&step, &sees(ADA)), ["usermod -G '' -- ada"]);
    let step = build::<User>("name = 'ada'\ngroups = ['video', 'sudo', 'ada']\nappend = false").unwrap();
    assert!(is_same(&step.verdict(&sees(ADA))));
}

#[test]
fn groups_are_known_by_their_numbers() {
    // `domain users` is a group of a directory service; `wheel` is another name of `sudo`, `mine` of the primary group.
    let seen =
        format!("known\twheel\t27\nknown\tmine\t1001\nknown\tusers\t100\n{ADA}member\t9000\tdomain users\telsewhere\n");
    let verdict = |rest: &str| build::<User>(&format!("name = 'ada'\n{rest}")).unwrap();
    for same in ["groups = ['wheel', 'sudo', 'mine']", "group = 'mine'", "groups = ['video', 'wheel']\nappend = false"]
    {
        assert!(is_same(&verdict(same).verdict(&sees(&seen))), "{same}");
    }
    let step = verdict("groups = ['users', 'gpio', 'users']");
    assert_eq!(
        change(&step.verdict(&sees(&seen))),
        ["~ groups: domain users, sudo, video → domain users, gpio, sudo, users, video"]
    );
    assert_eq!(lines(&step, &sees(&seen)), ["usermod -a -G 'gpio,users' -- ada"]);
    let only = verdict("groups = ['users']\nappend = false");
    assert_eq!(change(&only.verdict(&sees(&seen))), ["~ groups: domain users, sudo, video → domain users, users"]);
    assert_eq!(lines(&only, &sees(&seen)), ["usermod -G users -- ada"]);
    let moved = verdict("group = 'users'\ngroups = ['sudo', 'users']");
    assert_eq!(lines(&moved, &sees(&seen)), ["usermod -g users -a -G ada -- ada"]);
}

#[test]
fn a_slash_at_the_end_of_a_home_says_nothing() {
    let with_slash = ADA.replace("/home/ada:", "/home/ada/:");
    for (home, seen) in [("/home/ada/", ADA), ("/home/ada", with_slash.as_str())] {
        let step = build::<User>(&format!("name = 'ada'\nhome = '{home}'")).unwrap();
        assert!(is_same(&step.verdict(&sees(seen))), "{home} {seen}");
    }
}

#[test]
fn a_missing_home_is_made() {
    let facts = sees(&ADA.replace("there", "missing"));
    let step = build::<User>("name = 'ada'").unwrap();
    assert_eq!(change(&step.verdict(&facts)), ["+ directory: /home/ada"]);
    assert!(is_same(&build::<User>("name = 'ada'\ncreate_home = false").unwrap().verdict(&facts)));
}

#[test]
fn a_password_goes_over_standard_input_and_is_never_shown() {
    let step = build::<User>("name = 'ada'\npassword = '$6$salt$unseen'").unwrap();
    let Probe::Host(host::Probe::Run(run)) = &step.probes()[0] else { panic!() };
    assert_eq!(run.stdin.as_slice(), b"$6$salt$unseen\n");
    assert!(is_same(&step.verdict(&sees(&format!("{ADA}password\tsame\n")))));
    let facts = sees(&format!("{ADA}password\tdiffers\n"));
    assert_eq!(change(&step.verdict(&facts)), ["~ password: another → as given"]);
    let effects = effects(&step, &facts);
    let [host::Effect::Run(run)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(run.stdin.as_slice(), b"ada:$6$salt$unseen\n");
    assert!(!format!("{effects:?} {:?}", step.probes()).contains("unseen"));
    assert!(blocked(&step.verdict(&sees(&format!("{ADA}password\thidden\n")))).contains("cannot see"));
}

#[test]
fn a_user_goes_with_its_home_only_when_told() {
    let step = build::<User>("name = 'ada'\nstate = 'absent'").unwrap();
    assert!(is_same(&step.verdict(&sees(""))));
    assert_eq!(lines(&step, &sees(ADA)), ["userdel -- ada"]);
    let step = build::<User>("name = 'ada'\nstate = 'absent'\nremove_home = true").unwrap();
    assert_eq!(change(&step.verdict(&sees(ADA))), ["- user ada: 1001", "- directory: /home/ada"]);
    assert_eq!(lines(&step, &sees(ADA)), ["userdel -r -- ada"]);
}

#[test]
fn what_is_not_understood_blocks() {
    let step = build::<User>("name = 'ada'").unwrap();
    for text in ["entry\tada:x:no:1:c:h:s", "entry\tada", "what", "home\tthere"] {
        assert!(matches!(step.verdict(&sees(text)), Verdict::Blocked(_)), "{text}");
    }
}

#[test]
fn wrong_parameters_are_refused() {
    for (toml, parameter) in [
        ("name = 'a b'", "/name"),
        ("name = 'ada'\ngroups = ['x', '']", "/groups/1"),
        ("name = 'ada'\nshell = 'bash'", "/shell"),
        ("name = 'ada'\nshell = '/bin/bash/'", "/shell"),
        ("name = 'ada'\nhome = '/a:b'", "/home"),
        ("name = 'ada'\ncomment = 'a:b'", "/comment"),
        ("name = 'ada'\npassword = 'plain'", "/password"),
        ("name = 'ada'\nappend = false", "/append"),
        ("name = 'ada'\nstate = 'absent'\nuid = 1", "/state"),
        ("name = 'ada'\nremove_home = true", "/remove_home"),
    ] {
        assert_eq!(refused::<User>(toml), parameter, "{toml}");
    }
}

#[tokio::test]
async fn a_program_that_ends_well_without_effect_is_found_out() {
    let step = build::<User>(
        "name = 'ada'\nuid = 1000\nhome = '/h'\nshell = '/bin/zsh'\ncomment = 'A \"B'\ngroup = 'ada'\ngroups = ['ops']",
    )
    .unwrap();
    let script = |step: &User, facts: &[Fact]| match &effects(step, facts)[0] {
        host::Effect::Run(run) => run.command.to_string(),
        other => panic!("{other:?}"),
    };
    let nobody = [ran(0, "", "")];
    let ends = async |script: &str, entry: &str, groups: &str| {
        let programs = format!(
            "useradd() {{ :; }}; userdel() {{ :; }}; id() {{ case $1 in -g) echo 100 ;; *) echo '{groups}' ;; esac; }}\n\
             getent() {{ case $1/$2 in group/ada) echo ada:x:100: ;; group/*) echo ops:x:27: ;; *) {entry} ;; esac; }}"
        );
        perform(&Run::shell(format!("{programs}\n{script}"))).await.exit
    };
    let made = script(&step, &nobody);
    let entry = |shell: &str| format!("printf '%s\\n' 'ada:x:1000:100:A \"B:/h//:{shell}'");
    assert_eq!(ends(&made, &entry("/bin/zsh"), "100 27").await, 0);
    assert_eq!(ends(&made, &entry("/bin/zsh"), "100 127").await, 1, "it is in no such group");
    assert_eq!(ends(&made, &entry("/bin/sh"), "100 27").await, 1, "it has another shell");
    assert_eq!(ends(&made, "return 2", "100 27").await, 1, "it is not there");
    let there = [ran(0, "entry\tada:x:1000:100:Ada:/h:/bin/sh\ngroup\tada\nhome\tthere\n", "")];
    let removed = script(&build("name = 'ada'\nstate = 'absent'").unwrap(), &there);
    assert_eq!((ends(&removed, "return 2", "").await, ends(&removed, &entry("/bin/sh"), "").await), (0, 1));
}
