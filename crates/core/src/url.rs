//! Ignored URLs: which requests do not count as activity.
//!
//! [`IgnoredUrls`] is parsed once from the parameter's text. [`IgnoredUrls::matches`] compares the path of each request with it.
//! Both work on bytes, since a database need not be UTF-8.
//!
//! Every decision here fails closed: if some proxy or framework could read a URL's path as another path, the URL matches nothing,
//! so its request counts as activity and is checked.
//!
//! # Plain form
//!
//! A path is plain if every decoder, however lenient, reads it the same way. Its escapes are decoded once, and an escape counts
//! as the byte that it stands for. The result is UTF-8, and consists of printable ASCII without `\`, and of letters, digits and
//! combining marks of any script. No escape stands for `/`, `.`, `\`, `%`, `;`, `?` or `#`. No segment but the last is
//! empty; none begins with a space, a `;` or a mark, and none ends with a dot or a space, also before its path parameters
//! (`;x`). If a segment begins with dots or `+`, a letter, a digit, `_`, `-` or `~` follows (`.well-known`). Everything else
//! matches nothing, so there is no list of bad spellings that must be kept up to date. This is what the plain form excludes, and
//! who reads it as a dot, a slash, a delimiter or nothing at all:
//!
//! - bytes that are not UTF-8: lenient decoders take overlong forms of 2 to 6 bytes (`%c0%ae`, `%e0%80%ae`) and surrogates
//!   (RFC 3629, section 10; Unicode TR 36, section 3.1), and `%u002e` (Microsoft's IIS);
//! - what compatibility normalization makes delimiters of: U+FF0E, U+2024 to U+2026, U+FE52, U+FF0F, U+2100 (a/c), U+FE68,
//!   U+37E, the numbers U+2488 (1.) and U+BD (Unicode UAX 15; browsers for hosts by UTS 46); and what Windows and iconv, lacking
//!   a better character, replace by one (U+2044, U+2215, U+2216, U+B7);
//! - white space, C1 controls and what is not shown (U+A0, U+85, U+AD, U+200B to U+200F, U+FEFF, U+3164), which are trimmed,
//!   or deleted by case folding (NFKC_Casefold). The joiners U+200C and U+200D are among them;
//! - dots and spaces at the end of a name, which Windows cuts off ("Naming Files, Paths, and Namespaces"); a `+` beside dots,
//!   which decoders of forms make a space; and dots before a delimiter (`..;x`, `..:$INDEX_ALLOCATION`);
//! - what is decoded twice (`%252e`), and `.` and `..` themselves (RFC 3986, section 5.2.4; WHATWG URL takes `%2e` for a dot).
//!
//! This excludes all symbols and punctuation of Unicode, emoji among them. The text is taken to be UTF-8 whatever the database's
//! encoding. In a database with another encoding, paths of other scripts match in their escaped form, which is what clients send.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use memchr::memmem::Finder;

use crate::excerpt::excerpt;

/// The paths whose requests never count as activity: a parsed list of patterns.
///
/// The default is the empty list, which matches nothing. Parsing splits the patterns at `*`, so that a match allocates nothing
/// and takes time linear in the URL's length for each entry, whatever the pattern.
#[derive(Clone, Debug, Default)]
pub struct IgnoredUrls {
    patterns: Vec<Pattern>,
}

impl IgnoredUrls {
    /// Parses a list separated by commas or newlines (`\n` or `\r\n`).
    ///
    /// ASCII white space around entries is ignored, and so are empty entries; an empty text is an empty list. An entry matches a
    /// path byte for byte. Each `*` in it stands for any run of bytes, even an empty one, and even across `/`. An entry with a
    /// `*` must also match the path without its path parameters (`;x` to the end of a segment): many servers cut these off
    /// before they route, so `*.ico` must not match `/web;.ico`.
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
    /// A URL without a [`plain_path`] matches none, not even `*`.
    #[must_use]
    pub fn matches(&self, url: &[u8]) -> bool {
        // If the list is empty, as it is if the feature is off, the URL need not be looked at. If no pattern matches, as is the
        // case most often, the path need not be checked for its form.
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
    /// What stands before the first `*`, between each two, and after the last. Empty pieces in the middle (`**`) are left out,
    /// as they change nothing.
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

    /// The leftmost place for each piece leaves the most room for the pieces after it, so no place is tried twice.
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

/// The path of `url` to compare with the list; `None` if it has no path in plain form.
///
/// Scheme, user, host, port, query and fragment are cut off. `http://host` alone has the path `/`. These URLs have no path: an
/// empty one, a relative one that does not begin with `/`, a scheme-relative one (`//host/x`), and one whose host is empty
/// (`http:///x`, which browsers read as `http://x`).
///
/// The result is `None`, too, if the path is not in plain form (see the [module](self)), or if what stands before it contains
/// anything but printable ASCII, or a backslash, or a percent sign.
#[must_use]
pub fn plain_path(url: &[u8]) -> Option<&[u8]> {
    let address = address_of(url);
    let path = path_of(address)?;
    let before = &address[..address.len().saturating_sub(path.len())];
    (before
        .iter()
        .all(|byte| byte.is_ascii_graphic() && !b"\\%".contains(byte))
        && is_plain(path))
    .then_some(path)
}

/// Cuts query and fragment off.
fn address_of(url: &[u8]) -> &[u8] {
    &url[..memchr::memchr2(b'?', b'#', url).unwrap_or(url.len())]
}

/// Cuts scheme and authority off. The rest begins with `/`, or with the `//` of a scheme-relative URL.
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

/// What a character is in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// A letter or digit, `_`, `-` or `~`.
    Letter,
    Slash,
    Dot,
    Space,
    Plus,
    Semicolon,
    /// A combining mark.
    Mark,
    /// Other printable ASCII.
    Other,
    /// The byte begins an escape, or a character that is not ASCII.
    Coded,
    /// Not allowed in a plain path.
    Refused,
}

/// The class of each unescaped byte.
const CLASSES: [Class; 256] = {
    let mut classes = [Class::Coded; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        classes[byte as usize] = match byte {
            b'/' => Class::Slash,
            b'.' => Class::Dot,
            b' ' => Class::Space,
            b'+' => Class::Plus,
            b';' => Class::Semicolon,
            b'%' => Class::Coded,
            b'\\' | b'?' | b'#' => Class::Refused,
            b'_' | b'-' | b'~' => Class::Letter,
            byte if byte.is_ascii_alphanumeric() => Class::Letter,
            byte if byte.is_ascii_graphic() => Class::Other,
            _ => Class::Refused,
        };
        byte += 1;
    }
    classes
};

/// How much of a segment has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    /// Nothing.
    Empty,
    /// Dots and `+` only.
    Leading,
    /// A name, which may end here.
    Name,
    /// A name, and dots or spaces after it.
    Trailing,
}

/// Whether a path is in plain form, as defined in the documentation of the module.
fn is_plain(path: &[u8]) -> bool {
    let Some(mut rest) = path.strip_prefix(b"/") else {
        return false;
    };
    let mut segment = Segment::Empty;
    while let Some((&byte, after)) = rest.split_first() {
        // Most of a path consists of these, so they have a loop of their own.
        if CLASSES[usize::from(byte)] == Class::Letter {
            let is_letter = |&byte: &u8| CLASSES[usize::from(byte)] == Class::Letter;
            let count = after.iter().take_while(|byte| is_letter(byte)).count();
            rest = &after[count..];
            segment = Segment::Name;
            continue;
        }
        let mut class = CLASSES[usize::from(byte)];
        if class == Class::Coded {
            class = take_character(&mut rest).map_or(Class::Refused, class_of_decoded);
        } else {
            rest = after;
        }
        segment = match (class, segment) {
            (Class::Letter, _) => Segment::Name,
            (Class::Slash, Segment::Name) => Segment::Empty,
            (Class::Dot | Class::Plus, Segment::Empty | Segment::Leading) => Segment::Leading,
            (Class::Dot | Class::Space, Segment::Name | Segment::Trailing) => Segment::Trailing,
            (Class::Plus, Segment::Trailing) => Segment::Trailing,
            (Class::Plus | Class::Semicolon | Class::Mark, Segment::Name) => Segment::Name,
            (Class::Other, Segment::Empty | Segment::Name | Segment::Trailing) => Segment::Name,
            (Class::Slash | Class::Semicolon | Class::Mark, Segment::Empty | Segment::Leading | Segment::Trailing)
            | (Class::Space, Segment::Empty | Segment::Leading)
            | (Class::Other, Segment::Leading)
            | (Class::Coded | Class::Refused, _) => return false,
        };
    }
    matches!(segment, Segment::Empty | Segment::Name)
}

/// Takes a character of UTF-8, each of its bytes as it is or escaped; `None` if there is none.
fn take_character(rest: &mut &[u8]) -> Option<char> {
    let mut bytes = [take_byte(rest)?, 0, 0, 0];
    let length = match bytes[0] {
        0..0x80 => 1,
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    for byte in &mut bytes[1..length] {
        *byte = take_byte(rest)?;
    }
    str::from_utf8(&bytes[..length]).ok()?.chars().next()
}

/// Takes a byte as it is or escaped; `None` if a `%` does not begin an escape.
fn take_byte(rest: &mut &[u8]) -> Option<u8> {
    let (&first, mut after) = rest.split_first()?;
    let mut byte = first;
    if first == b'%' {
        let digit = |at: usize| after.get(at).and_then(|&byte| char::from(byte).to_digit(16));
        byte = (digit(0)? << 4 | digit(1)?) as u8;
        after = &after[2..];
    }
    *rest = after;
    Some(byte)
}

/// The class of a character that was escaped, or is not ASCII.
fn class_of_decoded(character: char) -> Class {
    /// Letters and digits that normalization takes apart (blocks of numbers made of several characters), or that are not
    /// shown.
    const REFUSED: [RangeInclusive<char>; 8] = [
        '\u{bc}'..='\u{be}',
        '\u{115f}'..='\u{1160}',
        '\u{17b4}'..='\u{17b5}',
        '\u{2150}'..='\u{218f}',
        '\u{2460}'..='\u{24ff}',
        '\u{3164}'..='\u{3164}',
        '\u{ffa0}'..='\u{ffa0}',
        '\u{1f100}'..='\u{1f1ff}',
    ];
    /// The accents. All of them are marks, even if Unicode counts one among the letters.
    const ACCENTS: RangeInclusive<char> = '\u{300}'..='\u{36f}';
    /// Blocks with other marks that words are written with. In other blocks a mark counts only if it is alphabetic.
    const MARKS: [RangeInclusive<char>; 9] = [
        '\u{483}'..='\u{487}',
        '\u{591}'..='\u{5bd}',
        '\u{610}'..='\u{61a}',
        '\u{64b}'..='\u{65f}',
        '\u{6d6}'..='\u{6dc}',
        '\u{900}'..='\u{dff}',
        '\u{e31}'..='\u{109f}',
        '\u{17b6}'..='\u{17d3}',
        '\u{3099}'..='\u{309a}',
    ];
    if character.is_ascii() {
        return match CLASSES[character as usize] {
            class @ (Class::Letter | Class::Space | Class::Plus | Class::Other) => class,
            Class::Slash | Class::Dot | Class::Semicolon | Class::Mark | Class::Coded | Class::Refused => {
                Class::Refused
            }
        };
    }
    let is_in = |ranges: &[RangeInclusive<char>]| ranges.iter().any(|range| range.contains(&character));
    if ACCENTS.contains(&character) {
        // A joiner that is not shown is among them.
        if character == '\u{34f}' {
            Class::Refused
        } else {
            Class::Mark
        }
    } else if is_in(&REFUSED) {
        Class::Refused
    } else if character.is_alphanumeric() {
        Class::Letter
    } else if is_in(&MARKS) {
        Class::Mark
    } else {
        Class::Refused
    }
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
#[error("entry \"{entry}\" must begin with / or *")]
pub struct UrlError {
    entry: String,
}
