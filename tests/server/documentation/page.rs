//! Reads the SQL of a Markdown page.

use std::fs;
use std::path::Path;

/// A page's SQL, in its order.
pub struct Page {
    pub name: String,
    pub statements: Vec<Statement>,
    /// The queries in the running text and in tables, each in a code span of its own.
    pub queries: Vec<String>,
    /// What is wrong with the page itself.
    pub mistakes: Vec<String>,
}

/// A statement, and where it begins.
pub struct Statement {
    pub line: usize,
    pub sql: String,
    /// The rows that the page says it answers, as cells; `None` where the page says nothing of it.
    pub answer: Option<Vec<Vec<String>>>,
}

/// What the lines before a block say of it.
enum Marker<'a> {
    None,
    NotRun { reason: &'a str },
}

/// A line of a transcript that begins a statement.
const PROMPT: &str = "=> ";

impl Page {
    pub fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Self::of(&name.unwrap_or_default(), &text)
    }

    pub fn of(name: &str, text: &str) -> Self {
        let mut page = Self {
            name: name.to_owned(),
            statements: Vec::new(),
            queries: Vec::new(),
            mistakes: Vec::new(),
        };
        let lines: Vec<&str> = text.lines().collect();
        let mut prose = String::new();
        let mut at = 0;
        while at < lines.len() {
            if !lines[at].starts_with("```") {
                prose = prose + lines[at] + "\n";
                at += 1;
                continue;
            }
            let language = lines[at].trim_start_matches('`');
            let fence = lines[at].strip_suffix(language).unwrap_or_default();
            let body = at + 1;
            let end = (body..lines.len())
                .find(|&line| lines[line] == fence)
                .unwrap_or(lines.len());
            let is_transcript = language.is_empty() && lines[body..end].iter().any(|line| line.starts_with(PROMPT));
            // A longer fence is around Markdown about Markdown.
            if fence == "```" && (language == "sql" || is_transcript) {
                match marker(at.checked_sub(1).map_or("", |before| lines[before])) {
                    Marker::NotRun { reason: "" } => {
                        page.mistake(at + 1, "the block is not run, and does not say why");
                    }
                    Marker::NotRun { .. } => {}
                    Marker::None => page.add_block(&lines[body..end], body + 1, is_transcript),
                }
            }
            at = end + 1;
        }
        // Every second piece between backticks is code. One with an ellipsis is not meant to be run.
        let spans = prose.split('`').skip(1).step_by(2).map(|span| span.replace('\n', " "));
        let is_query = |span: &String| span.starts_with("SELECT ") && !span.contains('…');
        page.queries = spans.filter(is_query).collect();
        page
    }

    fn mistake(&mut self, line: usize, what: &str) {
        self.mistakes.push(format!("{}:{line}: {what}", self.name));
    }

    /// Adds the statements of a block whose first line has the number `first`.
    fn add_block(&mut self, lines: &[&str], first: usize, is_transcript: bool) {
        let mut open: Option<Statement> = None;
        for (number, line) in (first..).zip(lines) {
            let code = without_comment(line);
            let (begins, code) = match code.strip_prefix(PROMPT) {
                Some(code) => (true, code),
                None => (!is_transcript, code),
            };
            if let Some(statement) = &mut open {
                statement.sql += "\n";
                statement.sql += code;
            } else if begins && !code.trim().is_empty() {
                open = Some(Statement {
                    line: number,
                    sql: code.to_owned(),
                    answer: is_transcript.then(Vec::new),
                });
            } else if let Some(answer) = self.statements.last_mut().and_then(|last| last.answer.as_mut())
                && !line.trim().is_empty()
            {
                answer.push(line.split('|').map(|cell| cell.trim().to_owned()).collect());
            }
            if let Some(statement) = open.take_if(|statement| statement.sql.ends_with(';')) {
                self.statements.push(statement);
            }
        }
        if let Some(statement) = open {
            self.mistake(statement.line, &format!("the statement has no end: {}", statement.sql));
        }
    }
}

fn marker(line: &str) -> Marker<'_> {
    let comment = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix("-->"));
    match comment.and_then(|comment| comment.strip_prefix("not run:")) {
        Some(reason) => Marker::NotRun { reason: reason.trim() },
        None => Marker::None,
    }
}

/// A line of SQL up to its comment. The docs have no `--` in texts.
fn without_comment(line: &str) -> &str {
    line.find("--").map_or(line, |comment| &line[..comment]).trim_end()
}
