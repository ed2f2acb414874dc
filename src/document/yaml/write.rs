//! Writes values as YAML that every YAML parser reads as the same values.

use serde_json::Value;

/// Formats the value as YAML, with a line break at the end.
pub fn to_string(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_else(|_| format!("{value:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::super::{Repeated, from_str};
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_that_look_like_other_things_are_read_back_as_texts() {
        let scalars = include_str!("scalars.tsv").lines().filter_map(|line| line.split('\t').next());
        let more =
            ["a: b", "# a", "- a", "line\nline\n", " a ", "a\n\n", "\n", "\t", "%a", "@a", "`a", "{{ x }}", "|", ">-"];
        for text in scalars.chain(more) {
            let value = json!({"k": text, text: [text, {"n": text}]});
            let back = from_str(&to_string(&value), Repeated::Refuse);
            assert_eq!(back.as_ref(), Ok(&value), "{}", to_string(&value));
        }
    }
}
