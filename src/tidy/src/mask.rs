//! Rust text with its comments and literals blanked, so that words in them are not taken for code.

/// The text with every character of comments, strings and character literals replaced by a blank.
/// Line breaks stay, so that line numbers are those of the original.
#[must_use]
pub fn code(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            for &c in &chars[at..end] {
                out.push(if c == '\n' { '\n' } else { ' ' });
            }
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself if none begins there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied().unwrap_or(' ');
    match chars[at] {
        '/' if next == '/' => line_end(chars, at),
        '/' if next == '*' => block_comment_end(chars, at),
        '"' => string_end(chars, at),
        'r' if !follows_word(chars, at) => raw_string_end(chars, at, at + 1),
        'b' if !follows_word(chars, at) && next == 'r' => raw_string_end(chars, at, at + 2),
        '\'' => char_end(chars, at),
        _ => at,
    }
}

fn follows_word(chars: &[char], at: usize) -> bool {
    at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') && chars[at - 1] != 'b'
}

fn line_end(chars: &[char], at: usize) -> usize {
    (at..chars.len())
        .find(|&i| chars[i] == '\n')
        .unwrap_or(chars.len())
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut i = at;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

fn string_end(chars: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// `hashes` is where the first `#` or the quote would stand.
fn raw_string_end(chars: &[char], at: usize, hashes: usize) -> usize {
    let count = chars[hashes.min(chars.len())..]
        .iter()
        .take_while(|&&c| c == '#')
        .count();
    if chars.get(hashes + count) != Some(&'"') {
        return at;
    }
    let mut i = hashes + count + 1;
    while i < chars.len() {
        let closed = chars[i] == '"'
            && chars[i + 1..]
                .iter()
                .take_while(|&&c| c == '#')
                .take(count)
                .count()
                == count;
        if closed {
            return i + 1 + count;
        }
        i += 1;
    }
    chars.len()
}

/// Tells `'a'` and `'\n'` from the lifetime `'a`.
fn char_end(chars: &[char], at: usize) -> usize {
    match chars.get(at + 1) {
        Some('\\') => (at + 3..chars.len().min(at + 14))
            .find(|&i| chars[i] == '\'')
            .map_or(at, |i| i + 1),
        Some(_) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn blanks_what_is_not_code_and_keeps_the_lines() {
        for (text, want) in [
            ("a // unsafe\nb", "a          \nb"),
            ("a /* x /* y */ z */ b", "a                   b"),
            ("f(\"un\\\"safe\") + 1", "f(          ) + 1"),
            ("r#\"a\"b\"# c", "         c"),
            ("br\"x\" c", "      c"),
            ("b\"x\" c", "b    c"),
            ("'a' 'b: &'static str", "    'b: &'static str"),
            ("'\\'' '\\n' x", "          x"),
            ("'\\u{1F600}' x", "            x"),
            ("for x in r.iter()", "for x in r.iter()"),
            ("\"a\nb\" c", "  \n   c"),
        ] {
            assert_eq!(code(text), want, "{text}");
        }
    }
}
