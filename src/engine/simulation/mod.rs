//! A deterministic simulation of the engine: random plans, in a world, on a disk and in a time of its own, where all may
//! go wrong that can; then edits, and runs again, to the end. One seed is one story, the same each time.
//!
//! - [`model`], [`generate`], [`edit`]: plans and what people do to them; [`order`]: what comes before what, by the rules
//! - [`world`], [`guards`], [`disk`], [`life`], [`actions`]: what stands in for everything outside
//! - [`run`], [`chain`]: one run; a chain of runs with what each takes over from the one before
//! - [`oracle`]: what must be true of them; [`cuts`]: journals that are cut after each record; [`twice`]: a seed again
//!
//! `ROLLOUT_SEEDS=2000 cargo test simulation` plays more seeds, `ROLLOUT_SEED_BASE=N` others, `ROLLOUT_SEED_SECONDS=60` as
//! many as fit; `ROLLOUT_SEED=N` tells the story of one. It stops at the first failure, or after `ROLLOUT_FAILURES`.

mod actions;
mod chain;
mod cuts;
mod disk;
mod edit;
mod generate;
mod guards;
mod life;
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

/// How many lines of a failed story are told at once; all of it: `ROLLOUT_SEED`.
const LAST: usize = 60;

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| v.parse().unwrap())
}

#[test]
fn simulation() {
    if let Some(seed) = setting("ROLLOUT_SEED") {
        let told = chain::play(seed, true);
        println!("{}", told.trace.join("\n"));
        assert!(told.wrong.is_none(), "seed {seed}: {}", told.wrong.unwrap_or_default());
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
                    let told = chain::play(seed, false);
                    total.lock().unwrap().add(&told.stats);
                    total.lock().unwrap().count("seeds");
                    if let Some(why) = told.wrong {
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
