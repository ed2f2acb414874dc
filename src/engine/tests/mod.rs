//! The whole engine against a fake world. The parts of the engine have tests of their own; the tests here show that the
//! parts work together, and what a run takes over from a run that failed or was killed.
//!
//! - [`plans`], [`actions`]: short names for plans; [`world`], [`guarded_host`]: what stands in for hosts
//! - [`runs`]: runs that follow each other, and what they report

mod actions;
mod approval;
mod basics;
mod guarded_host;
mod guards;
mod handlers;
mod loops;
mod pace;
mod panics;
mod plans;
mod reboot;
mod resume;
mod round_trips;
mod runs;
mod undo;
mod waits;
mod world;
