//! Whether what was known of a host is still so: asked and compared on the host itself, in the middle of a row. Pure.

use super::command::script;
use super::quote::word;
use super::types::{Fact, File, FileKind, Probe, Read};

/// Longest output that is compared, bytes.
const MAX_ANSWER_BYTES: usize = 4096;

/// Whether a host can compare its answer with this one.
pub fn is_comparable(probe: &Probe, fact: &Fact) -> bool {
    comparison(probe, fact).is_some()
}

/// A script that ends well if the row has not been at work for long and all answers are what they were.
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
            // The nonce between them is nowhere else, and is not known to the script.
            let answer = format!("{}\"$_ro_n\"{}\"$_ro_n\"{}", word(stderr?), word(stdout?), done.exit);
            // Its watch has to be this shell's, which ends it. Errors go past the inner substitution, and come first.
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

/// The line that `_ro_stat` has for a file or a directory.
fn stat(path: &str, file: &File) -> String {
    let kind = if file.kind == FileKind::Directory { 0o040_000 } else { 0o100_000 };
    let File { mode, uid, gid, size, owner, group, .. } = file;
    format!("{:x}:{uid}:{gid}:{size}:{owner}:{group}:{path}", kind | mode)
}
