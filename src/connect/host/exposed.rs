//! Refuses requests that would show a secret to other users of the host: anything that becomes an argument of a program
//! there. Payloads do not.

use super::types::{Attributes, Command, Effect, Probe, Run};
use crate::connect::ConnectError;
use crate::secret::{has_secret, redact};

/// Refuses probes whose arguments contain a secret.
pub fn check_probes(probes: &[Probe]) -> Result<(), ConnectError> {
    check(probes.iter().flat_map(|probe| match probe {
        Probe::File { path, .. } => vec![path.as_str()],
        Probe::Run(run) => words_of_run(run),
        Probe::Sysctl { key } => vec![key.as_str()],
        Probe::Module { name } => vec![name.as_str()],
        Probe::System | Probe::Guard => Vec::new(),
    }))
}

/// Refuses an effect whose arguments contain a secret.
pub fn check_effect(effect: &Effect) -> Result<(), ConnectError> {
    check(match effect {
        Effect::Guard(guard) => return guard.check(),
        Effect::Expect(answers) => {
            return answers.iter().try_for_each(|(probe, _)| check_probes(std::slice::from_ref(probe)));
        }
        Effect::Run(run) => words_of_run(run),
        Effect::WriteFile(file) => {
            let mut words = with_attributes(&file.path, &file.attributes);
            words.extend(file.validate.as_deref());
            words
        }
        Effect::Directory { path, attributes } | Effect::Attributes { path, attributes } => {
            with_attributes(path, attributes)
        }
        Effect::Link { path, target } => vec![path.as_str(), target.as_str()],
        Effect::Remove { path } => vec![path.as_str()],
        Effect::LoadModule { name } => vec![name.as_str()],
        Effect::SetSysctl { settings } => {
            settings.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]).collect()
        }
    })
}

/// Refuses words that contain a secret.
pub fn check<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<(), ConnectError> {
    match words.into_iter().find(|word| has_secret(word)) {
        None => Ok(()),
        Some(word) => {
            let shown = redact(word);
            let shown = shown.lines().next().unwrap_or_default();
            let message = format!("`{shown}` has a secret in it, which others on the host could see while it is used");
            let hint = "pass secrets in `content`, a template or `stdin`; a secret should not be an everyday word";
            Err(ConnectError::failed(message).hint(hint))
        }
    }
}

fn words_of_run(run: &Run) -> Vec<&str> {
    let mut words: Vec<&str> = match &run.command {
        Command::Shell(line) => vec![line],
        Command::Argv(words) => words.iter().map(String::as_str).collect(),
    };
    words.extend(run.cwd.as_deref());
    words
}

fn with_attributes<'a>(path: &'a str, attributes: &'a Attributes) -> Vec<&'a str> {
    [Some(path), attributes.owner.as_deref(), attributes.group.as_deref()].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::host::{Bytes, Read, WriteFile};
    use crate::secret::Secret;

    #[test]
    fn a_secret_goes_out_as_a_payload_only() {
        let secret = Secret::new("poison-of-exposed-words");
        let word = format!("/x/{}", secret.expose());
        let write = |path: &str, validate: Option<String>| {
            let content = Bytes::from(&secret);
            Effect::WriteFile(WriteFile {
                path: path.into(),
                content: content.into(),
                attributes: Attributes::default(),
                backup: false,
                validate,
            })
        };
        let run = |run: Run| Effect::Run(run);
        let with_stdin = Run { stdin: Bytes::from(&secret), ..Run::shell("cat") };
        for good in [write("/x", None), run(with_stdin)] {
            assert!(check_effect(&good).is_ok(), "{good:?}");
        }
        let argv = Run { command: Command::Argv(vec!["echo".into(), word.clone()]), ..Run::shell("") };
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &word);
        for bad in [
            write(&word, None),
            write("/x", Some(format!("test %s {word}"))),
            run(Run::shell(format!("echo {encoded} | base64 -d"))),
            run(argv),
            run(Run { cwd: Some(word.clone()), ..Run::shell("true") }),
            Effect::Link { path: "/x".into(), target: word.clone() },
            Effect::Remove { path: word.clone() },
        ] {
            let error = check_effect(&bad).unwrap_err().to_string();
            assert!(error.contains("has a secret in it") && !error.contains("poison"), "{error}");
        }
        assert!(check_probes(&[Probe::System, Probe::File { path: word, read: Read::Stat }]).is_err());
    }
}
