//! Ignored URLs: which requests do not count as activity.
//!
//! An [`IgnoredUrls`] is parsed once from the parameter's text; [`IgnoredUrls::matches`] then compares the path of each
//! request with it. Everything works on bytes, since a database need not be UTF-8.
//!
//! The rule behind every decision here is to fail closed: a url whose path some proxy or framework could read as another
//! one matches nothing, so that its request counts and is checked.

use std::ascii;
use std::borrow::Cow;

use memchr::memmem::Finder;

/// The paths whose requests never count as activity, as a parsed list of patterns.
///
/// The default is the empty list, which matches nothing. The patterns are split at `*` once, when parsed, so that a
/// match allocates nothing and takes time linear in the url's length for each entry, whatever the pattern.
#[derive(Clone, Debug, Default)]
pub struct IgnoredUrls {
    patterns: Vec<Pattern>,
}

impl IgnoredUrls {
    /// Parses a list separated by commas or newlines (`\n` or `\r\n`).
    ///
    /// Entries are trimmed of ASCII white space and empty ones skipped, so an empty text is an empty list. An entry
    /// matches a path exactly, byte for byte; each `*` in it stands for any run of bytes, also an empty one and also
    /// across `/`. An entry with a `*` must match the path without its path parameters (`;x` to the end of a segment),
    /// too: many servers cut these off before they route, so that `*.ico` is not to match `/web;.ico`.
    ///
    /// # Errors
    ///
    /// [`UrlError`] for the first entry that begins with neither `/` nor `*`.
    pub fn parse(list: &[u8]) -> Result<Self, UrlError> {
        let patterns = list
            .split(|&byte| byte == b',' || byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|entry| !entry.is_empty())
            .map(Pattern::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { patterns })
    }

    /// Whether the path of `url` matches an entry of the list.
    ///
    /// A url that has no [`plain_path`] matches none, not even `*`.
    #[must_use]
    pub fn matches(&self, url: &[u8]) -> bool {
        // An empty list is common where the feature is off: it need not look at the url. Where no pattern matches, which is
        // most often, neither need anybody look whether the path is plain.
        !self.patterns.is_empty()
            && path_of(address_of(url)).is_some_and(|path| {
                let mut patterns = self.patterns.iter().filter(|pattern| pattern.matches(path));
                patterns.any(|pattern| pattern.is_exact() || pattern.matches(&without_parameters(path)))
            })
            && plain_path(url).is_some()
    }
}

/// One entry of the list.
#[derive(Clone, Debug)]
enum Pattern {
    /// No `*`: the whole path.
    Exact(Box<[u8]>),
    /// What stands before the first `*`, between each two, and after the last. Empty pieces in the middle (`**`) are
    /// left out, as they say nothing.
    Pieces {
        prefix: Box<[u8]>,
        middle: Box<[Finder<'static>]>,
        suffix: Box<[u8]>,
    },
}

impl Pattern {
    fn parse(entry: &[u8]) -> Result<Self, UrlError> {
        if !entry.starts_with(b"/") && !entry.starts_with(b"*") {
            return Err(UrlError { entry: excerpt(entry) });
        }
        let Some(first) = memchr::memchr(b'*', entry) else {
            return Ok(Self::Exact(entry.into()));
        };
        let last = memchr::memrchr(b'*', entry).unwrap_or(first);
        let middle = entry[first..last]
            .split(|&byte| byte == b'*')
            .filter(|piece| !piece.is_empty())
            .map(|piece| Finder::new(piece).into_owned())
            .collect();
        Ok(Self::Pieces {
            prefix: entry[..first].into(),
            middle,
            suffix: entry[last + 1..].into(),
        })
    }

    fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    /// Taking the leftmost place for each piece leaves the most room for those after it, so nothing is ever tried twice.
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Exact(whole) => **whole == *path,
            Self::Pieces { prefix, middle, suffix } => {
                let Some(mut rest) = path
                    .strip_prefix(&**prefix)
                    .and_then(|rest| rest.strip_suffix(&**suffix))
                else {
                    return false;
                };
                middle.iter().all(|piece| match piece.find(rest) {
                    Some(at) => {
                        rest = &rest[at + piece.needle().len()..];
                        true
                    }
                    None => false,
                })
            }
        }
    }
}

/// The path of `url` to compare with the list, or `None` where there is none in plain form.
///
/// Scheme, user, host, port, query and fragment are cut off. `http://host` alone has the path `/`. There is no path in
/// an empty url, in a relative one that does not begin with `/`, in a scheme-relative one (`//host/x`), nor in one whose
/// host is empty (`http:///x`, which browsers read as `http://x`).
///
/// Not in plain form, and hence `None`, is a url that has
/// - a backslash or a control byte (0x00 to 0x1f, 0x7f) anywhere before the query or fragment, or
/// - in its path: `//`; a segment `.` or `..`, also with path parameters (`..;x`); one of path parameters alone (`;x`); an
///   encoded slash, backslash, dot, percent, semicolon, question mark, number sign or control byte; an encoded 0xc0 or 0xc1,
///   which is no UTF-8 and which some decode to such a character; or a `%` without two hexadecimal digits after it.
#[must_use]
pub fn plain_path(url: &[u8]) -> Option<&[u8]> {
    let address = address_of(url);
    if address.iter().any(|&byte| byte == b'\\' || byte.is_ascii_control()) {
        return None;
    }
    let path = path_of(address)?;
    (has_plain_escapes(path) && has_plain_segments(path)).then_some(path)
}

/// Cuts query and fragment off.
fn address_of(url: &[u8]) -> &[u8] {
    &url[..memchr::memchr2(b'?', b'#', url).unwrap_or(url.len())]
}

/// Cuts scheme and authority off. What is left begins with `/`, or with the `//` of a scheme-relative url.
fn path_of(address: &[u8]) -> Option<&[u8]> {
    if address.starts_with(b"/") {
        return Some(address);
    }
    let scheme_end = address
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && !b"+.-".contains(byte))?;
    let rest = address[scheme_end..].strip_prefix(b"://")?;
    if !address[0].is_ascii_alphabetic() {
        return None;
    }
    let (authority, path) = match memchr::memchr(b'/', rest) {
        Some(slash) => rest.split_at(slash),
        None => (rest, b"/".as_slice()),
    };
    let host = memchr::memrchr(b'@', authority).map_or(authority, |at| &authority[at + 1..]);
    (!host.is_empty() && !host.starts_with(b":")).then_some(path)
}

/// Whether every `%` begins an escape, and none stands for a byte that could change how the path is read.
fn has_plain_escapes(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).all(|at| {
        let digit = |offset: usize| path.get(at + offset).and_then(|&byte| char::from(byte).to_digit(16));
        match (digit(1), digit(2)) {
            (Some(high), Some(low)) => {
                let byte = (high << 4 | low) as u8;
                !(byte.is_ascii_control() || b"/\\.%;?#\xc0\xc1".contains(&byte))
            }
            _ => false,
        }
    })
}

/// Whether no segment but the last is empty (so that there is no `//`), and none is `.` or `..`, its path parameters apart.
fn has_plain_segments(path: &[u8]) -> bool {
    let mut segments = path.split(|&byte| byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match &segment[..memchr::memchr(b';', segment).unwrap_or(segment.len())] {
            b"." | b".." => return false,
            b"" if !is_last || !segment.is_empty() => return false,
            _ => {}
        }
    }
    true
}

/// A path without the path parameters of its segments.
fn without_parameters(path: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b';', path).is_none() {
        return path.into();
    }
    let mut is_name = true;
    let is_kept = |&byte: &u8| {
        is_name = byte == b'/' || is_name && byte != b';';
        is_name
    };
    path.iter().copied().filter(is_kept).collect()
}

/// An entry of the list of ignored URLs that begins with neither `/` nor `*`.
///
/// Its display is the message, without the parameter's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry \"{entry}\" begins with neither / nor *")]
pub struct UrlError {
    entry: String,
}

/// What a list of ignored URLs may be.
pub(crate) const LIST_HINT: &str = "List paths, separated by commas or newlines, without scheme, host or query; * stands \
    for any characters, for example /longpolling/*,/websocket.";

/// The longest [`excerpt`], in characters.
const EXCERPT_MAX: usize = 60;

/// Bytes as ASCII for a message: escaped as in a Rust byte string, and cut at [`EXCERPT_MAX`] characters, `...` included.
///
/// Looks at no more bytes than it shows.
pub(crate) fn excerpt(bytes: &[u8]) -> String {
    const CUT: &str = "...";
    let mut text = String::new();
    let mut cut_at = 0;
    for &byte in bytes {
        text.extend(ascii::escape_default(byte).map(char::from));
        if text.len() > EXCERPT_MAX {
            text.truncate(cut_at);
            text.push_str(CUT);
            break;
        }
        if text.len() <= EXCERPT_MAX - CUT.len() {
            cut_at = text.len();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_ascii_and_at_most_sixty_characters() {
        assert_eq!(excerpt(b"plain"), "plain");
        assert_eq!(excerpt(b"\xe9\n\"\\"), r#"\xe9\n\"\\"#);
        assert_eq!(excerpt(&[b'a'; 60]), "a".repeat(60));
        assert_eq!(excerpt(&[b'a'; 61]), "a".repeat(57) + "...");
    }

    #[test]
    fn an_excerpt_is_not_cut_within_an_escape() {
        assert_eq!(excerpt(&[0xff; 40]), r"\xff".repeat(14) + "...");
        assert_eq!(excerpt(&[0xff; 15]), r"\xff".repeat(15));
    }
}
