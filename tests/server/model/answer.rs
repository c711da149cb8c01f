//! What the server sends back, read as the answer to a statement.

use std::collections::HashMap;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use session_timeout_tests::postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::op::{ALL_SIDS, Answer, Op, Verdict, sid_name};

/// The answer to `op`, which was the last in a batch after `before` others that answer nothing.
pub fn read(op: &Op, messages: &[SimpleQueryMessage], before: usize) -> Answer {
    let mut results: Vec<Vec<&SimpleQueryRow>> = vec![Vec::new()];
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => results.last_mut().expect("there is one").push(row),
            SimpleQueryMessage::CommandComplete(_) => results.push(Vec::new()),
            _ => {}
        }
    }
    let rows = &results[before];
    let first = || rows.first().expect("a row");
    match op {
        Op::Check(..) | Op::Close(_) | Op::Rotate { .. } => Answer::Bool(boolean(text(first(), 0))),
        Op::Verdict(..) | Op::Peek(_) => Answer::Verdict(verdict(first())),
        Op::CheckMany(..) => {
            let check = |row: &&SimpleQueryRow| (number(row, 0) as usize, boolean(text(row, 1)));
            Answer::Checks(rows.iter().map(check).collect())
        }
        Op::OpenMany | Op::CloseUser { .. } | Op::Flush => Answer::Count(number(first(), 0)),
        Op::Purge { look: false } => Answer::Purged {
            count: number(first(), 0),
            gone: None,
        },
        Op::Purge { look: true } => {
            let count = results[before + 1].first().map_or(0, |row| number(row, 0));
            let kept = sids(&results[before + 2]);
            let gone = sids(rows).into_iter().filter(|sid| !kept.contains(sid)).collect();
            Answer::Purged {
                count,
                gone: Some(gone),
            }
        }
        Op::Insert { .. } | Op::SetActivity(..) | Op::SetLimits { .. } => {
            Answer::Row(rows.first().map(|row| (number(row, 0), number(row, 1))))
        }
        Op::Delete(_) => Answer::Deleted(sids(rows)),
        Op::Set { by_hand: true, .. } => Answer::Count(rows.len() as i64),
        _ => Answer::Nothing,
    }
}

fn verdict(row: &SimpleQueryRow) -> Verdict {
    let optional = |n: usize| row.get(n).map(|value| value.parse().expect("a number"));
    Verdict {
        valid: boolean(text(row, 0)),
        status: text(row, 1).to_owned(),
        user: row.get(2).map(str::to_owned),
        opened_at: optional(3),
        last_activity: optional(4),
        expires_at: optional(5),
        warn: boolean(text(row, 6)),
    }
}

fn text(row: &SimpleQueryRow, n: usize) -> &str {
    row.get(n).expect("a value")
}

fn number(row: &SimpleQueryRow, n: usize) -> i64 {
    text(row, n).parse().expect("a number")
}

fn boolean(text: &str) -> bool {
    text == "t"
}

fn sids(rows: &[&SimpleQueryRow]) -> Vec<usize> {
    rows.iter().map(|row| sid_of(text(row, 0))).collect()
}

/// The sid of a digest in hexadecimal.
pub fn sid_of(digest: &str) -> usize {
    static SIDS: OnceLock<HashMap<String, usize>> = OnceLock::new();
    let digest_of = |sid: usize| {
        let bytes = Sha256::digest(sid_name(sid));
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let sids = SIDS.get_or_init(|| (0..ALL_SIDS).map(|sid| (digest_of(sid), sid)).collect());
    *sids.get(digest).unwrap_or_else(|| panic!("nobody has opened {digest}"))
}
