//! Which errors a statement may end with.

use super::op::Op;
use super::state::Model;
use super::time::Span;
use super::transaction::{Isolation, Transaction};

/// What a statement of somebody else finds while the extension is dropped and created: that is PostgreSQL's own.
const WITHOUT_EXTENSION: [&str; 7] = ["3F000", "42883", "42P01", "42704", "55000", "42501", "55006"];

impl Model {
    /// Whether the contract lets this statement end with this error.
    pub fn may_fail(&self, transaction: &Transaction, op: &Op, span: Span, sqlstate: &str, message: &str) -> bool {
        let dropped = self.ddl.since(span.from.min(transaction.begun));
        let locked_out = dropped || self.exclusive.since(span.from);
        // A check waits for nobody but who has locked the whole table; nor do purges and flushes.
        let waits = !(op.is_check() || matches!(op, Op::Purge { .. } | Op::Flush | Op::Pause(_))) || locked_out;
        match sqlstate {
            // A check in the queue behind a TRUNCATE can be the victim where that and a DROP EXTENSION wait for each other.
            "40P01" => waits && (transaction.holds_locks || !op.is_check() || dropped),
            "55P03" => waits,
            "40001" => can_fail_to_serialize(transaction, op),
            "23505" => match op {
                Op::Rotate { new, .. } => self.can_be_open(transaction, *new, span),
                Op::CreateExtension => true,
                _ => false,
            },
            "42710" | "42P06" => op.is_ddl(),
            "XX000" => {
                (dropped && message.starts_with("cache lookup failed"))
                    || (op.is_ddl() && message.starts_with("tuple concurrently"))
                    // The type of a verdict, which PostgreSQL looks up itself.
                    || (dropped
                        && matches!(op, Op::Verdict(..) | Op::Peek(_))
                        && message.starts_with("could not open relation with OID"))
            }
            _ => dropped && WITHOUT_EXTENSION.contains(&sqlstate),
        }
    }
}

/// Whether a COMMIT may. `locked_out`: others have locked a whole table, or have tried to, since the transaction began.
pub fn commit_may_fail(transaction: &Transaction, sqlstate: &str, locked_out: bool) -> bool {
    match sqlstate {
        "40001" => transaction.isolation == Isolation::Serializable && transaction.by_hand,
        // It may still read a table, while a DROP EXTENSION waits for what this transaction has locked.
        "40P01" => locked_out,
        _ => false,
    }
}

/// Plain DML can; our functions cannot, but in a transaction that has run plain DML in SERIALIZABLE.
fn can_fail_to_serialize(transaction: &Transaction, op: &Op) -> bool {
    transaction.keeps_snapshot()
        && (op.is_by_hand() || op.is_ddl() || (transaction.by_hand && transaction.isolation == Isolation::Serializable))
}
