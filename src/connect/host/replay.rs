//! Parses recorded bytes as a host's answer, without a shell: for the fuzzer.

use super::frame::Frame;
use super::probes::Batch;
use super::splitter::Splitter;
use super::types::{Fact, Probe};
use crate::connect::ConnectError;

/// Parses both streams as the answer to `probes`, `chunk` bytes (at least 1) at a time. In the streams, the byte 1
/// followed by `N` stands for the beginning of a marker, since the nonce cannot be known beforehand.
///
/// # Errors
/// When the streams end too early, or do not hold the answers.
pub fn replay(probes: &[Probe], stdout: &[u8], stderr: &[u8], chunk: usize) -> Result<Vec<Fact>, ConnectError> {
    let batch = Batch::new(probes);
    let mut frame = Frame::new();
    batch.request().parts.into_iter().for_each(|part| frame.add_part(part));
    let split = |stream: &[u8]| {
        let mut splitter = frame.splitter();
        for bytes in frame.with_nonce(stream).chunks(chunk) {
            splitter.push(bytes);
            let _shown = (splitter.accepted(), splitter.last_line());
        }
        splitter
    };
    let (out, err) = (split(stdout), split(stderr));
    if !(out.complete() && err.complete()) {
        return Err(ConnectError::lost(format!("{}\n{}", out.unframed(), err.unframed())));
    }
    let mut facts = Vec::new();
    if let Some(large) = batch.read(&Splitter::join(out, err), &mut facts)? {
        large.fill(&[], &mut facts)?;
    }
    Ok(facts)
}
