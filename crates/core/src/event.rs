//! What is reported of a session that has ended: the kind of its `session_event` row, and the notice on the channel.

use std::ops::RangeInclusive;

use serde::{Serialize, Serializer};

use crate::digest::Digest;
use crate::verdict::Expiry;

/// The channel of `LISTEN` that notices are sent on.
pub const CHANNEL: &str = "session_timeout";

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Idle for too long.
    IdleExpired,
    /// Too old.
    AbsoluteExpired,
    /// Closed by `close_session`, or by a DELETE of its row.
    Closed,
    /// Closed by `close_user_sessions`.
    Revoked,
}

impl Kind {
    /// Its name in SQL and in notices.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::IdleExpired => "idle_expired",
            Self::AbsoluteExpired => "absolute_expired",
            Self::Closed => "closed",
            Self::Revoked => "revoked",
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl From<Expiry> for Kind {
    fn from(expiry: Expiry) -> Self {
        match expiry {
            Expiry::Idle => Self::IdleExpired,
            Expiry::Absolute => Self::AbsoluteExpired,
        }
    }
}

/// A session that has ended, as it stands in a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The `id` of its `session_event` row; `None` if no events are kept.
    pub event: Option<i64>,
    /// Which session.
    pub digest: Digest,
}

/// The most sessions in one notice. PostgreSQL refuses a payload of 8000 bytes or more (`NOTIFY_PAYLOAD_MAX_LENGTH`). A digest
/// takes 67 of them, the rest at most 100.
pub const MAX_PER_NOTICE: usize = 115;

#[derive(Serialize)]
struct Notice<'a> {
    kind: Kind,
    #[serde(serialize_with = "as_pair")]
    events: Option<RangeInclusive<i64>>,
    digests: &'a [Digest],
}

/// `[first id, last id]`, or `[]` if no events are kept.
fn as_pair<S: Serializer>(events: &Option<RangeInclusive<i64>>, serializer: S) -> Result<S::Ok, S::Error> {
    match events {
        Some(ids) => serializer.collect_seq([ids.start(), ids.end()]),
        None => serializer.collect_seq::<[i64; 0]>([]),
    }
}

/// The payloads that report `ended`: JSON `{"kind", "events": [first id, last id], "digests": [hex, …]}`. There are as many
/// as PostgreSQL's limit requires. Each digest is in one of them, in the order given.
pub fn notices(kind: Kind, ended: &[Ended]) -> impl Iterator<Item = String> + '_ {
    ended.chunks(MAX_PER_NOTICE).filter_map(move |chunk| {
        let ids = || chunk.iter().filter_map(|one| one.event);
        let events = ids().min().zip(ids().max()).map(|(first, last)| first..=last);
        let digests: Vec<Digest> = chunk.iter().map(|one| one.digest).collect();
        serde_json::to_string(&Notice {
            kind,
            events,
            digests: &digests,
        })
        .ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(n: usize, first: i64) -> Vec<Ended> {
        (0..n)
            .map(|i| Ended {
                event: Some(first + i as i64),
                digest: Digest::of(&i.to_le_bytes()),
            })
            .collect()
    }

    #[test]
    fn a_notice_has_the_documented_form() {
        let one = ended(1, 7);
        let text: Vec<String> = notices(Kind::IdleExpired, &one).collect();
        let hex = one[0].digest.to_string();
        assert_eq!(
            text,
            [format!(
                r#"{{"kind":"idle_expired","events":[7,7],"digests":["{hex}"]}}"#
            )]
        );
    }

    #[test]
    fn without_events_the_pair_is_empty() {
        let one = [Ended {
            event: None,
            digest: Digest::of(b"x"),
        }];
        assert!(
            notices(Kind::Closed, &one)
                .next()
                .expect("a notice")
                .contains(r#""events":[],"#)
        );
    }

    #[test]
    fn a_batch_is_split_below_the_limit_with_each_digest_in_one_notice() {
        let all = ended(2 * MAX_PER_NOTICE + 1, i64::MAX - 1000);
        let texts: Vec<String> = notices(Kind::AbsoluteExpired, &all).collect();
        assert_eq!(texts.len(), 3);
        assert!(
            texts.iter().all(|text| text.len() < 8000),
            "{:?}",
            texts.iter().map(String::len).max()
        );
        for one in &all {
            let hex = one.digest.to_string();
            assert_eq!(texts.iter().filter(|text| text.contains(&hex)).count(), 1);
        }
    }
}
