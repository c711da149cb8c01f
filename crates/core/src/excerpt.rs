//! Bytes of unknown origin, in a form that fits into a message.

use std::ascii;

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
