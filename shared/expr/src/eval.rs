//! Evaluation: pure, in the order of the text and of the names, and within a budget.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use prunella_engine::custom::{Fact, Facts, Truth};

use crate::tree::{Fold, Kind, Node, Op, Value};

/// How many nodes one evaluation may visit. A condition of the longest text visits a thousand; the rest is for going
/// through the facts.
const STEPS_MAX: u32 = 20_000;

/// How many bytes of text count as one node when texts are joined.
const BYTES_A_STEP: usize = 64;

/// Why there is no value.
#[derive(Debug, Clone, PartialEq)]
enum Fail {
    /// A fact that is needed is not there.
    Missing(String),
    /// It cannot be computed.
    Broken(String),
}

/// A value, or a place in the facts.
#[derive(Debug, Clone)]
enum Seen<'f> {
    Value(Value),
    Map(&'f Facts),
}

struct Run<'f> {
    facts: &'f Facts,
    locals: BTreeMap<&'f str, Result<Value, Fail>>,
    steps: u32,
}

/// Whether the condition holds.
pub(crate) fn truth(root: &Node, facts: &Facts) -> Truth {
    let mut run = Run { facts, locals: BTreeMap::new(), steps: 0 };
    match run.flag(root) {
        Ok(true) => Truth::True,
        Ok(false) => Truth::False,
        Err(Fail::Missing(what)) => Truth::Unknown(what),
        Err(Fail::Broken(why)) => Truth::Broken(why),
    }
}

fn broken<T>(why: impl Into<String>) -> Result<T, Fail> {
    Err(Fail::Broken(why.into()))
}

fn seen(fact: &Fact) -> Seen<'_> {
    match fact {
        Fact::Flag(it) => Seen::Value(Value::Flag(*it)),
        Fact::Number(it) => Seen::Value(Value::Number(*it)),
        Fact::Text(it) => Seen::Value(Value::Text(it.clone())),
        Fact::Map(it) => Seen::Map(it),
    }
}

fn field<'f>(map: &'f Facts, name: &str) -> Result<Seen<'f>, Fail> {
    map.get(name).map(seen).ok_or_else(|| Fail::Missing(name.to_owned()))
}

impl<'f> Run<'f> {
    fn spend(&mut self, steps: u32) -> Result<(), Fail> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX { broken(format!("it takes more than {STEPS_MAX} steps")) } else { Ok(()) }
    }

    fn flag(&mut self, node: &'f Node) -> Result<bool, Fail> {
        match self.value(node)? {
            Value::Flag(it) => Ok(it),
            other => broken(format!("a condition gave {}, which is neither true nor false", kind(&other))),
        }
    }

    fn value(&mut self, node: &'f Node) -> Result<Value, Fail> {
        match self.see(node)? {
            Seen::Value(it) => Ok(it),
            Seen::Map(_) => broken("a group of facts is not a value"),
        }
    }

    fn see(&mut self, node: &'f Node) -> Result<Seen<'f>, Fail> {
        self.spend(1)?;
        let value = match &node.kind {
            Kind::Constant(it) => it.clone(),
            Kind::Fact(name) => return field(self.facts, name),
            Kind::Local(name) => match self.locals.get(name.as_str()) {
                Some(it) => it.clone()?,
                None => return broken(format!("{name} has no value here")),
            },
            Kind::Field(of, name) => match self.see(of)? {
                Seen::Map(map) => return field(map, name),
                Seen::Value(it) => return broken(format!("{} has no field {name}", kind(&it))),
            },
            Kind::Has(of, name) => match self.see(of) {
                Ok(Seen::Map(map)) => Value::Flag(map.contains_key(name)),
                // What is not there has no fields either.
                Err(Fail::Missing(_)) => Value::Flag(false),
                Ok(Seen::Value(it)) => return broken(format!("{} has no field {name}", kind(&it))),
                Err(other) => return Err(other),
            },
            Kind::Index(of, key) => return self.index(of, key),
            Kind::And(a, b) => Value::Flag(self.join(a, b, false)?),
            Kind::Or(a, b) => Value::Flag(self.join(a, b, true)?),
            Kind::Not(it) => Value::Flag(!self.flag(it)?),
            Kind::NotFalse(it) => Value::Flag(!matches!(self.flag(it), Ok(false))),
            Kind::Choice(condition, yes, no) => {
                let chosen = if self.flag(condition)? { yes } else { no };
                return self.see(chosen);
            }
            Kind::Call(op, args) => self.call(*op, args)?,
            Kind::List(items) => Value::List(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?),
            Kind::Fold(fold) => self.fold(fold)?,
        };
        Ok(Seen::Value(value))
    }

    /// `&&` and `||`: one side that settles it is enough, whatever is missing on the other.
    fn join(&mut self, a: &'f Node, b: &'f Node, settles: bool) -> Result<bool, Fail> {
        let a = self.flag(a);
        if a == Ok(settles) {
            return Ok(settles);
        }
        match (a, self.flag(b)) {
            (_, Ok(b)) if b == settles => Ok(settles),
            // A defect must be said even when a fact is missing beside it.
            (Err(Fail::Missing(_)), Err(broken @ Fail::Broken(_))) => Err(broken),
            (Err(fail), _) | (Ok(_), Err(fail)) => Err(fail),
            (Ok(_), Ok(_)) => Ok(!settles),
        }
    }

    fn index(&mut self, of: &'f Node, key: &'f Node) -> Result<Seen<'f>, Fail> {
        let of = self.see(of)?;
        match (of, self.value(key)?) {
            (Seen::Map(map), Value::Text(name)) => field(map, &name),
            (Seen::Value(Value::List(mut list)), Value::Int(place)) => {
                let count = list.len();
                match usize::try_from(place).ok().filter(|place| *place < count) {
                    Some(place) => Ok(Seen::Value(list.swap_remove(place))),
                    None => broken(format!("place {place} of a list of {count}")),
                }
            }
            (_, key) => broken(format!("{} is no place in it", kind(&key))),
        }
    }

    fn fold(&mut self, fold: &'f Fold) -> Result<Value, Fail> {
        let items: Vec<Value> = match self.see(&fold.over)? {
            Seen::Map(map) => map.keys().map(|name| Value::Text(name.clone())).collect(),
            Seen::Value(Value::List(items)) => items,
            Seen::Value(other) => return broken(format!("cannot go through {}", kind(&other))),
        };
        // A total that failed is kept as such: a later item may settle an `exists` or an `all` all the same.
        let begin = self.value(&fold.begin);
        self.locals.insert(&fold.total, begin);
        for item in items {
            self.locals.insert(&fold.item, Ok(item));
            if !self.flag(&fold.go_on)? {
                break;
            }
            let total = self.value(&fold.step);
            if self.steps > STEPS_MAX {
                return total;
            }
            self.locals.insert(&fold.total, total);
        }
        let result = self.value(&fold.result);
        self.locals.remove(fold.total.as_str());
        self.locals.remove(fold.item.as_str());
        result
    }

    fn call(&mut self, op: Op, args: &'f [Node]) -> Result<Value, Fail> {
        let (first, second) = match args {
            [one] => (self.see(one)?, None),
            [one, two] => (self.see(one)?, Some(self.see(two)?)),
            _ => return broken(format!("{} takes one or two values", op.as_str())),
        };
        match (op, first, second) {
            (Op::Size, Seen::Map(map), None) => int(map.len()),
            (Op::In, Seen::Value(Value::Text(name)), Some(Seen::Map(map))) => Ok(Value::Flag(map.contains_key(&name))),
            (op, Seen::Value(one), None) => unary(op, one),
            (op, Seen::Value(one), Some(Seen::Value(two))) => {
                if let (Value::Text(a), Value::Text(b)) = (&one, &two) {
                    let cost = (a.len() + b.len()) / BYTES_A_STEP;
                    self.spend(u32::try_from(cost).unwrap_or(u32::MAX))?;
                }
                if let Value::List(items) = &one {
                    self.spend(u32::try_from(items.len()).unwrap_or(u32::MAX))?;
                }
                binary(op, one, two)
            }
            (op, _, _) => broken(format!("{} does not work on a group of facts", op.as_str())),
        }
    }
}

fn int(count: usize) -> Result<Value, Fail> {
    i64::try_from(count).map(Value::Int).or_else(|_| broken("the count is too large"))
}

#[expect(clippy::cast_possible_truncation, reason = "the range was checked")]
fn unary(op: Op, it: Value) -> Result<Value, Fail> {
    match (op, it) {
        (Op::Negate, Value::Int(it)) => it.checked_neg().map(Value::Int).ok_or_else(overflow),
        (Op::Negate, Value::Number(it)) => Ok(Value::Number(-it)),
        (Op::Size, Value::Text(it)) => int(it.chars().count()),
        (Op::Size, Value::List(it)) => int(it.len()),
        (Op::ToInt, Value::Int(it)) => Ok(Value::Int(it)),
        (Op::ToInt, Value::Number(it)) if it > i64::MIN as f64 && it < i64::MAX as f64 => Ok(Value::Int(it as i64)),
        (Op::ToInt, Value::Text(it)) => {
            it.parse().map(Value::Int).or_else(|_| broken(format!("{it:?} is no whole number")))
        }
        (Op::ToDouble, Value::Int(it)) => Ok(Value::Number(it as f64)),
        (Op::ToDouble, Value::Number(it)) => Ok(Value::Number(it)),
        (Op::ToDouble, Value::Text(it)) => {
            it.parse().map(Value::Number).or_else(|_| broken(format!("{it:?} is no number")))
        }
        (Op::ToString, Value::Text(it)) => Ok(Value::Text(it)),
        (Op::ToString, Value::Int(it)) => Ok(Value::Text(it.to_string())),
        (Op::ToString, Value::Number(it)) => Ok(Value::Text(it.to_string())),
        (Op::ToString, Value::Flag(it)) => Ok(Value::Text(it.to_string())),
        (op, it) => broken(format!("{} does not work on {}", op.as_str(), kind(&it))),
    }
}

fn overflow() -> Fail {
    Fail::Broken("the number is too large".to_owned())
}

fn binary(op: Op, one: Value, two: Value) -> Result<Value, Fail> {
    match op {
        Op::Equal => return Ok(Value::Flag(equal(&one, &two))),
        Op::NotEqual => return Ok(Value::Flag(!equal(&one, &two))),
        Op::Less => return order(op, &one, &two).map(|it| Value::Flag(it == Some(Ordering::Less))),
        Op::Greater => return order(op, &one, &two).map(|it| Value::Flag(it == Some(Ordering::Greater))),
        Op::LessEqual => {
            return order(op, &one, &two).map(|it| Value::Flag(matches!(it, Some(Ordering::Less | Ordering::Equal))));
        }
        Op::GreaterEqual => {
            return order(op, &one, &two)
                .map(|it| Value::Flag(matches!(it, Some(Ordering::Greater | Ordering::Equal))));
        }
        Op::Add
        | Op::Subtract
        | Op::Multiply
        | Op::Divide
        | Op::Modulo
        | Op::Negate
        | Op::In
        | Op::Size
        | Op::Contains
        | Op::StartsWith
        | Op::EndsWith
        | Op::ToInt
        | Op::ToDouble
        | Op::ToString => {}
    }
    match (op, one, two) {
        (Op::Add, Value::Text(a), Value::Text(b)) => Ok(Value::Text(a + &b)),
        (Op::Add, Value::List(mut a), Value::List(b)) => {
            a.extend(b);
            Ok(Value::List(a))
        }
        (_, Value::Int(a), Value::Int(b)) => whole(op, a, b),
        (Op::Add, Value::Number(a), Value::Number(b)) => Ok(Value::Number(a + b)),
        (Op::Subtract, Value::Number(a), Value::Number(b)) => Ok(Value::Number(a - b)),
        (Op::Multiply, Value::Number(a), Value::Number(b)) => Ok(Value::Number(a * b)),
        (Op::Divide, Value::Number(a), Value::Number(b)) => Ok(Value::Number(a / b)),
        (Op::In, it, Value::List(list)) => Ok(Value::Flag(list.iter().any(|other| equal(&it, other)))),
        (Op::Contains, Value::Text(a), Value::Text(b)) => Ok(Value::Flag(a.contains(&b))),
        (Op::StartsWith, Value::Text(a), Value::Text(b)) => Ok(Value::Flag(a.starts_with(&b))),
        (Op::EndsWith, Value::Text(a), Value::Text(b)) => Ok(Value::Flag(a.ends_with(&b))),
        (op, a, b) => broken(format!("{} does not work on {} and {}", op.as_str(), kind(&a), kind(&b))),
    }
}

fn whole(op: Op, a: i64, b: i64) -> Result<Value, Fail> {
    let made = match op {
        Op::Add => a.checked_add(b),
        Op::Subtract => a.checked_sub(b),
        Op::Multiply => a.checked_mul(b),
        Op::Divide | Op::Modulo if b == 0 => return broken("division by zero"),
        Op::Divide => a.checked_div(b),
        Op::Modulo => a.checked_rem(b),
        Op::Negate
        | Op::Equal
        | Op::NotEqual
        | Op::Less
        | Op::LessEqual
        | Op::Greater
        | Op::GreaterEqual
        | Op::In
        | Op::Size
        | Op::Contains
        | Op::StartsWith
        | Op::EndsWith
        | Op::ToInt
        | Op::ToDouble
        | Op::ToString => return broken(format!("{} does not work on two whole numbers", op.as_str())),
    };
    made.map(Value::Int).ok_or_else(overflow)
}

/// Whole numbers and others compare by what they are worth.
fn equal(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Int(a), Value::Number(b)) | (Value::Number(b), Value::Int(a)) => *a as f64 == *b,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (a, b) => a == b,
    }
}

fn order(op: Op, one: &Value, two: &Value) -> Result<Option<Ordering>, Fail> {
    match (one, two) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Number(b)) => Ok((*a as f64).partial_cmp(b)),
        (Value::Number(a), Value::Int(b)) => Ok(a.partial_cmp(&(*b as f64))),
        (Value::Number(a), Value::Number(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Flag(a), Value::Flag(b)) => Ok(Some(a.cmp(b))),
        (a, b) => broken(format!("{} does not work on {} and {}", op.as_str(), kind(a), kind(b))),
    }
}

/// What a value is, for a person.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Flag(_) => "true or false",
        Value::Int(_) => "a whole number",
        Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
    }
}
