//! Compares earlier answers with the present state on the host itself, in the middle of a pipeline. Builds the scripts;
//! no I/O.

use super::command::script;
use super::quote::word;
use super::types::{Fact, File, FileKind, Probe, Read};

/// Longer outputs are not compared, bytes.
const MAX_ANSWER_BYTES: usize = 4096;

/// Whether a script can compare the host's present answer to `probe` with `fact`.
pub fn is_comparable(probe: &Probe, fact: &Fact) -> bool {
    comparison(probe, fact).is_some()
}

/// A script that succeeds if the pipeline has not been running for long and all answers are still the same.
pub fn request(answers: &[(Probe, Fact)]) -> String {
    let mut script = "_ro_soon".to_owned();
    for (probe, fact) in answers {
        script += " && ";
        script += comparison(probe, fact).as_deref().unwrap_or("false");
    }
    script
}

fn comparison(probe: &Probe, fact: &Fact) -> Option<String> {
    match (probe, fact) {
        (Probe::Run(run), Fact::Run(done)) => {
            let [stdout, stderr] = [&done.stdout, &done.stderr].map(|output| {
                let whole = !output.is_cut() && output.tail.len() <= MAX_ANSWER_BYTES && !output.tail.contains(&0);
                whole.then(|| std::str::from_utf8(&output.tail).ok()).flatten()
            });
            // The nonce separates errors, output and exit status: none of them can contain it, since the command does
            // not know it.
            let answer = format!("{}\"$_ro_n\"{}\"$_ro_n\"{}", word(stderr?), word(stdout?), done.exit);
            // The watch must be started by this shell, which ends it. Standard error bypasses the inner substitution
            // and so comes first.
            Some(format!(
                "{{ _ro_watch; _ro_x=$(exec 3>&1; _ro_y=$( {{ {}; }} 2>&3 3>&-; printf '%s%s' \"$_ro_n\" $?); \
                 printf '%s%s' \"$_ro_n\" \"$_ro_y\"); [ \"$_ro_x\" = {answer} ]; }}",
                script(run)
            ))
        }
        (Probe::File { path, .. }, Fact::File(None)) => Some(format!("_ro_as {} ''", word(path))),
        (Probe::File { path, read }, Fact::File(Some(file))) => {
            let hash = match (file.kind.clone(), read, &file.sha256) {
                (FileKind::Directory, ..) | (FileKind::Regular, Read::Stat, _) => "",
                (FileKind::Regular, _, Some(hash)) => hash,
                _ => return None,
            };
            Some(format!("_ro_as {} {} {hash}", word(path), word(&stat(path, file))))
        }
        _ => None,
    }
}

/// The line that `_ro_stat` prints for a file or directory.
fn stat(path: &str, file: &File) -> String {
    let kind = if file.kind == FileKind::Directory { 0o040_000 } else { 0o100_000 };
    let File { mode, uid, gid, size, owner, group, .. } = file;
    format!("{:x}:{uid}:{gid}:{size}:{owner}:{group}:{path}", kind | mode)
}
