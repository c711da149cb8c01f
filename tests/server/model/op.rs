//! What a connection can do, and what it can be told.

use std::fmt;

use super::time::{Limit, Micros};

/// Sids that are used one at a time, by all connections. The first few are used most.
pub const SIDS: usize = 24;
/// Sids that are opened, checked and deleted many at a time: more than one transaction lists.
pub const BULK: usize = 400;
/// All sids of a database: those and these.
pub const ALL_SIDS: usize = SIDS + BULK;
/// Users of the first sids. One more has those that are opened many at a time.
pub const USERS: u8 = 4;
pub const BULK_USER: u8 = USERS;

/// A session id by its number.
pub fn sid_name(sid: usize) -> String {
    format!("sid-{sid}")
}

/// A user by its number.
pub fn user_name(user: u8) -> String {
    format!("user-{user}")
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// A path that counts as activity.
    Counts,
    /// A path of the default list.
    Ignored,
    /// None: both limits are judged, and nothing is touched, as by a peek or a rotation.
    Look,
}

/// An activity written by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    Ago(Micros),
    Ahead(Micros),
    /// What the row has already.
    Unchanged,
    /// That of the login.
    Login,
}

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    Of(usize),
    OfUser(u8),
    All,
}

/// A parameter and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Delay(Limit),
    AbsoluteDelay(Limit),
    /// The mode: `skip_check`, or `no_refresh` where false.
    SkipCheck(bool),
    FlushInterval(Micros),
    PurgeInterval(Micros),
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Check(usize, Request),
    Verdict(usize, Request),
    Peek(usize),
    CheckMany(Vec<usize>, Request),
    Open {
        sid: usize,
        user: Option<u8>,
        idle: Limit,
        absolute: Limit,
    },
    OpenMany,
    Close(usize),
    CloseUser {
        user: u8,
        except: Option<usize>,
    },
    Rotate {
        old: usize,
        new: usize,
    },
    /// `look`: also at the rows before and after it.
    Purge {
        look: bool,
    },
    Flush,
    Insert {
        sid: usize,
        user: Option<u8>,
        idle: Limit,
        absolute: Limit,
    },
    SetActivity(usize, Activity),
    SetLimits {
        sid: usize,
        idle: Limit,
        absolute: Limit,
    },
    Delete(Rows),
    Truncate,
    Set {
        setting: Setting,
        by_hand: bool,
    },
    DropExtension,
    CreateExtension,
    Pause(Micros),
}

impl Op {
    /// Whether it is plain DML on our tables, which can fail as any DML can.
    pub fn is_by_hand(&self) -> bool {
        matches!(
            self,
            Self::Insert { .. }
                | Self::SetActivity(..)
                | Self::SetLimits { .. }
                | Self::Delete(_)
                | Self::Truncate
                | Self::Set { by_hand: true, .. }
        )
    }

    /// Whether it reads or writes our tables by plain statements, which take predicate locks in SERIALIZABLE.
    pub fn has_plain_statement(&self) -> bool {
        self.is_by_hand() || matches!(self, Self::Purge { look: true })
    }

    /// Whether it makes or drops the extension.
    pub fn is_ddl(&self) -> bool {
        matches!(self, Self::DropExtension | Self::CreateExtension)
    }

    /// Whether it only looks.
    pub fn is_check(&self) -> bool {
        matches!(
            self,
            Self::Check(..) | Self::Verdict(..) | Self::Peek(_) | Self::CheckMany(..)
        )
    }

    /// The sids it names.
    pub fn names(&self) -> Names {
        match self {
            Self::Check(sid, _)
            | Self::Verdict(sid, _)
            | Self::Peek(sid)
            | Self::Open { sid, .. }
            | Self::Close(sid)
            | Self::Insert { sid, .. }
            | Self::SetActivity(sid, _)
            | Self::SetLimits { sid, .. }
            | Self::Delete(Rows::Of(sid)) => Names::Some(vec![*sid]),
            Self::CheckMany(sids, _) => Names::Some(sids.clone()),
            Self::Rotate { old, new } => Names::Some(vec![*old, *new]),
            Self::Pause(_) => Names::Some(Vec::new()),
            Self::Set { .. } => Names::Parameters,
            _ => Names::All,
        }
    }
}

/// Which sids a statement or a transaction has to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Names {
    Some(Vec<usize>),
    All,
    /// None, and all by what is in force.
    Parameters,
}

impl Names {
    pub fn contains(&self, sid: usize) -> bool {
        match self {
            Self::Some(sids) => sids.contains(&sid),
            Self::All => true,
            Self::Parameters => false,
        }
    }
}

/// What `session_verdict` and `peek_session` answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub valid: bool,
    pub status: String,
    pub user: Option<String>,
    pub opened_at: Option<Micros>,
    pub last_activity: Option<Micros>,
    pub expires_at: Option<Micros>,
    pub warn: bool,
}

/// What a statement answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    Bool(bool),
    Count(i64),
    Verdict(Verdict),
    /// Of many checks, by sid.
    Checks(Vec<(usize, bool)>),
    /// The clocks of the row that was written: its login and its activity. None where no row was.
    Row(Option<(Micros, Micros)>),
    /// The sids whose rows were deleted.
    Deleted(Vec<usize>),
    /// How many, and those whose rows were gone afterwards, where that was looked at.
    Purged {
        count: i64,
        gone: Option<Vec<usize>>,
    },
}

/// How a statement ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Answered(Answer),
    Failed {
        sqlstate: String,
        message: String,
    },
    /// The connection went away before the answer.
    Lost(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(Answer::Nothing) => f.write_str("done"),
            Self::Answered(Answer::Bool(value)) => write!(f, "{value}"),
            Self::Answered(Answer::Count(value)) => write!(f, "{value}"),
            Self::Answered(Answer::Verdict(verdict)) => write!(f, "{verdict:?}"),
            Self::Answered(Answer::Checks(checks)) => {
                let valid: Vec<usize> = checks.iter().filter(|(_, valid)| *valid).map(|(sid, _)| *sid).collect();
                write!(f, "valid of {}: {valid:?}", checks.len())
            }
            Self::Answered(Answer::Row(row)) => write!(f, "{row:?}"),
            Self::Answered(Answer::Deleted(sids)) if sids.len() > 20 => write!(f, "{} rows", sids.len()),
            Self::Answered(Answer::Purged { count, gone }) => write!(f, "{count}, gone: {gone:?}"),
            Self::Answered(Answer::Deleted(sids)) => write!(f, "rows of {sids:?}"),
            Self::Failed { sqlstate, message } => write!(f, "{sqlstate}: {message}"),
            Self::Lost(why) => write!(f, "connection lost: {why}"),
        }
    }
}
