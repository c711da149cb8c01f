//! The rules of ignored URLs, word for word, without regard to speed.

/// The entries of a list: split at commas and line ends, trimmed, empty ones left out.
pub fn entries(list: &[u8]) -> Vec<&[u8]> {
    let entries = list.split(|&byte| matches!(byte, b',' | b'\n')).map(<[u8]>::trim_ascii);
    entries.filter(|entry| !entry.is_empty()).collect()
}

/// Whether `pattern` matches the whole of `path`: for each of its prefixes in turn, the set of the path's prefixes
/// that it matches.
pub fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for &wanted in pattern {
        if wanted == b'*' {
            for at in 1..=path.len() {
                reached[at] |= reached[at - 1];
            }
        } else {
            for at in (1..=path.len()).rev() {
                reached[at] = reached[at - 1] && path[at - 1] == wanted;
            }
            reached[0] = false;
        }
    }
    reached[path.len()]
}

/// Whether an entry exempts a path in plain form: by a `*`, only if also without the parameters of the path.
pub fn is_listed(entry: &[u8], path: &[u8]) -> bool {
    let segments = path.split(|&byte| byte == b'/');
    let names: Vec<&[u8]> = segments
        .map(|segment| segment.split(|&byte| byte == b';').next().unwrap_or_default())
        .collect();
    matches(entry, path) && (!entry.contains(&b'*') || matches(entry, &names.join(&b'/')))
}

/// Whether a path is in plain form.
pub fn is_plain(path: &[u8]) -> bool {
    let Some(decoded) = decoded(path) else { return false };
    let Some(segments) = decoded.strip_prefix('/') else {
        return false;
    };
    let is_allowed = |c: char| (' '..='~').contains(&c) && !"\\?#".contains(c) || is_of_a_word(c) || is_mark(c);
    let count = segments.split('/').count();
    decoded.chars().all(is_allowed)
        && segments.split('/').enumerate().all(|(n, segment)| {
            segment.is_empty() && n + 1 == count || !segment.is_empty() && is_plain_segment(segment)
        })
}

fn is_plain_segment(segment: &str) -> bool {
    let name = segment.trim_start_matches(['.', '+']);
    let first = name.chars().next();
    let begins_well = if name.len() < segment.len() {
        first.is_some_and(|c| c.is_ascii_alphanumeric() || "_-~".contains(c) || is_of_a_word(c))
    } else {
        first.is_some_and(|c| !matches!(c, ' ' | ';') && !is_mark(c))
    };
    let ends_in_dots = |part: &str| part.trim_end_matches('+').ends_with(['.', ' ']);
    let mut marks = segment.char_indices().filter(|&(_, c)| is_mark(c));
    begins_well && !segment.split(';').any(ends_in_dots) && !marks.any(|(at, _)| ends_in_dots(&segment[..at]))
}

/// The decoded text of a path; `None` if that is not UTF-8, or if an escape is malformed or stands for a delimiter.
fn decoded(path: &[u8]) -> Option<String> {
    let mut parts = path.split(|&byte| byte == b'%');
    let mut bytes = parts.next()?.to_vec();
    for part in parts {
        let hex = std::str::from_utf8(part.get(..2)?).ok()?;
        // from_str_radix takes a sign, too.
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let byte = u8::from_str_radix(hex, 16).ok()?;
        if b"/.\\%;?#".contains(&byte) || byte.is_ascii_control() {
            return None;
        }
        bytes.push(byte);
        bytes.extend(&part[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// A letter or digit that is not ASCII.
fn is_of_a_word(c: char) -> bool {
    let is_taken_apart = matches!(c, '\u{bc}'..='\u{be}' | '\u{2150}'..='\u{218f}' | '\u{2460}'..='\u{24ff}'
        | '\u{1f100}'..='\u{1f1ff}');
    let is_invisible = "\u{115f}\u{1160}\u{17b4}\u{17b5}\u{3164}\u{ffa0}".contains(c);
    !c.is_ascii() && c.is_alphanumeric() && !('\u{300}'..='\u{36f}').contains(&c) && !is_taken_apart && !is_invisible
}

fn is_mark(c: char) -> bool {
    let may_be = matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{487}' | '\u{591}'..='\u{5bd}' | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}' | '\u{6d6}'..='\u{6dc}' | '\u{900}'..='\u{dff}' | '\u{e31}'..='\u{109f}'
        | '\u{17b6}'..='\u{17d3}' | '\u{3099}'..='\u{309a}');
    may_be && c != '\u{34f}' && !is_of_a_word(c)
}
