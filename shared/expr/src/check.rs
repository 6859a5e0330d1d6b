//! What every name means and every operator takes, checked before the first evaluation.

mod operate;

use std::ops::Range;

use prunella_engine::custom::{Named, SCHEMA, Shape, Uses};
use prunella_settings::nearest;

use crate::Flaw;
use crate::read::listed;
use crate::tree::{Kind, Node, Value};

/// Which group of the facts an expression stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Metrics,
    HostMetrics,
    Probes,
    Host,
    Other,
}

/// What is known of a value before there is one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Type {
    Any,
    Flag,
    Int,
    Number,
    /// A text; one of these words, where only those can be.
    Text(Option<&'static [&'static str]>),
    List(Box<Type>),
    Facts(Shape, Group),
}

impl Type {
    pub(crate) const TEXT: Self = Self::Text(None);

    fn of(shape: Shape, group: Group) -> Self {
        match shape {
            Shape::Flag => Self::Flag,
            Shape::Number => Self::Number,
            Shape::Text => Self::TEXT,
            Shape::Word(words) => Self::Text(Some(words)),
            Shape::Open(_) | Shape::Record(_) => Self::Facts(shape, group),
        }
    }

    fn about(&self) -> &'static str {
        match self {
            Self::Any => "something",
            Self::Flag => "true or false",
            Self::Int => "a whole number",
            Self::Number => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Facts(..) => "a group of facts",
        }
    }

    fn numeric(&self) -> bool {
        matches!(self, Self::Int | Self::Number | Self::Any)
    }
}

/// What shipped probes measure, to tell a misspelt name.
const MEASURED: [&str; 15] = [
    "process.rss_bytes",
    "process.cpu_percent",
    "process.threads",
    "files.used_percent",
    "process.open_files",
    "cpu.used_percent",
    "memory.used_percent",
    "disk.used_percent",
    "disk.free_bytes",
    "disk.total_bytes",
    "memory.total_bytes",
    "inodes.used_percent",
    "load.one_minute",
    "network.received_bytes_per_second",
    "network.sent_bytes_per_second",
];

const FUNCTIONS: [&str; 13] = [
    "has",
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "int",
    "double",
    "string",
    "exists",
    "all",
    "exists_one",
    "filter",
    "map",
];

#[derive(Debug, Default)]
pub(crate) struct Checker {
    flaws: Vec<Flaw>,
    uses: Uses,
    locals: Vec<(String, Type)>,
}

impl Checker {
    pub(crate) fn flaw(&mut self, span: Range<usize>, what: impl Into<String>) {
        self.flaws.push(Flaw::fatal(span, what));
    }

    pub(crate) fn finish(self) -> (Vec<Flaw>, Uses) {
        (self.flaws, self.uses)
    }

    /// Whether this is inside of a comprehension.
    pub(crate) fn inside(&self) -> bool {
        !self.locals.is_empty()
    }

    pub(crate) fn enter(&mut self, item: &str, of: Type, total: &str, begin: Type) {
        self.locals = vec![(item.to_owned(), of), (total.to_owned(), begin)];
    }

    pub(crate) fn retype(&mut self, total: &str, of: Type) {
        for local in self.locals.iter_mut().filter(|(name, _)| name == total) {
            local.1 = of.clone();
        }
    }

    pub(crate) fn leave(&mut self) {
        self.locals.clear();
    }

    /// The whole must be true or false.
    pub(crate) fn condition(&mut self, text: &str, of: &Type) {
        if !matches!(of, Type::Flag | Type::Any) {
            let what = format!("gives {}; a condition must be true or false: compare it with something", of.about());
            self.flaw(0..text.len(), what);
        }
    }

    fn use_name(&mut self, group: Group, name: &str, span: &Range<usize>) {
        let named = match group {
            Group::Metrics => &mut self.uses.metrics,
            Group::HostMetrics => &mut self.uses.host_metrics,
            Group::Probes => &mut self.uses.probes,
            Group::Host | Group::Other => return,
        };
        if let Named::These(names) = named {
            names.insert(name.to_owned());
        }
        let measures = matches!(group, Group::Metrics | Group::HostMetrics);
        if measures
            && !MEASURED.contains(&name)
            && let Some(meant) = nearest(name, &MEASURED)
        {
            let what = format!("no shipped probe measures {name:?}; did you mean {meant:?}?");
            self.flaws.push(Flaw { span: span.clone(), what, fatal: false });
        }
    }

    fn use_all(&mut self, of: &Type) {
        match of {
            Type::Facts(_, Group::Metrics) => self.uses.metrics = Named::All,
            Type::Facts(_, Group::HostMetrics) => self.uses.host_metrics = Named::All,
            Type::Facts(_, Group::Probes) => self.uses.probes = Named::All,
            Type::Facts(_, Group::Host | Group::Other)
            | Type::Any
            | Type::Flag
            | Type::Int
            | Type::Number
            | Type::Text(_)
            | Type::List(_) => {}
        }
    }

    /// A name that stands alone.
    pub(crate) fn name(&mut self, span: Range<usize>, name: &str) -> (Node, Type) {
        if let Some((_, of)) = self.locals.iter().find(|(local, _)| local == name) {
            let of = of.clone();
            return (Node { span, kind: Kind::Local(name.to_owned()) }, of);
        }
        let Some((_, shape)) = SCHEMA.iter().find(|(root, _)| *root == name) else {
            let roots: Vec<&str> = SCHEMA.iter().map(|(root, _)| *root).collect();
            let what = format!("nothing is called {name:?}; {}", offer(name, &roots));
            self.flaw(span.clone(), what);
            return (Node { span, kind: Kind::Constant(Value::Null) }, Type::Any);
        };
        let group = match name {
            "metrics" => Group::Metrics,
            "probes" => Group::Probes,
            "host" => Group::Host,
            _ => Group::Other,
        };
        (Node { span, kind: Kind::Fact(name.to_owned()) }, Type::of(*shape, group))
    }

    /// `of.name`, or with `test` `has(of.name)`.
    pub(crate) fn field(
        &mut self,
        span: Range<usize>,
        of: Node,
        of_type: &Type,
        name: &str,
        test: bool,
    ) -> (Node, Type) {
        let found = match of_type {
            Type::Any => Type::Any,
            Type::Facts(Shape::Record(fields), group) => match fields.iter().find(|(field, _)| *field == name) {
                Some((_, shape)) => {
                    let inner =
                        if *group == Group::Host && name == "metrics" { Group::HostMetrics } else { Group::Other };
                    Type::of(*shape, inner)
                }
                None => {
                    let known: Vec<&str> = fields.iter().map(|(field, _)| *field).collect();
                    self.flaw(span.clone(), format!("there is no {name:?} here; {}", offer(name, &known)));
                    Type::Any
                }
            },
            Type::Facts(Shape::Open(shape), group) => {
                self.use_name(*group, name, &span);
                Type::of(**shape, Group::Other)
            }
            Type::Number => {
                let what = format!("a number has no {name:?}; a name with dots is written in brackets: metrics['a.b']");
                self.flaw(span.clone(), what);
                Type::Any
            }
            Type::Facts(..) | Type::Flag | Type::Int | Type::Text(_) | Type::List(_) => {
                self.flaw(span.clone(), format!("{} has no {name:?}", of_type.about()));
                Type::Any
            }
        };
        let (of, name) = (Box::new(of), name.to_owned());
        if test {
            (Node { span, kind: Kind::Has(of, name) }, Type::Flag)
        } else {
            (Node { span, kind: Kind::Field(of, name) }, found)
        }
    }

    pub(crate) fn list(&mut self, span: Range<usize>, items: Vec<(Node, Type)>) -> (Node, Type) {
        let mut of: Option<Type> = None;
        for (_, item) in &items {
            of = Some(match of {
                None => item.clone(),
                Some(before) => common(&before, item),
            });
        }
        let nodes = items.into_iter().map(|(node, _)| node).collect();
        (Node { span, kind: Kind::List(nodes) }, Type::List(Box::new(of.unwrap_or(Type::Any))))
    }

    /// What one round of a comprehension over `of` gets.
    pub(crate) fn item(&mut self, over: &Node, of: &Type) -> Type {
        match of {
            Type::List(item) => (**item).clone(),
            Type::Facts(Shape::Open(_), _) => {
                self.use_all(of);
                Type::TEXT
            }
            Type::Any => Type::Any,
            Type::Facts(..) | Type::Flag | Type::Int | Type::Number | Type::Text(_) => {
                self.flaw(over.span.clone(), format!("{} has nothing to go through", of.about()));
                Type::Any
            }
        }
    }

    /// An operator or a function.
    pub(crate) fn call(
        &mut self,
        span: Range<usize>,
        name: &str,
        method: bool,
        args: Vec<(Node, Type)>,
    ) -> (Node, Type) {
        let mut types: Vec<Type> = Vec::new();
        let mut nodes: Vec<Node> = Vec::new();
        for (node, of) in args {
            nodes.push(node);
            types.push(of);
        }
        let count = nodes.len();
        let mut nodes = nodes.into_iter();
        match (name, nodes.next(), nodes.next(), nodes.next()) {
            ("_&&_", Some(a), Some(b), None) => {
                self.flags(&[&a, &b], &types);
                (Node { span, kind: Kind::And(Box::new(a), Box::new(b)) }, Type::Flag)
            }
            ("_||_", Some(a), Some(b), None) => {
                self.flags(&[&a, &b], &types);
                (Node { span, kind: Kind::Or(Box::new(a), Box::new(b)) }, Type::Flag)
            }
            ("!_", Some(a), None, None) => {
                self.flags(&[&a], &types);
                (Node { span, kind: Kind::Not(Box::new(a)) }, Type::Flag)
            }
            ("@not_strictly_false", Some(a), None, None) => {
                (Node { span, kind: Kind::NotFalse(Box::new(a)) }, Type::Flag)
            }
            ("_?_:_", Some(a), Some(b), Some(c)) => {
                self.flags(&[&a], &types);
                let of = common(types.get(1).unwrap_or(&Type::Any), types.get(2).unwrap_or(&Type::Any));
                (Node { span, kind: Kind::Choice(Box::new(a), Box::new(b), Box::new(c)) }, of)
            }
            ("_[_]", Some(a), Some(b), None) => self.index(span, a, b, &types),
            (_, a, b, c) => {
                let nodes: Vec<Node> = [a, b, c].into_iter().flatten().collect();
                match operate::op(name, method, count) {
                    Some(op) => {
                        let of = self.operate(&span, op, &nodes, &types);
                        (Node { span, kind: Kind::Call(op, nodes) }, of)
                    }
                    None => {
                        self.flaw(span.clone(), no_function(name));
                        (Node { span, kind: Kind::Constant(Value::Null) }, Type::Any)
                    }
                }
            }
        }
    }

    fn flags(&mut self, nodes: &[&Node], types: &[Type]) {
        for (node, of) in nodes.iter().zip(types) {
            if !matches!(of, Type::Flag | Type::Any) {
                self.flaw(node.span.clone(), format!("is {}, where true or false is needed", of.about()));
            }
        }
    }

    fn index(&mut self, span: Range<usize>, of: Node, key: Node, types: &[Type]) -> (Node, Type) {
        let (of_type, key_type) = (types.first().unwrap_or(&Type::Any), types.get(1).unwrap_or(&Type::Any));
        let found = match (of_type, key_type, &key.kind) {
            (Type::Facts(Shape::Record(_), _), _, Kind::Constant(Value::Text(name))) => {
                let (name, at) = (name.clone(), key.span.clone());
                return self.field(at, of, of_type, &name, false);
            }
            (Type::Facts(Shape::Open(shape), group), Type::Text(_) | Type::Any, kind) => {
                match kind {
                    Kind::Constant(Value::Text(name)) => self.use_name(*group, name, &key.span),
                    _ => self.use_all(of_type),
                }
                Type::of(**shape, Group::Other)
            }
            (Type::List(item), Type::Int | Type::Any, _) => (**item).clone(),
            (Type::Any, _, _) => Type::Any,
            (of, by, _) => {
                self.flaw(key.span.clone(), format!("{} cannot be looked up by {}", of.about(), by.about()));
                Type::Any
            }
        };
        (Node { span, kind: Kind::Index(Box::new(of), Box::new(key)) }, found)
    }
}

/// What two values have in common; `Any` when nothing.
fn common(one: &Type, two: &Type) -> Type {
    match (one, two) {
        (Type::Text(a), Type::Text(b)) => Type::Text(if a == b { *a } else { None }),
        (Type::List(a), Type::List(b)) => Type::List(Box::new(common(a, b))),
        (a, b) if a == b => a.clone(),
        _ => Type::Any,
    }
}

/// What to write instead of `name`.
fn offer(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(meant) => format!("did you mean {meant:?}? There are: {}", listed(known.iter().copied())),
        None => format!("there are: {}", listed(known.iter().copied())),
    }
}

fn no_function(name: &str) -> String {
    match name {
        "matches" => "there are no patterns here; use contains, startsWith or endsWith".to_owned(),
        "timestamp" | "duration" | "now" => {
            "a condition has no clock; use the rule's own for, or probes.NAME.since in seconds".to_owned()
        }
        name => format!("there is no function {name:?} for this; {}", offer(name, &FUNCTIONS)),
    }
}
