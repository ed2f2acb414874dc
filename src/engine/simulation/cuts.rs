//! A run whose journal was cut after any of its records is resumed to the same end.

use super::chain::Chain;
use super::disk::Trouble;
use super::oracle::Asked;
use super::run::Troubles;
use super::world::Weather;

/// Runs a seed's plan and kills the run once its journal has this many records. Returns the chain, and whether the run
/// was killed.
fn cut(seed: u64, records: usize, piece: usize) -> (Chain, bool) {
    let mut chain = Chain::new(seed, false);
    let weather = Weather { slow: 50, ..Weather::default() };
    let troubles = Troubles { weather, disk: Some(Trouble::Keep(records)), survives: piece, ..Troubles::default() };
    let asked = Asked { parallel: 3, ..Asked::default() };
    let ran = chain.run(asked, troubles).unwrap_or_else(|why| panic!("seed {seed}, cut after {records}: {why}"));
    let died = ran.is_none_or(|ran| ran.report.is_none());
    (chain, died)
}

#[test]
fn a_run_that_was_cut_after_any_record_comes_to_the_same_end() {
    for seed in 0..6 {
        for records in 0.. {
            let (mut chain, died) = cut(seed, records, records * 379 % 1000);
            assert!(!died || chain.journals[0].len() == records, "seed {seed}, cut after {records}");
            chain.quiet().unwrap_or_else(|why| panic!("seed {seed}, cut after {records} records: {why}"));
            if !died {
                break;
            }
        }
    }
}
