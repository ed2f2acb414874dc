//! Limits on templates, so that a bad template is an error and does not crash the program. The engine's parser recurses
//! once for each operator, loops may be endless, and variables that double each other create huge texts from small
//! ones.

// Uses the engine's own tokenizer (feature `unstable_machinery`), because its stable API parses at once, and a
// tokenizer of our own would be confused by strings, comments and raw blocks. A version of the engine without this API
// does not compile.
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

use crate::defect::catch_panic;

/// Maximum number of tokens in one tag. The smallest thread stack allows twice as many.
const MAX_TOKENS: usize = 500;
/// Maximum number of `elif`s in one template: the engine parses them as nested.
const MAX_BRANCHES: usize = 200;
/// Maximum number of steps in one rendering: enough for a loop over ten thousand hosts. The engine counts 64 bytes of
/// text as one step, so this limits memory too.
pub const FUEL: u64 = 250_000;
/// Maximum length of a chain of variables that refer to each other.
pub const MAX_CHAIN: usize = 100;

/// Refuses a template or an expression that is too large for the parser.
pub fn check(source: &str, expression: bool, syntax: &SyntaxConfig) -> Result<(), Error> {
    // The engine's lexer overflows beyond column 65,535, and panics there in builds with overflow checks.
    catch_panic(|| count(source, expression, syntax))
        .unwrap_or_else(|_| refuse("it stands on a line that is too long".to_owned()))
}

fn count(source: &str, expression: bool, syntax: &SyntaxConfig) -> Result<(), Error> {
    let (mut tokens, mut branches) = (0, 0);
    // Invalid tokens are left to the parser, which reports them.
    for (token, _) in tokenize(source, expression, syntax.clone()).map_while(Result::ok) {
        match token {
            Token::TemplateData(_) | Token::VariableEnd | Token::BlockEnd => tokens = 0,
            Token::VariableStart | Token::BlockStart => {}
            Token::Ident("elif") => branches += 1,
            _ => tokens += 1,
        }
        if tokens > MAX_TOKENS {
            return refuse(format!("more than {MAX_TOKENS} tokens in one tag"));
        }
        if branches > MAX_BRANCHES {
            return refuse(format!("more than {MAX_BRANCHES} times `elif`"));
        }
    }
    Ok(())
}

fn refuse(message: String) -> Result<(), Error> {
    Err(Error::new(ErrorKind::SyntaxError, message))
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
    fn templates_that_would_overflow_the_stack_are_refused() {
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
            assert_eq!(error(&source), "template does not parse: more than 500 tokens in one tag");
        }
        let source = format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(20_000));
        assert_eq!(error(&source), "template does not parse: more than 200 times `elif`");
    }

    #[test]
    fn templates_just_below_the_limits_are_rendered() {
        let render = |source: &str| Templates::new("/nowhere").render("", source, &Context::new(&Map::new()));
        assert_eq!(render(&format!("{{{{ 1{} }}}}", "+1".repeat(249))).unwrap(), "250");
        assert_eq!(render(&format!("{{{{ {}1 }}}}", "not ".repeat(499))).unwrap(), "False");
        assert_eq!(
            render(&format!("{{% if 0 %}}{}{{% else %}}x{{% endif %}}", "{% elif 0 %}".repeat(200))).unwrap(),
            "x"
        );
    }

    #[test]
    fn small_templates_with_huge_results_are_stopped() {
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
            let message = error(&(twice("ns") + end));
            assert!(
                message.contains("takes more than 250000 steps") || message.contains("is out of range"),
                "{end}: {message}"
            );
        }
        for end in
            ["{{ range(9223372036854775807, -9223372036854775808, -1) }}", "{{ range(1, -1, -9223372036854775808) }}"]
        {
            assert!(error(end).contains("range: a number is too large"));
        }
        let deep =
            "{% set ns = namespace(a=1) %}{% for i in range(500) %}{% set ns.a = [ns.a] %}{% endfor %}{{ ns.a }}";
        assert!(error(deep).contains("values are nested more than 128 levels deep"));
        let templates = Templates::new("/nowhere");
        let value = templates.evaluate("[[1] * 100000] * 100000", &Context::default()).unwrap_err();
        assert!(value.to_string().contains("takes more than 250000 steps"));
    }

    #[test]
    fn an_open_tag_at_the_end_of_a_long_line_is_an_error() {
        let message = error(&"{% raw %}".repeat(10_000));
        assert!(message.starts_with("template does not parse: "), "{message}");
    }

    #[test]
    fn a_loop_that_takes_too_long_is_stopped() {
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
    fn chains_of_variables_are_limited() {
        let mut vars = Map::new();
        for n in (0..5000).rev() {
            vars.insert(format!("x{n}"), json!(format!("{{{{ x{} }}}}", n.max(1) - 1)));
        }
        vars.insert("x0".to_owned(), json!("a"));
        let errors = Variables::new(&Templates::new("/nowhere"), &[&vars], &Context::new(&Map::new())).shared.errors;
        assert_eq!(errors[0].to_string(), "variable `x4899`: it refers to a chain of 100 other variables");
    }
}
