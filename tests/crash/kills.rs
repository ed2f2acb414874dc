//! SIGKILL at each point of each step. The next run must end as an uninterrupted run does.

use std::collections::{BTreeMap, BTreeSet};

use crate::process::{Cut, report};
use crate::run::Ran;
use crate::world::World;

const POINTS: [&str; 5] = ["before-intent", "after-intent", "mid-effect", "after-effect", "after-outcome"];
/// Points during a change; a step that changes nothing does not have them.
const OF_CHANGES: [&str; 2] = ["mid-effect", "after-effect"];

/// The steps that run in a round without failures.
const STEPS: [&str; 32] = [
    "facts",
    "folder",
    "plain",
    "link",
    "doomed",
    "doomed-folder",
    "archive",
    "copy",
    "download",
    "git",
    "script",
    "line",
    "block",
    "hosts-entry",
    "boot",
    "cron",
    "keys",
    "wait",
    "settings",
    "created",
    "removed",
    "listed",
    "token",
    "unguarded",
    "page",
    "reload",
    "after-reload",
    "late",
    "tried",
    "counted",
    "judge",
    "answers",
];
/// Steps that need the sandbox.
const IN_SANDBOX: [&str; 2] = ["parameter", "module"];
/// Steps to kill during their change in a round in which the phase `trial` fails.
const OF_TRIAL: [&str; 4] = ["tried", "counted", "judge", "take-back"];
const CHECKS: [&str; 4] = ["facts", "wait", "judge", "answers"];
/// Commands that run in every round.
const EACH_TIME: [&str; 2] = ["token", "unguarded"];

#[derive(Default)]
struct Totals {
    kills: usize,
    passed: usize,
    asked: usize,
}

impl Totals {
    fn print(&self, what: &str, rounds: usize) {
        let Self { kills, passed, asked } = self;
        report(&format!(
            "{what}: {rounds} rounds, {kills} kills, {passed} points not reached by checks; {asked} times a person had \
             to look"
        ));
    }
}

/// Two worlds with the same history; one of them is never interrupted.
struct Pair {
    whole: World,
    cut: World,
    round: u32,
    /// Whether the journal shows after the kill that the step `token`, which is repeated when in doubt, had finished.
    token_is_over: bool,
}

/// Deadline for scripts to end after their run was killed.
const TIDYING: std::time::Duration = std::time::Duration::from_secs(10);

impl Pair {
    fn new() -> Self {
        let pair = Self { whole: World::new(), cut: World::new(), round: 0, token_is_over: true };
        pair.whole.ready(0);
        pair.cut.ready(0);
        assert_eq!((pair.whole.run(0, &[]).code, pair.cut.run(0, &[]).code), (0, 0));
        pair
    }

    fn next(&mut self) -> u32 {
        self.round += 1;
        self.whole.ready(self.round);
        self.cut.ready(self.round);
        self.round
    }

    /// Kills the round at the point; `false` if the run ended without reaching it.
    fn kill(&mut self, unit: &str, point: &str, totals: &mut Totals) -> bool {
        let killed = match self.cut.cut(self.round, unit, point) {
            Cut::Killed => true,
            Cut::Passed(output) => {
                let ran = Ran::of(&output);
                assert_eq!(ran.code, i32::from(self.cut.path("fail").exists()), "{}", ran.failures());
                totals.passed += 1;
                false
            }
        };
        assert!(if killed { !never_reached(unit, point) } else { may_pass(unit, point) }, "{unit} {point}: {killed}");
        totals.kills += usize::from(killed);
        self.cut.journals_are_legal();
        self.token_is_over = self.cut.is_over("token");
        killed
    }

    /// Checks both worlds after a round that was killed at `unit`.
    fn compare(&self, unit: &str, point: &str) {
        let at = format!("round {}, killed at {unit} {point}", self.round);
        // Scripts of the killed run clean up in their own time.
        let began = std::time::Instant::now();
        while !differences(&self.whole, &self.cut).is_empty() && began.elapsed() < TIDYING {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert_eq!(differences(&self.whole, &self.cut), BTreeMap::new(), "{at}");
        let (whole, cut) = (self.whole.executions(), self.cut.executions());
        let here = format!(" {}", self.round);
        let of_round = |all: &BTreeMap<String, usize>| -> BTreeMap<String, usize> {
            all.iter().filter_map(|(k, n)| Some((k.strip_suffix(&here)?.to_owned(), *n))).collect()
        };
        let (whole, cut) = (of_round(&whole), of_round(&cut));
        assert!(whole.keys().eq(cut.keys()), "{at}: {whole:?} {cut:?}");
        for (command, times) in &cut {
            let most = match command.as_str() {
                // These steps run again if it is not known whether they ran; the first of them runs again even if it is
                // known.
                "reload" | "take-back" => whole[command] + 1,
                // The end of a step is written to disk together with the next start, of this phase or another one.
                "token" if !self.token_is_over => whole[command] + 1,
                _ => whole[command],
            };
            let least = if command == "reload" { 1 } else { whole[command] };
            assert!(
                (least..=most).contains(times),
                "{at}: {command} ran {times} times, uninterrupted {}",
                whole[command]
            );
        }
    }

    /// Runs once more: nothing is left to do.
    fn again(&self) {
        let ran = self.cut.run(self.round, &[]);
        assert_eq!(ran.code, 0, "{}", ran.failures());
        let idle = |ran: &Ran| ran.steps("changed").iter().all(|step| EACH_TIME.contains(step));
        assert!(idle(&ran), "a second run changed something: {:?}", ran.steps("changed"));
        assert_eq!(differences(&self.whole, &self.cut), BTreeMap::new());
        self.cut.forget_old_journals();
    }
}

/// The differences between both worlds.
fn differences(one: &World, other: &World) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let (one, other) = (one.listing(), other.listing());
    let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let both = names.into_iter().map(|n| (n.clone(), (one.get(n).cloned(), other.get(n).cloned())));
    both.filter(|(_, (one, other))| one != other).collect()
}

/// The steps to kill. Without `ROLLOUT_LONG` every fifth, starting at another one for each point.
fn sample<'a>(steps: &'a [&'a str], point: usize) -> impl Iterator<Item = &'a str> {
    steps.iter().enumerate().filter(move |(n, _)| crate::needs::time() || n % 5 == point).map(|(_, step)| *step)
}

/// Steps that must not be killed.
fn never_reached(unit: &str, point: &str) -> bool {
    CHECKS.contains(&unit) && OF_CHANGES.contains(&point)
}

/// Steps at which a run may end without being killed: a check that was answered together with an earlier step sends
/// nothing.
fn may_pass(unit: &str, point: &str) -> bool {
    never_reached(unit, point) || (CHECKS.contains(&unit) && point == "after-intent")
}

/// Kills each step at the point, one step per round.
fn round_after_round(point: usize) {
    let (mut pair, mut totals, name) = (Pair::new(), Totals::default(), POINTS[point]);
    let steps = if pair.cut.sandbox.is_some() { [&STEPS[..], &IN_SANDBOX].concat() } else { STEPS.to_vec() };
    for unit in sample(&steps, point) {
        let round = pair.next();
        let whole = pair.whole.run(round, &[]);
        assert_eq!(whole.code, 0, "{}", whole.failures());
        if pair.kill(unit, name, &mut totals) {
            totals.asked += pair.cut.go_on(round, 0).1;
        }
        pair.compare(unit, name);
        pair.again();
    }
    totals.print(&format!("crash suite, {name}"), sample(&steps, point).count());
}

#[test]
fn killed_before_anything_of_a_step_is_on_record() {
    round_after_round(0);
}

#[test]
fn killed_before_a_change_is_sent_out() {
    round_after_round(1);
}

#[test]
fn killed_in_the_middle_of_a_change() {
    round_after_round(2);
}

#[test]
fn killed_between_a_change_and_its_record() {
    round_after_round(3);
}

#[test]
fn killed_when_a_step_has_ended() {
    round_after_round(4);
}

/// A failing phase, killed while it runs or is rolled back. `mended` says whether the cause of the failure is gone in
/// the next run.
fn failing_rounds(mended: bool) {
    let (mut pair, mut totals) = (Pair::new(), Totals::default());
    for (point, name) in POINTS.into_iter().enumerate() {
        for unit in sample(&OF_TRIAL, point) {
            let round = pair.next();
            for world in [&pair.whole, &pair.cut] {
                std::fs::write(world.path("fail"), "").unwrap();
            }
            let whole = pair.whole.run(round, &[]);
            assert_eq!((whole.code, whole.outcomes()["judge"]), (1, "failed"), "{}", whole.failures());
            if pair.kill(unit, name, &mut totals) && !mended {
                let (ran, asked) = pair.cut.go_on(round, 1);
                assert_eq!(ran.steps("failed"), ["judge"], "{}", ran.failures());
                totals.asked += asked;
                pair.compare(unit, name);
            }
            for world in [&pair.whole, &pair.cut] {
                std::fs::remove_file(world.path("fail")).unwrap();
            }
            let whole = pair.whole.run(round, &[]);
            assert_eq!(whole.code, 0, "{}", whole.failures());
            totals.asked += pair.cut.go_on(round, 0).1;
            assert_eq!(differences(&pair.whole, &pair.cut), BTreeMap::new(), "{unit} {name}");
            pair.again();
        }
    }
    let mended = if mended { ", its cause gone at once" } else { "" };
    let rounds = usize::try_from(pair.round).unwrap();
    totals.print(&format!("crash suite, a failing phase{mended}"), rounds);
}

#[test]
fn killed_while_a_failing_phase_is_made_or_undone() {
    failing_rounds(false);
}

#[test]
fn killed_while_a_failing_phase_is_made_or_undone_and_the_cause_is_gone_then() {
    failing_rounds(true);
}
