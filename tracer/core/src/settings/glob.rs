//! GOPRIVATE patterns.

/// Whether a module path matches one of the comma-separated globs of GOPRIVATE, GONOPROXY or GONOSUMDB: a glob of N
/// elements is matched against the first N elements of the path (golang.org/x/mod/module, MatchPrefixPatterns).
pub fn matches_prefix_patterns(globs: &str, module_path: &str) -> bool {
    globs.split(',').any(|glob| {
        let glob = glob.strip_suffix('/').unwrap_or(glob);
        !glob.is_empty()
            && first_elements(module_path, glob.matches('/').count() + 1)
                .is_some_and(|prefix| matches(glob, prefix))
    })
}

/// The first `count` slash-separated elements; none where there are fewer.
fn first_elements(path: &str, count: usize) -> Option<&str> {
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    match slashes.nth(count.checked_sub(1)?) {
        Some(end) => path.get(..end),
        None => (path.matches('/').count() + 1 == count).then_some(path),
    }
}

/// One element of a glob.
enum Token {
    /// `*`: any run of characters without a slash.
    Star,
    /// `?`: one character that is no slash.
    Any,
    /// `[a-z]`, `[^a-z]`.
    Class { negated: bool, ranges: Vec<(char, char)> },
    /// The character itself.
    Literal(char),
}

impl Token {
    fn accepts(&self, c: char) -> bool {
        match self {
            Token::Star => false,
            Token::Any => c != '/',
            Token::Class { negated, ranges } => {
                ranges.iter().any(|(lo, hi)| (*lo..=*hi).contains(&c)) != *negated
            }
            Token::Literal(literal) => *literal == c,
        }
    }
}

/// path.Match of Go; a malformed glob matches nothing.
///
/// The last star alone is ever widened, so the work is at most the product of both lengths.
fn matches(glob: &str, text: &str) -> bool {
    let Some(tokens) = parse(glob) else { return false };
    let text: Vec<char> = text.chars().collect();
    let (mut token, mut at) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(token), text.get(at)) {
            (None, None) => return true,
            (Some(Token::Star), _) => {
                token += 1;
                star = Some((token, at));
                continue;
            }
            (Some(wanted), Some(c)) if wanted.accepts(*c) => {
                token += 1;
                at += 1;
                continue;
            }
            _ => {}
        }
        match star {
            Some((after, from)) if text.get(from).is_some_and(|c| *c != '/') => {
                star = Some((after, from + 1));
                token = after;
                at = from + 1;
            }
            _ => return false,
        }
    }
}

fn parse(glob: &str) -> Option<Vec<Token>> {
    let mut chars = glob.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' => Token::Literal(chars.next()?),
            '[' => class(&mut chars)?,
            literal => Token::Literal(literal),
        });
    }
    Some(tokens)
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Some(Token::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
}

/// One bound of a range (path.getEsc): a bare `-` or `]` is malformed.
fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_is_matched_against_as_many_elements_as_it_has() {
        for (globs, path, expected) in [
            ("example.com", "example.com/a/b", true),
            ("example.com/", "example.com/a", true),
            ("example.com/a", "example.com", false),
            ("example.com/a", "example.com/ab", false),
            ("*.example.com", "git.example.com/a", true),
            ("*.example.com", "example.com/a", false),
            ("*", "anything", true),
            ("*", "a/b", true),
            ("*/*", "a", false),
            ("x,,example.com/*/c", "example.com/b/c/d", true),
            ("example.com/[a-c]?", "example.com/bz", true),
            ("example.com/[^a-c]", "example.com/b", false),
            (r"example.com/\*", "example.com/*", true),
            (r"example.com/\*", "example.com/x", false),
            ("a*b*c/d", "aXbYc/d", true),
            ("a*b/d", "aX/b/d", false),
            ("", "example.com", false),
        ] {
            assert_eq!(matches_prefix_patterns(globs, path), expected, "{globs} on {path}");
        }
    }

    #[test]
    fn a_malformed_glob_matches_nothing() {
        for glob in ["[", "[]", "[]a]", "[a-]", "[-a]", "a\\", "[a"] {
            assert!(!matches_prefix_patterns(glob, "a"), "{glob}");
        }
    }

    #[test]
    fn a_glob_of_many_stars_does_not_explode() {
        let glob = "*a".repeat(2_000) + "b";
        assert!(!matches_prefix_patterns(&glob, &"a".repeat(4_000)));
    }
}
