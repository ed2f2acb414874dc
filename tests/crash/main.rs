//! What holds after an interruption: a kill at each point of each step, signals, a truncated or damaged journal, a full
//! or failing disk. All tests run the real program on this machine.
//!
//! `ROLLOUT_LONG=1` (set by `tests/all`) tries every point of every step and every byte; without it, a sample.

mod disk;
mod journals;
mod kills;
#[path = "../shared/needs.rs"]
#[allow(dead_code, reason = "other tests ask more of it")]
mod needs;
mod process;
mod run;
mod sandbox;
mod signals;
mod truncation;
mod world;
