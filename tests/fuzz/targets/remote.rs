//! What a host's shell writes back.

use rollout::connect::ConnectError;
use rollout::connect::host::{Fact, Probe, Read, Run, replay};

/// Takes an answer, see [`facts`].
pub fn run(data: &[u8]) {
    let _either = facts(data);
}

/// Takes a byte that chooses what was asked, one for the size of the chunks, and the two output streams with a byte 2
/// between them. In them, the byte 1 followed by `N` begins a marker.
pub fn facts(data: &[u8]) -> Result<Vec<Fact>, ConnectError> {
    let [asked, chunk, streams @ ..] = data else { return Ok(Vec::new()) };
    let at = streams.iter().position(|b| *b == 2).unwrap_or(streams.len());
    let (stdout, stderr) = (&streams[..at], streams.get(at + 1..).unwrap_or_default());
    let chosen = questions().into_iter().enumerate().filter(|(bit, _)| asked & 1 << bit != 0);
    let probes: Vec<Probe> = chosen.map(|(_, probe)| probe).collect();
    let facts = replay(&probes, stdout, stderr, usize::from(*chunk) + 1)?;
    assert_eq!(facts.len(), probes.len(), "each question has its answer");
    Ok(facts)
}

fn questions() -> [Probe; 8] {
    let file = |path: &str, read| Probe::File { path: path.into(), read };
    [
        file("/a", Read::Content),
        file("/b", Read::Hash),
        file("/c", Read::Stat),
        Probe::Run(Run::shell("true")),
        Probe::Sysctl { key: "net.ipv4.ip_forward".into() },
        Probe::Module { name: "overlay".into() },
        Probe::System,
        file("/a", Read::Hash),
    ]
}
