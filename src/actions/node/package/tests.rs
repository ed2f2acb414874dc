use super::super::testing::{blocked, build, change, effects, is_same, ran, refused};
use super::*;
use crate::connect::host::{self, Command};

const FRESH: &str = "manager\tapt\nnative\tarm64\nlists\t60\n";

fn sees(rows: &str) -> [Fact; 1] {
    [ran(0, &format!("{FRESH}{rows}"), "")]
}

/// The last line of each script that a change runs.
fn lines(step: &Package, facts: &[Fact]) -> Vec<String> {
    let last = |effect: host::Effect| match effect {
        host::Effect::Run(host::Run { command: Command::Shell(script), .. }) => {
            script.lines().last().unwrap_or_default().to_owned()
        }
        other => panic!("{other:?}"),
    };
    effects(step, facts).into_iter().map(last).collect()
}

#[test]
fn what_is_missing_is_installed_and_what_is_there_stays() {
    let step = build::<Package>("names = ['curl', 'jq']").unwrap();
    let facts = sees("package\tcurl\tarm64\tii \t7.88\ncandidate\tjq\t1.6");
    assert_eq!(change(&step.verdict(&facts)), ["+ jq: 1.6"]);
    assert_eq!(lines(&step, &facts), ["repair && apt install --no-remove jq"]);
    let facts = sees("package\tcurl\tarm64\tii \t7.88\npackage\tjq\tarm64\tii \t1.6");
    assert_eq!(step.verdict(&facts), Verdict::Same { seen: "curl 7.88, jq 1.6".into() });
}

#[test]
fn old_lists_are_fetched_before_an_installation_only() {
    let old = |rows: &str| [ran(0, &format!("manager\tapt\nnative\tarm64\nlists\t7200\n{rows}"), "")];
    let there = "package\tcurl\tarm64\tii \t7.88";
    let step = build::<Package>("names = ['curl']").unwrap();
    assert!(is_same(&step.verdict(&old(there))));
    assert_eq!(change(&step.verdict(&old(""))), ["! fetch the package lists", "+ curl: newest"]);
    assert_eq!(lines(&step, &old("")), ["refresh", "repair && apt install --no-remove curl"]);
    let step = build::<Package>("names = ['curl']\nupdate_cache = true").unwrap();
    assert_eq!(lines(&step, &old(there)), ["refresh"]);
    let step = build::<Package>("update_cache = true\ncache_max_age = '3h'").unwrap();
    assert!(is_same(&step.verdict(&old(""))));
    let none = [ran(0, "manager\tapt\nnative\tarm64", "")];
    assert_eq!(change(&step.verdict(&none)), ["! fetch the package lists"]);
}

#[test]
fn the_newest_is_known_by_lists_that_are_fresh() {
    let step = build::<Package>("names = ['curl', 'jq']\nstate = 'latest'").unwrap();
    let rows =
        "package\tcurl\tarm64\tii \t7.88\npackage\tjq\tarm64\tii \t1.6\ncandidate\tcurl\t8.0\ncandidate\tjq\t1.6";
    assert_eq!(change(&step.verdict(&sees(rows))), ["~ curl: 7.88 → 8.0"]);
    assert_eq!(lines(&step, &sees(rows)), ["repair && apt install --no-remove curl"]);
    let old = [ran(0, &format!("manager\tapt\nnative\tarm64\n{rows}"), "")];
    assert_eq!(lines(&step, &old), ["refresh", "repair && apt install --no-remove curl jq"]);
    let held = sees(&rows.replace("ii \t7", "hi \t7"));
    assert!(blocked(&step.verdict(&held)).contains("curl is held at 7.88, and 8.0 is the newest"));
}

#[test]
fn what_a_package_manager_left_out_is_seen_when_it_has_ended() {
    let step = |toml: &str| build::<Package>(toml).unwrap();
    let old = "package\tcurl\tarm64\tii \t7.88";
    let after = |toml: &str, rows: &str| step(toml).verdict_after(&sees(rows));
    assert!(step("names = ['curl=8.0']").is_verified());
    assert_eq!(change(&after("names = ['curl=8.0']", old)), ["~ curl: 7.88 → 8.0"]);
    assert_eq!(change(&after("names = ['curl']\nstate = 'absent'", old)), ["- curl: 7.88"]);
    assert!(is_same(&after("names = ['curl']\nupdate_cache = true\ncache_max_age = '0s'", old)));
    let apk = |toml: &str| {
        step(toml).verdict_after(&[ran(0, "manager\tapk\nnative\tx86_64\npackage\tbash\tall\tii \t5", "")])
    };
    assert!(is_same(&apk("names = ['cmd:bash']")), "it is listed by the name of its package");
    assert_eq!(change(&apk("names = ['bash']\nstate = 'absent'")), ["- bash: 5"]);
}

#[test]
fn versions_are_exact_unless_they_end_with_a_star() {
    let facts = sees("package\tcurl\tarm64\tii \t7.88.1-10");
    for (version, same) in [("7.88.1-10", true), ("7.88*", true), ("7.88.1", false), ("8*", false)] {
        let step = build::<Package>(&format!("names = ['curl={version}']\nallow_downgrade = true")).unwrap();
        assert_eq!(is_same(&step.verdict(&facts)), same, "{version}");
    }
    let step = build::<Package>("names = ['curl=8*']\nallow_downgrade = true\nrecommends = false").unwrap();
    let line = "repair && apt install --no-remove --no-install-recommends --allow-downgrades 'curl=8*'";
    assert_eq!(lines(&step, &facts), [line]);
}

#[test]
fn a_name_that_is_provided_stands_for_its_package() {
    let git = "provided\tgit-core\t\tgit\tarm64\tii \t2.39\n";
    let step = |toml: &str| build::<Package>(toml).unwrap();
    let same = step("names = ['git-core']").verdict(&sees(git));
    assert_eq!(same, Verdict::Same { seen: "git 2.39 for git-core".into() });
    // A removed package of the name may have left its configuration.
    let left = format!("package\tgit-core\tarm64\trc \t1.7\n{git}");
    assert!(is_same(&step("names = ['git-core']").verdict(&sees(&left))));
    // An available package of the name itself comes first.
    let real = format!("{git}candidate\tgit-core\t3.0");
    assert_eq!(change(&step("names = ['git-core']").verdict(&sees(&real))), ["+ git-core: 3.0"]);
    let foreign = git.replace("arm64", "armhf");
    assert!(!is_same(&step("names = ['git-core']").verdict(&sees(&foreign))));
    assert!(is_same(&step("names = ['git-core:armhf']").verdict(&sees(&foreign))));
    assert!(is_same(&step("names = ['git-core']\nstate = 'absent'").verdict(&sees(git))));
    let latest = step("names = ['git-core']\nstate = 'latest'");
    let newer = format!("{git}candidate\tgit\t2.40");
    assert_eq!(change(&latest.verdict(&sees(&newer))), ["~ git: 2.39 → 2.40"]);
    assert_eq!(lines(&latest, &sees(&newer)), ["repair && apt install --no-remove git"]);
    assert!(is_same(&latest.verdict(&sees(&newer.replace("2.40", "2.39")))));
    let held = step("names = ['git-core']\nhold = true");
    assert_eq!(lines(&held, &sees(git)), ["apt-mark -qq hold git"]);
    let versioned = git.replace("git-core\t\t", "git-core\t1:2.0\t");
    assert!(is_same(&step("names = ['git-core=1:2*']").verdict(&sees(&versioned))));
    assert!(!is_same(&step("names = ['git-core=1:2*']").verdict(&sees(git))));
}

#[test]
fn the_own_architecture_has_several_names() {
    let facts = sees("package\ttzdata\tall\tii \t2024a\npackage\tcurl\tarm64\tii \t7.88\ncandidate\tcurl\t8.0");
    for name in ["tzdata:arm64", "tzdata:all", "curl:native", "curl:any", "curl:arm64", "tzdata:native"] {
        let step = build::<Package>(&format!("names = ['{name}']")).unwrap();
        assert!(is_same(&step.verdict(&facts)), "{name}");
    }
    let step = build::<Package>("names = ['curl:arm64']\nstate = 'latest'").unwrap();
    assert_eq!(change(&step.verdict(&facts)), ["~ curl:arm64: 7.88 → 8.0"]);
}

#[test]
fn a_hold_is_set_and_does_not_stand_in_its_own_way() {
    let step = build::<Package>("names = ['kubelet=1.31*']\nhold = true").unwrap();
    assert!(is_same(&step.verdict(&sees("package\tkubelet\tarm64\thi \t1.31.2"))));
    let facts = sees("package\tkubelet\tarm64\tii \t1.31.2");
    assert_eq!(change(&step.verdict(&facts)), ["~ kubelet held: no → yes"]);
    assert_eq!(lines(&step, &facts), ["apt-mark -qq hold kubelet"]);
    let facts = sees("package\tkubelet\tarm64\thi \t1.30.1");
    let line = "repair && apt install --no-remove --allow-change-held-packages 'kubelet=1.31*'";
    assert_eq!(lines(&step, &facts), [line]);
    assert!(blocked(&step.verdict(&[ran(0, "manager\tapk\nnative\tx86_64", "")])).contains("cannot hold"));
}

#[test]
fn a_removal_shows_what_goes_with_it_and_leaves_configuration_unless_told() {
    let step = build::<Package>("names = ['nginx']\nstate = 'absent'").unwrap();
    let facts = sees("package\tnginx\tarm64\tii \t1.2\ngoes\tnginx\t1.2\ngoes\tnginx-extra\t1.2");
    assert_eq!(change(&step.verdict(&facts)), ["- nginx: 1.2", "- nginx-extra, which depends on them: 1.2"]);
    assert_eq!(lines(&step, &facts), ["repair && apt remove nginx"]);
    let rest = sees("package\tnginx\tarm64\trc \t1.2");
    assert!(is_same(&step.verdict(&rest)) && is_same(&step.verdict(&sees(""))));
    let step = build::<Package>("names = ['nginx']\nstate = 'absent'\npurge = true").unwrap();
    assert_eq!(lines(&step, &rest), ["repair && apt purge nginx"]);
    assert!(is_same(&step.verdict(&sees("package\tnginx\tarm64\tun \t"))));
}

#[test]
fn the_other_managers_have_their_own_words() {
    let step = build::<Package>("names = ['curl', 'jq=1.7-r0']\nlock_timeout = '5s'").unwrap();
    let apk = [ran(0, "manager\tapk\nnative\tx86_64\npackage\tjq\tall\tii \t1.6-r0", "")];
    assert_eq!(lines(&step, &apk), ["apk update -q", "apk --wait 5 add -q curl 'jq=1.7-r0'"]);
    let dnf = [ran(0, "manager\tdnf\nnative\tx86_64\nlists\t0\npackage\tjq\tx86_64\tii \t1.6-r0", "")];
    assert_eq!(lines(&step, &dnf), ["{ dnf -q -y install curl jq-1.7-r0; } </dev/null"]);
    let step = build::<Package>("names = ['curl']\nstate = 'latest'").unwrap();
    assert_eq!(lines(&step, &dnf), ["{ dnf -q -y install curl && dnf -q -y upgrade curl; } </dev/null"]);
}

#[test]
fn an_error_says_what_to_do() {
    let step = build::<Package>("names = ['crul']").unwrap();
    let done = [EffectResult::Host(host::CommandOutput::new(100, "Reading...", "E: Unable to locate package crul\n"))];
    let problem = step.next_effect(&sees(""), &done).err().unwrap();
    assert_eq!(problem.message, "cannot install crul:\nE: Unable to locate package crul");
    assert!(problem.hint.unwrap().contains("are name and version right"));
}

#[test]
fn wrong_parameters_are_refused() {
    for (toml, parameter) in [
        ("", "/names"),
        ("names = ['a', '-x']", "/names/1"),
        ("names = ['a b']", "/names/0"),
        ("names = ['nginx-']", "/names/0"),
        ("names = ['a=']", "/names/0"),
        ("names = ['a', 'a=1']", "/names/1"),
        ("names = ['a=1']\nstate = 'latest'", "/names/0"),
        ("names = ['a']\nstate = 'absent'\nhold = true", "/state"),
        ("names = ['a']\npurge = true", "/purge"),
    ] {
        assert_eq!(refused::<Package>(toml), parameter, "{toml}");
    }
}

/// Probes this machine's packages, to check the format of the real programs.
#[tokio::test]
async fn the_look_is_understood_by_the_real_programs() {
    use crate::connect::{CallContext, RealWorld, Target, World};
    let step = build::<Package>("names = ['dpkg', 'no-such-package-here']").unwrap();
    let world = RealWorld::new(&crate::inventory::Inventory::default());
    let call = CallContext::silent(std::time::Duration::from_secs(20));
    let facts = world.probe(&Target::default(), &step.probes(), &call).await.unwrap();
    let absent = "the host has none of apt, apk and dnf";
    match Package::packages(&facts) {
        Ok(seen) if seen.manager == Manager::Apt => {
            assert!(seen.package("dpkg").unwrap().installed && seen.package("no-such-package-here").is_none());
            assert!(seen.package("dpkg:native").is_some() && seen.package("dpkg:any").is_some());
        }
        Ok(_) => {}
        Err(problem) => assert_eq!(problem.message, absent),
    }
}
