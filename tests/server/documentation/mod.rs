//! The SQL in the docs runs, and answers what the docs say.
//!
//! Of each page, the ```` ```sql ```` blocks and the transcripts (blocks whose statements begin with `=> `) are run in
//! their order, as the superuser, in a database of the page's own on a preloaded server, with the library's extension in
//! it unless the page itself creates it. The roles that the docs grant to are there. What cannot be run says why, on the
//! line before the block: `<!-- not run: it needs a standby -->`. Of an answer, `…` in a cell stands for anything, points
//! in time may differ, and an interval by some seconds. Queries in the running text are prepared, not run.

mod answer;
mod links;
mod locks;
mod page;
mod selections;
mod tables;

use std::path::{Path, PathBuf};
use std::{env, fs};

use session_timeout_tests::postgres::{Client, Error, SimpleQueryMessage};
use session_timeout_tests::{Database, Server};

use crate::support::{SessionCalls, preloaded};
use answer::agrees;
use page::{Page, Statement};

/// The roles that the docs grant to.
const ROLES: [&str; 5] = ["app", "auditor", "monitor", "operator", "purger"];

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The repository's Markdown files: those at the top, and those of `docs` and `monitoring`.
fn pages() -> Vec<PathBuf> {
    let folders = [".", "docs", "monitoring"].map(|folder| root().join(folder));
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let mut pages: Vec<_> = entries
        .map(|entry| entry.expect("a folder's entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    pages.sort();
    pages
}

/// A preloaded server with the roles.
fn server() -> Server {
    let server = preloaded::builder().start();
    for role in ROLES {
        server.execute(&format!("CREATE ROLE {role}"));
    }
    server
}

/// A database for a page.
fn database_for<'s>(server: &'s Server, page: &Page) -> Database<'s> {
    let creates_it = |statement: &Statement| statement.sql.starts_with("CREATE EXTENSION");
    let builder = server.database_builder("page");
    match page.statements.first() {
        Some(first) if creates_it(first) => builder.without_extension().create(),
        _ => builder.create(),
    }
}

fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{}: {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}

/// What a statement answers: its rows, each as its cells. Placeholders are texts that mean nothing.
fn run(client: &mut Client, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let describe = |error| describe(&error);
    if sql.contains("$1") {
        let statement = client.prepare(sql).map_err(describe)?;
        let nothing = "nothing";
        let values: Vec<_> = statement.params().iter().map(|_| &nothing as _).collect();
        client.query(&statement, &values).map_err(describe)?;
        return Ok(Vec::new());
    }
    let messages = client.simple_query(sql).map_err(describe)?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(
            (0..row.len())
                .map(|cell| row.get(cell).unwrap_or("").to_owned())
                .collect(),
        ),
        _ => None,
    });
    // A void function's row shows as nothing.
    Ok(rows
        .filter(|row: &Vec<String>| row.iter().any(|cell| !cell.is_empty()))
        .collect())
}

/// Runs a page's statements, in their order, and prepares its queries before the last of them, which may drop the
/// extension. What went otherwise than the page says, each with its place.
fn mistakes_in(page: &Page, client: &mut Client) -> Vec<String> {
    let mut mistakes = page.mistakes.clone();
    let last = page.statements.len().saturating_sub(1);
    for (number, statement) in page.statements.iter().enumerate() {
        if number == last {
            mistakes.extend(page.queries.iter().filter_map(|query| match client.prepare(query) {
                Ok(_) => None,
                Err(error) => Some(format!("{}: {query}\n    {}", page.name, describe(&error))),
            }));
        }
        let place = format!("{}:{}: {}", page.name, statement.line, statement.sql);
        match (run(client, &statement.sql), &statement.answer) {
            (Err(error), _) => mistakes.push(format!("{place}\n    {error}")),
            (Ok(rows), Some(expected)) if !agrees(&rows, expected) => mistakes.push(format!(
                "{place}\n    answers {rows:?}\n    and the page says {expected:?}"
            )),
            (Ok(_), _) => {}
        }
    }
    mistakes
}

#[test]
fn the_sql_in_the_docs_runs_and_answers_what_they_say() {
    let server = server();
    let (mut mistakes, mut statements, mut queries) = (Vec::new(), 0, 0);
    for path in pages() {
        let page = Page::read(&path);
        if page.statements.is_empty() && page.queries.is_empty() {
            mistakes.extend(page.mistakes);
            continue;
        }
        let database = database_for(&server, &page);
        mistakes.extend(mistakes_in(&page, &mut database.connect()));
        statements += page.statements.len();
        queries += page.queries.len();
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    assert!(
        statements > 30 && queries > 5,
        "only {statements} statements and {queries} queries were found"
    );
}

/// The mistakes of a page with this text.
#[track_caller]
fn mistakes_of(text: &str) -> Vec<String> {
    let page = Page::of("page.md", text);
    let mut client = crate::support::app();
    client.run("BEGIN");
    mistakes_in(&page, &mut client)
}

#[test]
fn a_page_that_is_right_has_no_mistakes() {
    let text = "
```sql
-- a comment
SELECT session_timeout.get_param('a;b'),
       session_timeout.get_param($1);   -- another
SELECT 1;
```
```
=> SELECT session_timeout.open_session('sid', 'alice');   -- answers nothing
=> SELECT status, expires_in, last_activity
   FROM session_timeout.session_verdict('sid');
 active | 01:59:59.99 | 2026-11-24 10:00:00.123+00
=> SELECT encode(session_timeout.session_digest('sid'), 'hex'), 7;
 … | 7
=> VALUES (1), (2);
 1
 2
```
<!-- not run: it needs another server -->
```sql
SELECT nonsense;
```
";
    assert_eq!(mistakes_of(text), [""; 0]);
}

#[test]
fn a_statement_in_the_docs_that_fails_is_a_mistake() {
    let mistakes = mistakes_of("\n```sql\nSELECT 1;\nSELECT nonsense();\n```\n");
    let [mistake] = mistakes.as_slice() else {
        panic!("one mistake: {mistakes:?}");
    };
    assert!(
        mistake.starts_with("page.md:4: SELECT nonsense();\n    42883"),
        "{mistake}"
    );
}

#[test]
fn a_query_in_the_running_text_that_does_not_parse_is_a_mistake() {
    let text = "Ask `SELECT session_timeout.get_param('x')`, or `SELECT\nnonsense FROM session_timeout.session`.\n
```sql\nSELECT 1;\n```\n";
    let mistakes = mistakes_of(text);
    let mistake = mistakes.first().expect("a mistake");
    assert!(
        mistake.starts_with("page.md: SELECT nonsense FROM session_timeout.session\n    42703"),
        "{mistake}"
    );
}

#[test]
fn an_answer_in_the_docs_that_is_not_so_is_a_mistake() {
    for (answer, why) in [
        (" active | 02:00:00 | alice", "another value"),
        (" active | 01:00:00 | bob", "another time"),
        (" active | 02:00:00", "a cell less"),
        (" active | 02:00:00 | bob\n active | 02:00:00 | bob", "a row more"),
        ("", "no row"),
    ] {
        let question = "SELECT status, expires_in, user_name FROM session_timeout.peek_session('sid');";
        let text =
            format!("```\n=> SELECT session_timeout.open_session('sid', 'bob');\n=> {question}\n{answer}\n```\n");
        assert_eq!(mistakes_of(&text).len(), 1, "{why}");
    }
}

#[test]
fn a_block_in_the_docs_that_is_not_run_says_why() {
    let mistakes = mistakes_of("<!-- not run: -->\n```sql\nSELECT 1;\n```\n");
    assert_eq!(mistakes, ["page.md:2: the block is not run, and does not say why"]);
}

#[test]
fn a_statement_in_the_docs_without_an_end_is_a_mistake() {
    let mistakes = mistakes_of("```sql\nSELECT 1\n```\n");
    assert_eq!(mistakes, ["page.md:2: the statement has no end: SELECT 1"]);
}
