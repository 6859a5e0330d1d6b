//! From text to a checked tree.

use std::collections::BTreeSet;
use std::ops::Range;

use cel::common::ast::{Expr, IdedExpr, LiteralValue, SourceInfo};
use cel::parser::Parser;
use prunella_engine::custom::Uses;

use crate::check::{Checker, Type};
use crate::tree::{Fold, Kind, Node, Value};
use crate::{Flaw, TEXT_MAX};

/// How deep expressions may be nested.
const DEPTH_MAX: usize = 64;

/// The reader of the syntax descends many calls for each level, so it gets a thread with room for that.
const STACK_BYTES: usize = 64 * 1024 * 1024;

type Read = Result<(Node, Uses, Vec<Flaw>), Vec<Flaw>>;

/// Reads and checks a text.
pub(crate) fn read(text: &str) -> Read {
    let whole = 0..text.len();
    if text.len() > TEXT_MAX {
        return Err(vec![Flaw::fatal(whole, format!("has {} bytes; at most {TEXT_MAX} are allowed", text.len()))]);
    }
    if text.trim().is_empty() {
        return Err(vec![Flaw::fatal(whole, "is empty; write a condition, for example probes.http.status == 'down'")]);
    }
    let owned = text.to_owned();
    let thread = std::thread::Builder::new().name("rule".to_owned()).stack_size(STACK_BYTES);
    let failed = |why: String| Err(vec![Flaw::fatal(0..0, why)]);
    match thread.spawn(move || read_here(&owned)).map(std::thread::JoinHandle::join) {
        Ok(Ok(read)) => read,
        Ok(Err(_)) => failed("cannot be read: the reader of the syntax failed on it".to_owned()),
        Err(error) => failed(format!("cannot be read now: {error}")),
    }
}

fn read_here(text: &str) -> Read {
    let depth = u16::try_from(DEPTH_MAX).unwrap_or(u16::MAX);
    let parser = Parser::new().max_recursion_depth(depth).error_recovery_limit(4);
    let (expr, source) = parser.parse_with_source_info(text).map_err(|errors| {
        errors.errors.iter().take(3).map(|error| syntax(text, error.pos, &error.msg)).collect::<Vec<_>>()
    })?;
    let mut lower = Lower { text, source: &source, check: Checker::default(), depth: 0, places: Vec::new() };
    let (root, of) = lower.lower(&expr);
    lower.check.condition(text, &of);
    let (flaws, uses) = lower.check.finish();
    let (mut fatal, notes): (Vec<Flaw>, Vec<Flaw>) = flaws.into_iter().partition(|flaw| flaw.fatal);
    fatal.sort_by_key(|flaw| flaw.span.start);
    if fatal.is_empty() { Ok((root, uses, notes)) } else { Err(fatal) }
}

/// A flaw of the syntax at a line and a column, both from 1.
fn syntax(text: &str, (line, column): (isize, isize), what: &str) -> Flaw {
    let before = usize::try_from(line - 1).unwrap_or(0);
    let line_start: usize = text.split_inclusive('\n').take(before).map(str::len).sum();
    let rest = text.get(line_start..).unwrap_or_default();
    let chars = usize::try_from(column - 1).unwrap_or(0);
    let at = line_start + rest.char_indices().nth(chars).map_or(rest.trim_end().len(), |(at, _)| at);
    Flaw::fatal(at..at + 1, wrong(what.strip_prefix("Syntax error: ").unwrap_or(what)))
}

/// The reader's words, without its long lists of what could have come.
fn wrong(what: &str) -> String {
    let found = what.split_once("input '").and_then(|(_, rest)| rest.rsplit_once('\'').or(Some((rest, ""))));
    let found = found.map(|(found, _)| found.split("' expecting").next().unwrap_or(found));
    match found {
        Some("<EOF>") => "the text ends here, where something must follow".to_owned(),
        Some(found) if what.contains("expecting <EOF>") => {
            format!("{found:?} does not belong here; is && or || missing before it?")
        }
        Some(found) => format!("{found:?} cannot stand here"),
        None => format!("cannot be read from here on: {what}"),
    }
}

struct Lower<'a> {
    text: &'a str,
    source: &'a SourceInfo,
    check: Checker,
    depth: usize,
    /// The places of the expressions around this one: what a macro makes up has none of its own.
    places: Vec<Range<usize>>,
}

impl Lower<'_> {
    fn place(&self, id: u64) -> Range<usize> {
        let Some((start, stop)) = self.source.offset_for(id) else {
            return self.places.last().cloned().unwrap_or(0..self.text.len());
        };
        let byte = |at: u32| usize::try_from(at).unwrap_or(usize::MAX).min(self.text.len());
        let (start, end) = (byte(start), byte(stop.saturating_add(1)));
        if self.text.get(start..end).is_some() { start..end } else { start..start }
    }

    fn lower(&mut self, it: &IdedExpr) -> (Node, Type) {
        let span = self.place(it.id);
        if self.depth >= DEPTH_MAX {
            let what = format!("is nested deeper than {DEPTH_MAX} levels");
            return self.refused(span, what);
        }
        self.depth += 1;
        self.places.push(span.clone());
        let lowered = self.lower_at(span, &it.expr);
        self.places.pop();
        self.depth -= 1;
        lowered
    }

    fn refused(&mut self, span: Range<usize>, what: impl Into<String>) -> (Node, Type) {
        self.check.flaw(span.clone(), what);
        (Node { span, kind: Kind::Constant(Value::Null) }, Type::Any)
    }

    fn lower_at(&mut self, span: Range<usize>, expr: &Expr) -> (Node, Type) {
        match expr {
            Expr::Literal(it) => self.literal(span, it),
            Expr::Ident(name) => self.check.name(span, name),
            Expr::Select(it) => {
                let (of, of_type) = self.lower(&it.operand);
                // The place of a selection is its dot; its name is what a person looks at.
                let name = span.end..span.end.saturating_add(it.field.len());
                let span = if self.text.get(name.clone()) == Some(&it.field) { name } else { span };
                self.check.field(span, of, &of_type, &it.field, it.test)
            }
            Expr::List(it) => {
                let items: Vec<(Node, Type)> = it.elements.iter().map(|item| self.lower(item)).collect();
                self.check.list(span, items)
            }
            Expr::Call(it) => {
                let args = it.target.as_deref().into_iter().chain(&it.args);
                let args: Vec<(Node, Type)> = args.map(|arg| self.lower(arg)).collect();
                // The place of a call is its bracket; its name stands before that.
                let name = span.start.saturating_sub(it.func_name.len())..span.start;
                let span = if self.text.get(name.clone()) == Some(&it.func_name) { name } else { span };
                self.check.call(span, &it.func_name, it.target.is_some(), args)
            }
            Expr::Comprehension(it) => {
                if self.check.inside() {
                    return self
                        .refused(span, "goes through something for each of something else; that could cost too much");
                }
                if it.iter_var2.is_some() {
                    return self.refused(span, "takes one name: names.exists(n, condition)");
                }
                let (over, over_type) = self.lower(&it.iter_range);
                let item = self.check.item(&over, &over_type);
                let (begin, total) = self.lower(&it.accu_init);
                self.check.enter(&it.iter_var, item, &it.accu_var, total);
                let (go_on, _) = self.lower(&it.loop_cond);
                let (step, step_type) = self.lower(&it.loop_step);
                self.check.retype(&it.accu_var, step_type);
                let (result, result_type) = self.lower(&it.result);
                self.check.leave();
                let (item, total) = (it.iter_var.clone(), it.accu_var.clone());
                let fold = Fold { over, item, total, begin, go_on, step, result };
                (Node { span, kind: Kind::Fold(Box::new(fold)) }, result_type)
            }
            Expr::Map(_) => self.refused(span, "is a map; only lists can be written down here: [1, 2]"),
            Expr::Struct(_) | Expr::Unspecified => self.refused(span, "is nothing that a condition can use"),
        }
    }

    fn literal(&mut self, span: Range<usize>, it: &LiteralValue) -> (Node, Type) {
        let (value, of) = match it {
            LiteralValue::Boolean(it) => (Value::Flag(*it.inner()), Type::Flag),
            LiteralValue::Int(it) => (Value::Int(*it.inner()), Type::Int),
            LiteralValue::Double(it) => (Value::Number(*it.inner()), Type::Number),
            LiteralValue::String(it) => (Value::Text(it.inner().to_owned()), Type::TEXT),
            LiteralValue::UInt(it) => match i64::try_from(*it.inner()) {
                Ok(it) => (Value::Int(it), Type::Int),
                Err(_) => return self.refused(span, "is too large a number"),
            },
            LiteralValue::Null => {
                return self.refused(span, "nothing is null here; ask with has(...) whether it is there");
            }
            LiteralValue::Bytes(_) => return self.refused(span, "is a row of bytes; write a text: 'abc'"),
        };
        (Node { span, kind: Kind::Constant(value) }, of)
    }
}

/// The names of a set, for a message.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.into_iter().collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}
