//! Roles: known to the whole server, so each test makes its own.

use crate::server::{Server, unique_name};

/// A role with a name of its own, dropped at the end. Declare it before the databases in which it owns or may do
/// something: they must be gone first, and Rust drops the latest declared first.
pub struct Role<'a> {
    server: &'a Server,
    name: String,
}

impl<'a> Role<'a> {
    pub(crate) fn create(server: &'a Server, hint: &str, options: &str) -> Self {
        let name = unique_name(hint);
        server.execute(&format!("CREATE ROLE {name} {options}"));
        Self { server, name }
    }

    /// The role's name, which needs no quoting.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Role<'_> {
    fn drop(&mut self) {
        self.server.try_cleanup(&format!("DROP ROLE IF EXISTS {}", self.name));
    }
}
