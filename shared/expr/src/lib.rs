//! The expression language of custom rules: a bounded, deterministic part of CEL.
//!
//! Texts are read by the `cel` crate and evaluated here. Its own interpreter has no limit on cost and goes through maps
//! in a random order, and the engine must decide the same on every machine and in every replay; so the syntax tree is
//! turned into one of our own, where every name is resolved and every type is known before the first evaluation, and
//! where each evaluation has a budget. What both can do they do alike: a test compares them.

mod check;
mod eval;
mod read;
mod tree;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use prunella_engine::custom::{Compiler, Facts, Judge, Truth, Uses};

/// The longest text of a condition, in bytes.
pub const TEXT_MAX: usize = 4_000;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where, in bytes of the text.
    pub span: Range<usize>,
    /// What, and what to write instead where that is known.
    pub what: String,
    /// False when the text can be used all the same.
    pub fatal: bool,
}

impl Flaw {
    fn fatal(span: Range<usize>, what: impl Into<String>) -> Self {
        Self { span, what: what.into(), fatal: true }
    }

    /// The line of `text` that the flaw lies in, with a caret under its place.
    #[must_use]
    pub fn caret(&self, text: &str) -> String {
        let start = self.span.start.min(text.len());
        let before = text.get(..start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let column = text.get(line_start..start).unwrap_or_default().chars().count();
        let marked = text.get(start..self.span.end.min(line_start + line.len())).unwrap_or_default();
        let width = marked.chars().count().max(1);
        format!("  | {line}\n  | {}{}", " ".repeat(column), "^".repeat(width))
    }

    /// Where it lies: line and column in characters, both from 1.
    #[must_use]
    pub fn place(&self, text: &str) -> (usize, usize) {
        let before = text.get(..self.span.start.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before.get(line_start..).unwrap_or_default().chars().count() + 1)
    }
}

/// A condition that was read and checked.
#[derive(Debug, Clone)]
pub struct Expression {
    root: tree::Node,
    uses: Uses,
    notes: Vec<Flaw>,
}

impl Expression {
    /// Reads and checks a text.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn new(text: &str) -> Result<Self, Vec<Flaw>> {
        let (root, uses, notes) = read::read(text)?;
        Ok(Self { root, uses, notes })
    }

    /// What is doubtful about it, though it can be used: a measurement that no shipped probe makes, for one.
    #[must_use]
    pub fn notes(&self) -> &[Flaw] {
        &self.notes
    }
}

impl Judge for Expression {
    fn uses(&self) -> &Uses {
        &self.uses
    }

    fn judge(&self, facts: &Facts) -> Truth {
        eval::truth(&self.root, facts)
    }
}

/// Compiles conditions for the engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cel;

impl Compiler for Cel {
    fn compile(&self, when: &str) -> Result<Arc<dyn Judge>, String> {
        match Expression::new(when) {
            Ok(expression) => Ok(Arc::new(expression)),
            Err(flaws) => Err(flaws.iter().map(|flaw| Placed(flaw, when).to_string()).collect::<Vec<_>>().join("; ")),
        }
    }
}

/// The compiler, as the engine takes it.
#[must_use]
pub fn compiler() -> Arc<dyn Compiler> {
    Arc::new(Cel)
}

struct Placed<'a>(&'a Flaw, &'a str);

impl fmt::Display for Placed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, column) = self.0.place(self.1);
        write!(f, "line {line}, column {column}: {}", self.0.what)
    }
}
