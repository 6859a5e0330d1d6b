//! The syntax tree that is evaluated: every name resolved, every operator known.

use std::ops::Range;

/// A constant or a computed value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Flag(bool),
    Int(i64),
    Number(f64),
    Text(String),
    List(Vec<Value>),
}

/// An operator or function on values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Negate,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Size,
    Contains,
    StartsWith,
    EndsWith,
    ToInt,
    ToDouble,
    ToString,
}

impl Op {
    /// As it is written.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract | Self::Negate => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::Size => "size",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::ToInt => "int",
            Self::ToDouble => "double",
            Self::ToString => "string",
        }
    }
}

/// One expression with its place in the text, in bytes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Range<usize>,
    pub(crate) kind: Kind,
}

/// The kinds of expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Constant(Value),
    /// One of the roots of the facts.
    Fact(String),
    /// A variable of the comprehension around it.
    Local(String),
    /// `of.field`.
    Field(Box<Node>, String),
    /// `has(of.field)`.
    Has(Box<Node>, String),
    /// `of[key]`.
    Index(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    /// False only for false: an error counts as true. Macros use it to go on.
    NotFalse(Box<Node>),
    Choice(Box<Node>, Box<Node>, Box<Node>),
    Call(Op, Vec<Node>),
    List(Vec<Node>),
    Fold(Box<Fold>),
}

/// What a macro like `exists` comes to: a fold over a list or the names of a map.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fold {
    pub(crate) over: Node,
    pub(crate) item: String,
    pub(crate) total: String,
    pub(crate) begin: Node,
    pub(crate) go_on: Node,
    pub(crate) step: Node,
    pub(crate) result: Node,
}
