//! Predicts the answer to a probe after an effect, where that needs no request. When in doubt, it makes no prediction.

use sha2::{Digest as _, Sha256};

use super::may_change::is_virtual;
use super::payload::Content;
use super::types::{CONTENT_LIMIT, Effect, Fact, File, FileKind, Probe, Read, WriteFile};
use crate::digest::hex;

impl Effect {
    /// The answer to `probe` after this effect has succeeded, given that the answer before was `seen`; `None` when only
    /// the host can tell.
    pub fn predict_answer(&self, probe: &Probe, before: &Fact) -> Option<Fact> {
        let (Self::WriteFile(written), Probe::File { path, read }, Fact::File(Some(file))) = (self, probe, before)
        else {
            return None;
        };
        let WriteFile { path: changed, content: Content::Bytes(content), attributes, .. } = written else {
            return None;
        };
        let content = content.as_slice();
        let mode = attributes.mode.unwrap_or(0o600);
        // Only the host knows who owns a new file without a given owner, and which setuid bits the kernel keeps.
        let keeps = |wanted: Option<&String>, number: u32, name: &str| {
            wanted.is_some_and(|wanted| *wanted == number.to_string() || wanted == name)
        };
        let is_sure = changed == path
            && !is_virtual(path)
            && file.kind == FileKind::Regular
            && content.len() <= CONTENT_LIMIT
            && mode <= 0o777
            && keeps(attributes.owner.as_ref(), file.uid, &file.owner)
            && keeps(attributes.group.as_ref(), file.gid, &file.group);
        is_sure.then(|| {
            let hash: [u8; 32] = Sha256::digest(content).into();
            let is_read = read.wants_content() && *read != Read::ContentUnless(hash);
            Fact::File(Some(File {
                mode,
                size: content.len() as u64,
                sha256: (*read != Read::Stat).then(|| hex(&hash)),
                content: is_read.then(|| content.to_vec()),
                ..file.clone()
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::types::Attributes;
    use super::*;

    fn write(path: &str, content: &str, owner: Option<&str>, mode: u32) -> Effect {
        let owner = owner.map(str::to_owned);
        let attributes = Attributes { mode: Some(mode), group: owner.clone(), owner };
        let content = content.into();
        Effect::WriteFile(WriteFile { path: path.into(), content, attributes, backup: false, validate: None })
    }

    fn fact_before(kind: FileKind) -> Fact {
        let (owner, group) = ("root".to_owned(), "root".to_owned());
        let (sha256, content) = (Some("of old".into()), Some(b"old".to_vec()));
        Fact::File(Some(File {
            kind,
            mode: 0o600,
            uid: 0,
            gid: 0,
            owner,
            group,
            owner_aliases: vec![],
            group_aliases: vec![],
            size: 3,
            sha256,
            content,
        }))
    }

    fn predicted(effect: &Effect, read: Read) -> Option<File> {
        let probe = Probe::File { path: "/etc/motd".into(), read };
        match effect.predict_answer(&probe, &fact_before(FileKind::Regular)) {
            Some(Fact::File(file)) => file,
            _ => None,
        }
    }

    #[test]
    fn a_file_that_keeps_its_owner_is_known_as_far_as_it_was_asked_for() {
        // Computed by `sha256sum`.
        let hash = "7aa7a5359173d05b63cfd682e3c38487f3cb4f7f1d60659fe59fab1505977d4c";
        for owner in ["0", "root"] {
            let effect = write("/etc/motd", "new\n", Some(owner), 0o644);
            let file = predicted(&effect, Read::Content).unwrap();
            assert_eq!((file.mode, file.size, file.uid, file.owner.as_str()), (0o644, 4, 0, "root"));
            assert_eq!(file.content.as_deref(), Some(&b"new\n"[..]));
            assert_eq!(predicted(&effect, Read::Stat).unwrap().sha256, None);
            let hashed = predicted(&effect, Read::Hash).unwrap();
            assert_eq!((hashed.content, hashed.sha256), (None, file.sha256.clone()));
            assert_eq!(predicted(&effect, Read::unless("new\n")).unwrap().content, None, "only its hash is told");
            assert_eq!(predicted(&effect, Read::unless("other")).unwrap().content, file.content);
            assert_eq!(file.sha256.as_deref(), Some(hash));
        }
    }

    #[test]
    fn what_only_the_host_knows_is_not_guessed() {
        for (effect, what) in [
            (write("/etc/motd", "new", None, 0o644), "whose a new file is"),
            (write("/etc/motd", "new", Some("daemon"), 0o644), "the number of a name"),
            (write("/etc/motd", "new", Some("0"), 0o4755), "setuid may be dropped"),
            (write("/etc/../etc/motd", "new", Some("0"), 0o644), "another name"),
            (write("/etc/hosts", "new", Some("0"), 0o644), "another file"),
            (Effect::Remove { path: "/etc/motd".into() }, "another effect"),
        ] {
            assert_eq!(predicted(&effect, Read::Content), None, "{what}");
        }
        let effect = write("/etc/motd", "new", Some("0"), 0o644);
        let probe = Probe::File { path: "/etc/motd".into(), read: Read::Content };
        assert_eq!(effect.predict_answer(&probe, &Fact::File(None)), None);
        assert_eq!(effect.predict_answer(&probe, &fact_before(FileKind::Link("/run/motd".into()))), None);
    }
}
