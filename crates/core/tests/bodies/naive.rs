//! The rules of ignored urls, word for word and with no thought of speed.

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
    let lower = path.to_ascii_lowercase();
    let has = |part: &[u8]| lower.windows(part.len()).any(|window| window == part);
    let escapes = lower
        .iter()
        .enumerate()
        .filter(|&(_, &byte)| byte == b'%')
        .map(|(at, _)| {
            let hex = std::str::from_utf8(lower.get(at + 1..at + 3)?).ok()?;
            // from_str_radix takes a sign, too.
            hex.bytes()
                .all(|byte| byte.is_ascii_hexdigit())
                .then(|| u8::from_str_radix(hex, 16).ok())?
        });
    path.starts_with(b"/")
        && !path
            .iter()
            .any(|byte| byte.is_ascii_control() || b"\\?#".contains(byte))
        && ![
            b"//".as_slice(),
            b"%2f",
            b"%5c",
            b"%2e",
            b"%25",
            b"%3b",
            b"%3f",
            b"%23",
            b"%c0",
            b"%c1",
        ]
        .into_iter()
        .any(has)
        && escapes
            .into_iter()
            .all(|byte| byte.is_some_and(|byte| !byte.is_ascii_control()))
        && lower.split(|&byte| byte == b'/').all(|segment| {
            let name = segment.split(|&byte| byte == b';').next().unwrap_or_default();
            ![b".".as_slice(), b".."].contains(&name)
        })
}
