//! YAML that others wrote, as manifests and values of charts.

use rollout::document::yaml::{Repeated, documents, to_string};

/// Takes the text of documents; what is written of them is read back as the same.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let found = match documents(text, Repeated::LastWins) {
        Ok(found) => found,
        Err(error) => return assert!(error.line > 0 && error.column > 0),
    };
    let _ = documents(text, Repeated::Refuse);
    for document in found {
        let written = to_string(&document.value);
        let read = documents(&written, Repeated::Refuse).map(|d| d.into_iter().map(|d| d.value).collect::<Vec<_>>());
        assert_eq!(read.as_deref(), Ok(std::slice::from_ref(&document.value)), "{written}");
    }
}
