//! What operators and functions take and give.

use std::ops::Range;

use prunella_engine::custom::Shape;

use super::{Checker, Type, common, offer};
use crate::tree::{Kind, Node, Op, Value};

impl Checker {
    pub(super) fn operate(&mut self, span: &Range<usize>, op: Op, nodes: &[Node], types: &[Type]) -> Type {
        let any = Type::Any;
        let (one, two) = (types.first().unwrap_or(&any), types.get(1).unwrap_or(&any));
        let text = |it: &Type| matches!(it, Type::Text(_) | Type::Any);
        match op {
            Op::Equal | Op::NotEqual => {
                if !(one.numeric() && two.numeric() || common(one, two) != Type::Any || *one == any || *two == any) {
                    self.clash(span, op, one, two);
                }
                self.words(nodes, types);
                Type::Flag
            }
            Op::Less | Op::LessEqual | Op::Greater | Op::GreaterEqual => {
                if !(one.numeric() && two.numeric() || text(one) && text(two)) {
                    self.clash(span, op, one, two);
                }
                Type::Flag
            }
            Op::Add if text(one) && text(two) && *one != any => Type::TEXT,
            Op::Add if matches!((one, two), (Type::List(_) | Type::Any, Type::List(_))) => two.clone(),
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide | Op::Modulo => self.arithmetic(span, op, one, two),
            Op::Negate if one.numeric() => one.clone(),
            Op::In => self.contained(span, nodes, one, two),
            Op::Size => {
                self.use_all(one);
                if matches!(one, Type::Flag | Type::Int | Type::Number) {
                    self.flaw(span.clone(), format!("{} has no size", one.about()));
                }
                Type::Int
            }
            Op::Contains | Op::StartsWith | Op::EndsWith if text(one) && text(two) => Type::Flag,
            Op::ToInt if !matches!(one, Type::List(_) | Type::Facts(..) | Type::Flag) => Type::Int,
            Op::ToDouble if !matches!(one, Type::List(_) | Type::Facts(..) | Type::Flag) => Type::Number,
            Op::ToString if !matches!(one, Type::List(_) | Type::Facts(..)) => Type::TEXT,
            Op::Negate | Op::Contains | Op::StartsWith | Op::EndsWith | Op::ToInt | Op::ToDouble | Op::ToString => {
                let of: Vec<&str> = types.iter().map(Type::about).collect();
                self.flaw(span.clone(), format!("{} does not work on {}", op.as_str(), of.join(" and ")));
                Type::Any
            }
        }
    }

    fn clash(&mut self, span: &Range<usize>, op: Op, one: &Type, two: &Type) {
        let what = format!("{} cannot stand between {} and {}", op.as_str(), one.about(), two.about());
        self.flaw(span.clone(), what);
    }

    fn arithmetic(&mut self, span: &Range<usize>, op: Op, one: &Type, two: &Type) -> Type {
        match (one, two) {
            (Type::Int, Type::Int) => Type::Int,
            (Type::Number, Type::Number) if op != Op::Modulo => Type::Number,
            (Type::Any, other) | (other, Type::Any) if other.numeric() => other.clone(),
            (Type::Int, Type::Number) | (Type::Number, Type::Int) if op != Op::Modulo => {
                let what =
                    format!("{} needs two numbers of one kind: write 2.0 instead of 2, or double(...)", op.as_str());
                self.flaw(span.clone(), what);
                Type::Number
            }
            _ => {
                self.clash(span, op, one, two);
                Type::Any
            }
        }
    }

    fn contained(&mut self, span: &Range<usize>, nodes: &[Node], one: &Type, two: &Type) -> Type {
        match two {
            Type::Facts(Shape::Open(_), group) => {
                match nodes.first().map(|node| (&node.kind, &node.span)) {
                    Some((Kind::Constant(Value::Text(name)), at)) => self.use_name(*group, name, at),
                    _ => self.use_all(two),
                }
                if !matches!(one, Type::Text(_) | Type::Any) {
                    self.clash(span, Op::In, one, two);
                }
            }
            Type::List(item) => {
                if let Some(Node { kind: Kind::List(items), .. }) = nodes.get(1) {
                    for item in items {
                        self.word(one, item);
                    }
                }
                let alike = common(one, item) != Type::Any || *one == Type::Any || **item == Type::Any;
                let fits = alike || one.numeric() && item.numeric();
                if !fits {
                    self.flaw(span.clone(), format!("{} is never in a list of {}", one.about(), item.about()));
                }
            }
            Type::Any => {}
            Type::Facts(..) | Type::Flag | Type::Int | Type::Number | Type::Text(_) => {
                self.clash(span, Op::In, one, two)
            }
        }
        Type::Flag
    }

    /// A word that can only be one of a few is compared with one of those.
    fn words(&mut self, nodes: &[Node], types: &[Type]) {
        if let ([one, two], [of_one, of_two]) = (nodes, types) {
            self.word(of_one, two);
            self.word(of_two, one);
        }
    }

    fn word(&mut self, of: &Type, with: &Node) {
        if let (Type::Text(Some(words)), Kind::Constant(Value::Text(text))) = (of, &with.kind)
            && !words.contains(&text.as_str())
        {
            self.flaw(with.span.clone(), format!("it is never {text:?}; {}", offer(text, words)));
        }
    }
}

/// The operator or function of that name.
pub(super) fn op(name: &str, method: bool, count: usize) -> Option<Op> {
    let op = match (name, count) {
        ("_+_", 2) => Op::Add,
        ("_-_", 2) => Op::Subtract,
        ("_*_", 2) => Op::Multiply,
        ("_/_", 2) => Op::Divide,
        ("_%_", 2) => Op::Modulo,
        ("-_", 1) => Op::Negate,
        ("_==_", 2) => Op::Equal,
        ("_!=_", 2) => Op::NotEqual,
        ("_<_", 2) => Op::Less,
        ("_<=_", 2) => Op::LessEqual,
        ("_>_", 2) => Op::Greater,
        ("_>=_", 2) => Op::GreaterEqual,
        ("@in", 2) => Op::In,
        ("size", 1) => Op::Size,
        ("contains", 2) if method => Op::Contains,
        ("startsWith", 2) if method => Op::StartsWith,
        ("endsWith", 2) if method => Op::EndsWith,
        ("int", 1) if !method => Op::ToInt,
        ("double", 1) if !method => Op::ToDouble,
        ("string", 1) if !method => Op::ToString,
        _ => return None,
    };
    Some(op)
}
