//! Parses the output of `helm template`. No I/O.

use serde_json::Value;

use crate::connect::kube::manifest;

/// The objects of a rendered chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendered {
    /// Objects of the templates, without hooks.
    pub objects: Vec<Value>,
    /// Objects of the `crds/` folders: helm creates them on the first installation only.
    pub crds: Vec<Value>,
}

impl Rendered {
    /// Parses helm's YAML: each document follows a comment that names its file.
    ///
    /// # Errors
    /// What is wrong with the YAML.
    pub fn read(yaml: &str) -> Result<Self, String> {
        let mut rendered = Self::default();
        let mut of_crds = false;
        for document in documents(yaml) {
            if let Some(source) = document.lines().find_map(|l| l.strip_prefix("# Source: ")) {
                of_crds = source.contains("/crds/") && !source.contains("/templates/");
            }
            let found = manifest::documents(&document).map_err(|e| e.to_string())?;
            if of_crds { &mut rendered.crds } else { &mut rendered.objects }.extend(found);
        }
        Ok(rendered)
    }
}

fn documents(yaml: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in yaml.lines() {
        if line.trim_end() == "---" {
            documents.push(String::new());
        } else if let Some(last) = documents.last_mut() {
            last.push_str(line);
            last.push('\n');
        }
    }
    documents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_printed_twice_is_taken_as_helm_takes_it() {
        let yaml = "---\n# Source: app/templates/a.yaml\nkind: A\nlabels:\n  app: x\n  tier: web\n  app: z\n";
        let rendered = Rendered::read(yaml).unwrap();
        assert_eq!(rendered.objects[0]["labels"], serde_json::json!({"app": "z", "tier": "web"}));
    }

    #[test]
    fn crds_are_told_from_templates() {
        let yaml = "---\n# Source: app/crds/a.yaml\nkind: CustomResourceDefinition\n---\nkind: CustomResourceDefinition\n\
                    ---\n# Source: app/templates/crds/b.yaml\nkind: ConfigMap\n---\n# Source: app/templates/c.yaml\n\n";
        let rendered = Rendered::read(yaml).unwrap();
        assert_eq!((rendered.crds.len(), rendered.objects.len()), (2, 1));
    }
}
