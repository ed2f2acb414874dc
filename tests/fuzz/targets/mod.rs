//! What is fuzzed: each target takes any bytes, and neither panics nor takes long.

pub mod inventory;
pub mod journal;
pub mod plan;
pub mod remote;
pub mod yaml;

use rollout::finding::{Findings, Style};

/// Shows findings as people and programs see them.
fn show(findings: &Findings) {
    let text = findings.text(Style { color: false, unicode: true, width: 80 });
    assert_eq!(text.is_empty(), findings.is_empty(), "what is found is shown");
    assert_eq!(findings.json().as_array().map(Vec::len), Some(findings.len()));
}
