//! One Rust file: what of it is production code, which paths it names, how long its functions are.

use crate::mask;

/// A Rust file as the rules see it.
#[derive(Debug)]
pub struct Source {
    /// Path from the root of the repository.
    pub file: String,
    /// The text as written.
    pub text: String,
    /// The text with comments and literals blanked.
    pub code: String,
    /// For each line from 0: whether it is production code, not test.
    production: Vec<bool>,
}

/// A path such as `std::time::Instant`, with groups of a `use` multiplied out.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedPath {
    /// Line, from 1.
    pub line: usize,
    /// The path with `::` between its segments; a glob is the segment `*`.
    pub path: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Line of its `fn`, from 1.
    pub line: usize,
    /// Its name.
    pub name: String,
    /// Lines from its `fn` to its closing brace.
    pub lines: usize,
}

/// A word, a path separator, or a single sign of the masked code.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    line: usize,
    text: String,
}

impl Source {
    /// Takes a file apart.
    #[must_use]
    pub fn new(file: String, text: String) -> Source {
        let code = mask::code(&text);
        let whole = is_test_file(&file);
        let mut production = vec![!whole; code.lines().count()];
        for (from, to) in test_regions(&code) {
            let to = to.min(production.len());
            production[from.min(to)..to].fill(false);
        }
        Source {
            file,
            text,
            code,
            production,
        }
    }

    /// Whether a line (from 1) is production code.
    #[must_use]
    pub fn is_production(&self, line: usize) -> bool {
        self.production.get(line - 1).copied().unwrap_or(false)
    }

    /// How many lines are production code, blank lines and comments included.
    #[must_use]
    pub fn production_lines(&self) -> usize {
        self.production.iter().filter(|&&p| p).count()
    }

    /// All paths of at least two segments, tests included.
    #[must_use]
    pub fn paths(&self) -> Vec<NamedPath> {
        let tokens = tokens(&self.code);
        let mut found = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            let starts = is_word(&tokens[at])
                && (at == 0 || tokens[at - 1].text != "::" && tokens[at - 1].text != ".");
            if starts && tokens.get(at + 1).is_some_and(|t| t.text == "::") {
                at = path(&tokens, at, &mut Vec::new(), &mut found);
            } else {
                at += 1;
            }
        }
        found
    }

    /// The lines (from 1) on which a word stands in the code, tests included.
    #[must_use]
    pub fn word_lines(&self, word: &str) -> Vec<usize> {
        let found = tokens(&self.code).into_iter().filter(|t| t.text == word);
        found.map(|t| t.line).collect()
    }

    /// All functions with a body, tests included.
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        let tokens = tokens(&self.code);
        let mut found = Vec::new();
        for at in 0..tokens.len() {
            let Some(name) = tokens.get(at + 1).filter(|_| tokens[at].text == "fn") else {
                continue;
            };
            let Some(end) = is_word(name).then(|| body_end(&tokens, at + 2)).flatten() else {
                continue;
            };
            found.push(Function {
                line: tokens[at].line,
                name: name.text.clone(),
                lines: end + 1 - tokens[at].line,
            });
        }
        found
    }
}

/// Files that hold nothing but tests and benches.
fn is_test_file(file: &str) -> bool {
    let name = file.rsplit('/').next().unwrap_or(file);
    matches!(name, "tests.rs" | "build.rs")
        || name.ends_with("_tests.rs")
        || [
            "/tests/",
            "/benches/",
            "/fuzz/",
            "/fuzz_targets/",
            "/examples/",
        ]
        .iter()
        .any(|folder| file.contains(folder))
        || file.starts_with("benches/")
        || file.starts_with("fuzz/")
}

/// The line ranges (from 0, end exclusive) of items under `#[cfg(test)]`.
fn test_regions(code: &str) -> Vec<(usize, usize)> {
    let tokens = tokens(code);
    let mark = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut found = Vec::new();
    for at in 0..tokens.len() {
        let marked = tokens[at..].len() > mark.len()
            && mark.iter().zip(&tokens[at..]).all(|(m, t)| *m == t.text);
        if marked {
            let end = item_end(&tokens, at + mark.len());
            found.push((tokens[at].line - 1, end));
        }
    }
    found
}

/// The last line of the item that begins at a token: its `;` or its closing brace.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut depth = 0_i32;
    for token in &tokens[from..] {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 && token.text == "}" {
                    return token.line;
                }
            }
            ";" if depth == 0 => return token.line,
            _ => {}
        }
    }
    usize::MAX
}

/// The line of the closing brace of the function whose parameters follow; `None` without a body.
fn body_end(tokens: &[Token], from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    let mut inside = false;
    for token in &tokens[from..] {
        match token.text.as_str() {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            ";" if depth == 0 && !inside => return None,
            "{" => {
                inside = inside || depth == 0;
                depth += 1;
            }
            "}" => {
                depth -= 1;
                if inside && depth == 0 {
                    return Some(token.line);
                }
            }
            _ => {}
        }
    }
    None
}

/// Reads one path from its first word on, multiplies groups out, and says where to go on.
fn path(
    tokens: &[Token],
    from: usize,
    segments: &mut Vec<String>,
    found: &mut Vec<NamedPath>,
) -> usize {
    let before = segments.len();
    let mut at = from;
    let line = tokens[from].line;
    loop {
        match tokens.get(at) {
            Some(t) if is_word(t) || t.text == "*" => segments.push(t.text.clone()),
            Some(t) if t.text == "{" => {
                at = group(tokens, at, segments, found);
                segments.truncate(before);
                return at;
            }
            _ => break,
        }
        at += 1;
        let goes_on = tokens.get(at).is_some_and(|t| t.text == "::")
            && tokens
                .get(at + 1)
                .is_some_and(|t| is_word(t) || t.text == "{" || t.text == "*");
        if !goes_on {
            break;
        }
        at += 1;
    }
    if segments.len() > 1 {
        found.push(NamedPath {
            line,
            path: segments.join("::"),
        });
    }
    segments.truncate(before);
    at.max(from + 1)
}

/// Reads `{a, b::c}` under a common beginning, and says where to go on.
fn group(
    tokens: &[Token],
    from: usize,
    segments: &mut Vec<String>,
    found: &mut Vec<NamedPath>,
) -> usize {
    let mut at = from + 1;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "}" => return at + 1,
            "as" => at += 2,
            "," => at += 1,
            _ => at = path(tokens, at, segments, found),
        }
    }
    at
}

fn is_word(token: &Token) -> bool {
    token
        .text
        .starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(code: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        } else if c.is_alphanumeric() || c == '_' {
            let mut text = String::from(c);
            while let Some(c) = chars.next_if(|c| c.is_alphanumeric() || *c == '_') {
                text.push(c);
            }
            found.push(Token { line, text });
        } else if c == ':' && chars.peek() == Some(&':') {
            chars.next();
            found.push(Token {
                line,
                text: "::".to_owned(),
            });
        } else if !c.is_whitespace() {
            found.push(Token {
                line,
                text: String::from(c),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::new("src/x/src/a.rs".to_owned(), text.to_owned())
    }

    #[test]
    fn multiplies_groups_out() {
        let text = "use std::{fmt, time::{Instant, Duration as D}};\nlet x = std::fs::read(\"std::no\");\n\
                    use super::*;\na.b::<u8>();";
        let found: Vec<_> = source(text)
            .paths()
            .into_iter()
            .map(|p| (p.line, p.path))
            .collect();
        let want = [
            (1, "std::fmt"),
            (1, "std::time::Instant"),
            (1, "std::time::Duration"),
            (2, "std::fs::read"),
            (3, "super::*"),
        ];
        assert_eq!(found, want.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn measures_functions_and_passes_declarations_by() {
        let text = "trait T { fn a(&self) -> [u8; 2]; }\nfn b<F: Fn(u8)>(f: F)\n{\n    if x {}\n}\n\
                    type P = fn(u8);";
        let want = [Function {
            line: 2,
            name: "b".to_owned(),
            lines: 4,
        }];
        assert_eq!(source(text).functions(), want);
    }

    #[test]
    fn tests_are_not_production() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod more;\n";
        let s = source(text);
        let lines: Vec<_> = (1..=8).filter(|&line| s.is_production(line)).collect();
        assert_eq!(lines, [1, 6]);
        let t = Source::new("src/x/tests/a.rs".to_owned(), "fn a() {}".to_owned());
        assert_eq!(t.production_lines(), 0);
    }
}
