//! A deterministic simulation of the engine. Each seed makes a random plan and runs it in a simulated world, on a
//! simulated disk and in virtual time, with random faults. Then the plan is edited and run again, until all is done. An
//! oracle judges each run by rules of its own.
//!
//! - [`model`], [`generate`], [`edit`]: plans and how people edit them; [`order`]: which step comes before which
//! - [`world`], [`guards`], [`disk`], [`life`], [`actions`]: the simulated hosts, disk, process and actions
//! - [`run`], [`chain`]: one run; a chain of runs, each of which takes over the history of the one before
//! - [`oracle`]: the rules; [`cuts`]: journals that are cut after each record; [`twice`]: each seed gives the same
//!   story twice
//!
//! `ROLLOUT_SEEDS=2000 cargo test simulation` plays 2000 seeds, `ROLLOUT_SEED_BASE=N` begins at seed N,
//! `ROLLOUT_SEED_SECONDS=60` plays seeds for a minute, `ROLLOUT_SEED=N` prints the story of one. The test stops at the
//! first failure, or after `ROLLOUT_FAILURES` of them.

mod actions;
mod chain;
mod cuts;
pub mod disk;
mod edit;
mod generate;
mod guards;
pub mod life;
mod model;
mod oracle;
mod order;
mod report;
mod run;
mod twice;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use report::Stats;

/// How many lines of a failed story are printed. `ROLLOUT_SEED` prints all.
const LAST: usize = 60;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap())
}

#[test]
fn simulation() {
    if let Some(seed) = setting("ROLLOUT_SEED") {
        let story = chain::play(seed, true);
        println!("{}", story.trace.join("\n"));
        assert!(story.wrong.is_none(), "seed {seed}: {}", story.wrong.unwrap_or_default());
        return;
    }
    let base = setting("ROLLOUT_SEED_BASE").unwrap_or(0);
    let (count, most) = match setting("ROLLOUT_SEED_SECONDS") {
        Some(seconds) => (u64::MAX, Duration::from_secs(seconds)),
        None => (setting("ROLLOUT_SEEDS").unwrap_or(300), Duration::MAX),
    };
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let (total, wrong) = (Mutex::new(Stats::default()), Mutex::new(Vec::new()));
    let most_wrong = setting("ROLLOUT_FAILURES").unwrap_or(1) as usize;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count || began.elapsed() > most || wrong.lock().unwrap().len() >= most_wrong {
                        break;
                    }
                    let seed = base.wrapping_add(n);
                    let story = chain::play(seed, false);
                    total.lock().unwrap().add(&story.stats);
                    total.lock().unwrap().count("seeds");
                    if let Some(why) = story.wrong {
                        wrong.lock().unwrap().push((seed, why));
                    }
                }
            });
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    let total = total.into_inner().unwrap();
    println!("seeds from {base}: {total}; {:.1} seeds/s", total.0["seeds"] as f64 / seconds);
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    if let Some((seed, why)) = wrong.first() {
        let trace = chain::play(*seed, true).trace;
        println!("the last of seed {seed}:\n{}", trace[trace.len().saturating_sub(LAST)..].join("\n"));
        for (seed, why) in &wrong {
            println!("seed {seed}: {why}");
        }
        panic!(
            "seed {seed}: {why}\nplay it again: ROLLOUT_SEED={seed} cargo test --lib simulation::simulation -- --nocapture"
        );
    }
}
