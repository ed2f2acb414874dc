//! Nothing secret is in the arguments or environment of any process, on either side.

use super::*;

/// The processes whose arguments or environment contain `text`.
pub fn seen(text: &str) -> Vec<String> {
    let mut places = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            let content = std::fs::read(entry.path().join(file)).unwrap_or_default();
            if content.windows(text.len()).any(|window| window == text.as_bytes()) {
                places.push(entry.path().join(file).display().to_string());
            }
        }
    }
    places
}

#[tokio::test]
async fn a_secret_on_standard_input_is_seen_by_nobody() {
    for size in [1, 2_000] {
        let poison = format!("poison-{}-{size}", super::super::frame::nonce());
        let secret = crate::secret::Secret::new(poison.repeat(size));
        let folder = tempfile::tempdir().unwrap();
        let go = folder.path().join("go");
        let script =
            format!("s=$(cat); echo ready; while ! [ -e {} ]; do sleep 0.05; done; echo ${{#s}}", go.display());
        let effect = Effect::Run(Run { stdin: Bytes::from(&secret), ..Run::shell(script) });
        let (call, mut lines) = listening(Duration::from_secs(20));
        let (backend, target) = (Backend::new(&Inventory::default()), Target::default());
        let looking = async {
            assert_eq!(lines.recv().await.as_deref(), Some("ready"));
            let places = seen(&poison);
            std::fs::write(&go, "").unwrap();
            places
        };
        let (done, places) = tokio::join!(backend.perform(&target, &effect, &call), looking);
        assert_eq!(places, Vec::<String>::new());
        assert_eq!(done.unwrap().stdout.text(), format!("ready\n{}", poison.len() * size));
        assert!(!format!("{effect:?}").contains(&poison));
    }
}

#[test]
fn the_search_finds_what_is_in_an_argument() {
    let poison = format!("poison-{}", super::super::frame::nonce());
    let mut child = std::process::Command::new("sleep").arg("1000").env("POISON", &poison).spawn().unwrap();
    let places = seen(&poison);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(places.len(), 1);
}
