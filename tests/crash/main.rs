//! What a run promises when it is cut off: by a kill at each point of each step, by signals, by a torn or damaged journal,
//! by a disk that is full or fails. The real program on this machine, each time.
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
