//! A test that cannot run prints a note, and fails with `ROLLOUT_ALL`.

#[path = "shared/needs.rs"]
#[allow(dead_code, reason = "other tests ask more of it")]
mod needs;

use std::process::Command;

#[test]
fn what_is_missing_is_told_once_and_is_a_failure_in_the_gate() {
    const TOLD: &str = "needs a dragon: hatch one";
    if std::env::var_os("WITHOUT_A_DRAGON").is_some() {
        assert!(needs::met(true, "air", "breathe"));
        for _ in 0..2 {
            assert!(!needs::met(false, "a dragon", "hatch one"));
        }
        return;
    }
    let without = |in_the_gate: bool| {
        let mut test = Command::new(std::env::current_exe().unwrap());
        test.args(["--exact", "what_is_missing_is_told_once_and_is_a_failure_in_the_gate"]);
        test.env("WITHOUT_A_DRAGON", "1").env_remove("ROLLOUT_ALL");
        let output = test.envs(in_the_gate.then_some(("ROLLOUT_ALL", "1"))).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said.matches("skipped: ").count(), said.matches(TOLD).count())
    };
    assert_eq!(without(false), (true, 1, 1));
    assert_eq!(without(true), (false, 0, 1));
}

#[test]
fn a_program_that_is_there_is_found() {
    assert!(needs::program("dash"));
}
