//! Values that a rollback to a savepoint undoes.

/// Values with the subtransactions that set them, the newest last.
///
/// Ids of subtransactions only grow. A subtransaction that begins within another one ends before it.
#[derive(Clone, Debug)]
pub struct Savepoints<T>(Vec<(u32, T)>);

impl<T> Default for Savepoints<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Savepoints<T> {
    /// The subtransaction sets a value, which replaces those that it and the subtransactions within it have set.
    pub fn set(&mut self, subtransaction: u32, value: T) {
        self.roll_back(subtransaction);
        self.0.push((subtransaction, value));
    }

    /// The subtransaction is rolled back, and so are all that have begun since.
    pub fn roll_back(&mut self, subtransaction: u32) {
        // From the end, so that a transaction with many savepoints takes time linear in their number.
        while self.0.last().is_some_and(|(by, _)| *by >= subtransaction) {
            self.0.pop();
        }
    }

    /// The value in force.
    pub fn last(&self) -> Option<&T> {
        self.0.last().map(|(_, value)| value)
    }

    /// The newest value that meets the condition.
    pub fn newest(&self, condition: impl Fn(&T) -> bool) -> Option<&T> {
        self.0
            .iter()
            .rev()
            .map(|(_, value)| value)
            .find(|value| condition(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_restores_what_was_set_before_the_savepoint() {
        let mut values = Savepoints::default();
        values.set(1, "first");
        values.set(3, "within");
        values.roll_back(3);
        assert_eq!(values.last(), Some(&"first"));
        values.roll_back(1);
        assert_eq!(values.last(), None);
    }

    #[test]
    fn a_rollback_undoes_what_released_savepoints_within_it_set() {
        let mut values = Savepoints::default();
        values.set(1, "first");
        // 3 is within 2, and is released.
        values.set(3, "within");
        values.roll_back(4);
        assert_eq!(values.last(), Some(&"within"));
        values.roll_back(2);
        assert_eq!(values.last(), Some(&"first"));
    }

    #[test]
    fn a_later_value_replaces_those_of_released_savepoints() {
        let mut values = Savepoints::default();
        values.set(1, "first");
        values.set(3, "released");
        values.set(2, "later");
        values.roll_back(2);
        assert_eq!(values.last(), Some(&"first"));
    }

    #[test]
    fn of_several_values_the_newest_that_meets_the_condition_is_found() {
        let mut values = Savepoints::default();
        values.set(1, 10);
        values.set(2, 20);
        assert_eq!(values.newest(|value| *value < 20), Some(&10));
        assert_eq!(values.newest(|value| *value > 20), None);
    }
}
