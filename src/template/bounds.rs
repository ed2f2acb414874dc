//! Bounds on templates, so that a wrong one is an error and not the end of the program: the engine's parser descends once
//! for each operator, a loop has no end of its own, and variables that double each other need little text.

// The engine's own tokens, by its feature `unstable_machinery`: its stable interface parses at once, and counting with
// rules of our own would be fooled by strings, comments and raw blocks. A version that takes them away fails to build.
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

use crate::defect::caught;

/// Names, values and signs in one tag. The smallest stack of a thread is good for twice as many.
const MAX_TOKENS: usize = 500;
/// `elif`s in one template, which lie in each other.
const MAX_BRANCHES: usize = 200;
/// The engine's steps in one rendering: enough for a loop over ten thousand hosts. It counts 64 bytes of text as one, so
/// that memory is bounded too. The checks render for each host.
pub const FUEL: u64 = 250_000;
/// Variables that stand on each other.
pub const MAX_CHAIN: usize = 100;

/// Refuses a template, or an expression, that is too large to be parsed.
pub fn check(source: &str, expression: bool, syntax: &SyntaxConfig) -> Result<(), Error> {
    // The engine's lexer does not count beyond the 65,535th column, and a build with checks fails there.
    caught(|| count(source, expression, syntax))
        .unwrap_or_else(|_| refuse("it stands on a line that is too long".to_owned()))
}

fn count(source: &str, expression: bool, syntax: &SyntaxConfig) -> Result<(), Error> {
    let (mut tokens, mut branches) = (0, 0);
    // What is no token is the parser's to say.
    for (token, _) in tokenize(source, expression, syntax.clone()).map_while(Result::ok) {
        match token {
            Token::TemplateData(_) | Token::VariableEnd | Token::BlockEnd => tokens = 0,
            Token::VariableStart | Token::BlockStart => {}
            Token::Ident("elif") => branches += 1,
            _ => tokens += 1,
        }
        if tokens > MAX_TOKENS {
            return refuse(format!("more than {MAX_TOKENS} names, values and signs in one tag"));
        }
        if branches > MAX_BRANCHES {
            return refuse(format!("more than {MAX_BRANCHES} times `elif`"));
        }
    }
    Ok(())
}

fn refuse(why: String) -> Result<(), Error> {
    Err(Error::new(ErrorKind::SyntaxError, why))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use crate::template::{Context, Templates, Variables};

    fn error(source: &str) -> String {
        let templates = Templates::new("/nowhere");
        templates.render("", source, &Context::new(&Map::new())).unwrap_err().to_string()
    }

    #[test]
    fn what_would_overflow_the_stack_is_refused() {
        for (before, after) in [
            ("", "+1"),
            ("", "~1"),
            ("", "**1"),
            ("", ".a"),
            ("", "()"),
            ("", "|upper"),
            ("not ", ""),
            ("-", ""),
            ("1 if 1 else ", ""),
        ] {
            let source = format!("{{{{ {}1{} }}}}", before.repeat(20_000), after.repeat(20_000));
            assert_eq!(error(&source), "template does not parse: more than 500 names, values and signs in one tag");
        }
        let source = format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(20_000));
        assert_eq!(error(&source), "template does not parse: more than 200 times `elif`");
    }

    #[test]
    fn what_is_just_small_enough_is_rendered() {
        let render = |source: &str| Templates::new("/nowhere").render("", source, &Context::new(&Map::new()));
        assert_eq!(render(&format!("{{{{ 1{} }}}}", "+1".repeat(249))).unwrap(), "250");
        assert_eq!(render(&format!("{{{{ {}1 }}}}", "not ".repeat(499))).unwrap(), "False");
        assert_eq!(
            render(&format!("{{% if 0 %}}{}{{% else %}}x{{% endif %}}", "{% elif 0 %}".repeat(200))).unwrap(),
            "x"
        );
    }

    #[test]
    fn what_makes_much_from_little_is_ended() {
        let twice = |name: &str| {
            format!(
                "{{% set {name} = namespace(a=[1]) %}}{{% for i in range(40) %}}{{% set {name}.a = [{name}.a, {name}.a] %}}{{% endfor %}}"
            )
        };
        for end in [
            "{{ ns.a }}",
            "{{ ns.a | string | length }}",
            "{{ ns.a | tojson | length }}",
            "{{ ns.a | to_json | length }}",
            "{{ ns.a | to_yaml | length }}",
            "{{ ns.a | pprint | length }}",
            "{{ ns.a | join | length }}",
            "{{ ns.a | e | length }}",
            "{{ ns.a | upper | length }}",
            "{{ '%s' | format(ns.a) | length }}",
            "{{ ns.a | safe | length }}",
            "{{ ns.a | title | length }}",
            "{{ ns.a | trim | length }}",
            "{{ ns.a | indent(2) | length }}",
            "{{ ns.a | replace('1', '2') | length }}",
            "{{ 'a' | replace('a', ns.a) | length }}",
            "{{ 'a' | trim(ns.a) | length }}",
            "{{ ns.a is startingwith 'a' }}",
            "{{ 'a' is endingwith ns.a }}",
            "{{ [1, ns.a] | map('string') | list | length }}",
            "{{ [1] | tojson(indent=100000000000) | length }}",
            "{{ [[[1]]] | tojson(9223372036854775807) | length }}",
            "{{ ([1] * 100000000) | tojson | length }}",
            "{{ ([1] * 100000000) | string | length }}",
            "{{ 'a' | indent(9999999999) }}",
            "{{ 'aaaaaaaaaa' | replace('a', 'a' * 9000000) }}",
            "{{ '%9999999999d' | format(1) }}",
            "{{ range(100000) | join('a' * 1000000) }}",
            "{{ 'a' * 10000000000 }}",
        ] {
            let said = error(&(twice("ns") + end));
            assert!(said.contains("takes more than 250000 steps") || said.contains("is out of range"), "{end}: {said}");
        }
        for end in
            ["{{ range(9223372036854775807, -9223372036854775808, -1) }}", "{{ range(1, -1, -9223372036854775808) }}"]
        {
            assert!(error(end).contains("range: a number is too large"));
        }
        let deep =
            "{% set ns = namespace(a=1) %}{% for i in range(500) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}";
        assert!(error(deep).contains("values lie more than 128 deep in each other"));
        let templates = Templates::new("/nowhere");
        let value = templates.evaluate("[[1] * 100000] * 100000", &Context::default()).unwrap_err();
        assert!(value.to_string().contains("takes more than 250000 steps"));
    }

    #[test]
    fn an_open_tag_at_the_end_of_a_long_line_is_an_error() {
        let said = error(&"{% raw %}".repeat(10_000));
        assert!(said.starts_with("template does not parse: "), "{said}");
    }

    #[test]
    fn a_loop_that_takes_too_long_is_ended() {
        let source = "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}";
        assert_eq!(error(source), "template takes more than 250000 steps or 16 MB to render");
    }

    #[test]
    fn variables_that_multiply_each_other_end_in_an_error() {
        let mut vars = Map::from_iter([("x0".to_owned(), json!("aaaaaaaaaa"))]);
        for n in 0..10 {
            vars.insert(format!("x{}", n + 1), json!(format!("{{{{ {} }}}}", vec![format!("x{n}"); 10].join("~"))));
        }
        let errors = Variables::new(&Templates::new("/nowhere"), &[&vars], &Context::new(&Map::new())).shared.errors;
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].to_string(), "variable `x6`: template takes more than 250000 steps or 16 MB to render");
    }

    #[test]
    fn a_row_of_variables_has_an_end() {
        let mut vars = Map::new();
        for n in (0..5000).rev() {
            vars.insert(format!("x{n}"), json!(format!("{{{{ x{} }}}}", n.max(1) - 1)));
        }
        vars.insert("x0".to_owned(), json!("a"));
        let errors = Variables::new(&Templates::new("/nowhere"), &[&vars], &Context::new(&Map::new())).shared.errors;
        assert_eq!(errors[0].to_string(), "variable `x4899`: it stands below 100 others in a row");
    }
}
