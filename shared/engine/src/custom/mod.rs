//! Rules of the operators' own, written as expressions in the fleet policy.
//!
//! The engine knows no expression language. It is given a [`Compiler`], keeps what that makes of each rule, hands it the
//! [`Facts`] that it uses, and treats the answer as that of any other rule: an error is *unknown*, never a fault, and is
//! said once. The policy carries the text, so a journal replays with the rules that were in force.

mod facts;
mod state;
mod view;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use prunella_model::policy::{CustomRule, FleetPolicy};
use prunella_model::{TargetRef, Timestamp};

pub use facts::{Fact, Facts, SCHEMA, Shape};
pub(crate) use state::{Said, feeds, tune};

/// Which names of an open set an expression uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// These; none when it is empty.
    These(BTreeSet<String>),
    /// Any: it goes through all of them, or computes the name.
    All,
}

impl Default for Named {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Named {
    /// Whether `name` is used.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::These(names) => names.contains(name),
            Self::All => true,
        }
    }

    /// Whether nothing is used.
    #[must_use]
    pub fn is_none(&self) -> bool {
        match self {
            Self::These(names) => names.is_empty(),
            Self::All => false,
        }
    }
}

/// What an expression looks at, so that it is given that and evaluated when that changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uses {
    /// Measurements of the target.
    pub metrics: Named,
    /// Measurements of its host.
    pub host_metrics: Named,
    /// Probes of the target.
    pub probes: Named,
}

/// What an expression comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Truth {
    /// The condition holds.
    True,
    /// It does not.
    False,
    /// Something that it needs is not there, or not fresh: what.
    Unknown(String),
    /// It cannot be evaluated: why, and where in its text.
    Broken(String),
}

/// A compiled expression. Evaluation is pure, bounded, and the same everywhere.
pub trait Judge: fmt::Debug + Send + Sync {
    /// What it looks at.
    fn uses(&self) -> &Uses;
    /// Evaluates it.
    fn judge(&self, facts: &Facts) -> Truth;
}

/// Makes expressions of texts.
pub trait Compiler: fmt::Debug + Send + Sync {
    /// Compiles the condition of a rule.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    fn compile(&self, when: &str) -> Result<Arc<dyn Judge>, String>;
}

/// Stands where no expression language is at hand: every custom rule is broken, and says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoCompiler;

impl Compiler for NoCompiler {
    fn compile(&self, _when: &str) -> Result<Arc<dyn Judge>, String> {
        Err("this program was built without an expression language".to_owned())
    }
}

/// One custom rule in force, and how it has done.
#[derive(Debug, Clone)]
pub(crate) struct Custom {
    /// As the policy has it.
    pub(crate) rule: CustomRule,
    /// Its condition; null when it does not compile.
    pub(crate) judge: Option<Arc<dyn Judge>>,
    /// Why it cannot be evaluated; null when it can.
    pub(crate) broken: Option<String>,
    /// How often it was evaluated.
    pub(crate) evaluations: u64,
    /// How often it began to hold for long enough.
    pub(crate) spoke: u64,
    /// When and on what it did so last.
    pub(crate) last: Option<(Timestamp, TargetRef)>,
}

/// Compiles the rules of a policy.
pub(crate) fn compile(policy: &FleetPolicy, compiler: &dyn Compiler) -> Vec<Custom> {
    let one = |rule: &CustomRule| {
        let (judge, broken) = match compiler.compile(&rule.when) {
            Ok(judge) => (Some(judge), None),
            Err(why) => (None, Some(why)),
        };
        Custom { rule: rule.clone(), judge, broken, evaluations: 0, spoke: 0, last: None }
    };
    policy.custom.iter().map(one).collect()
}
