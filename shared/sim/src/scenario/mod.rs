//! What may go wrong in a simulated fleet, as data: kinds of fault, each made of documented primitives.
//!
//! A scenario file is TOML and read strictly. The shipped one, `catalogue.toml`, is embedded and documents the format; a
//! file of one's own may replace or extend it, so that an engine can be measured on faults that its authors never saw.

mod check;
pub(crate) mod primitive;

use std::time::Duration;

use prunella_model::step::StepKind;
use prunella_model::{CauseName, RepairName};
use prunella_settings::{Located, Source, Spanned};
use serde::{Deserialize, Serialize};

pub use primitive::{Metric, Primitive};

/// The shipped catalogue.
pub const CATALOGUE: &str = include_str!("catalogue.toml");

/// What errors call the shipped catalogue.
const SHIPPED: &str = "catalogue.toml";

/// A span of time, as text: `"90ms"`, `"8s"`, `"2h"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Span(#[serde(with = "prunella_model::time::span")] pub Duration);

/// A span, or two between which one is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Range {
    /// Always this long.
    Always(Span),
    /// At least and at most.
    Between([Span; 2]),
}

impl Range {
    /// The shortest and the longest.
    #[must_use]
    pub const fn bounds(self) -> (Duration, Duration) {
        match self {
            Self::Always(Span(it)) => (it, it),
            Self::Between([Span(least), Span(most)]) => (least, most),
        }
    }
}

/// What a target is to its stack of four hosts: one has a database and a cache, three have an application and a website.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Every application of the stack needs it.
    Db,
    /// Nothing needs it.
    Cache,
    /// A member of the stack's service; needs the database.
    Api,
    /// Needs the application of its own host, or any of the stack's.
    Web,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 4] = [Self::Db, Self::Cache, Self::Api, Self::Web];
}

/// How many places a fault begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// One target.
    #[default]
    One,
    /// A share of the targets of the same role in the stack.
    Stack,
    /// A share of the targets of the same role on the hosts with the same `rack` label.
    Rack,
    /// A share of the targets of the same role in the fleet.
    Fleet,
}

/// Where a primitive works, seen from the target that the fault begins at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Where {
    /// On that target.
    #[default]
    Itself,
    /// On its host.
    Host,
    /// On every target of its host, itself included.
    Neighbours,
    /// On every target that needs it directly.
    Dependents,
    /// On the first target that needs it directly.
    Dependent,
    /// On everything that it needs directly.
    Needs,
}

/// What the engine should make of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// An incident; without one the fault was missed.
    Incident,
    /// Nothing: an incident would be a false one.
    Quiet,
    /// An incident is neither wanted nor wrong.
    Either,
}

/// One primitive of a kind: what happens, where, when and until when.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Effect {
    /// What happens.
    #[serde(rename = "do")]
    pub primitive: Primitive,
    /// Where.
    #[serde(default, rename = "on")]
    pub place: Where,
    /// How long after the beginning of the fault.
    #[serde(default)]
    pub after: Span,
    /// How long until it goes away by itself; without it, it stays until it is ended.
    pub lasts: Option<Range>,
    /// The kinds of step that end it; without it, those that end such a primitive in the real world.
    pub ends_with: Option<Vec<StepKind>>,
    /// Whether ending it ends the whole fault.
    #[serde(default)]
    pub ends_all: bool,
    /// Whether it begins even if everything that began before it is over.
    #[serde(default)]
    pub regardless: bool,
}

/// A kind of fault, or of trouble that is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// What happens, in a sentence.
    pub about: String,
    /// Words to group kinds by.
    pub tags: Vec<String>,
    /// How often it is drawn, against the other kinds.
    pub weight: f64,
    /// The roles of the targets that it begins at.
    pub on: Vec<Role>,
    /// How many targets it begins at.
    pub spread: Spread,
    /// The share of those that it may begin at, from above 0 to 1.
    pub share: f64,
    /// Whether it is no fault at all: the right action is none.
    pub control: bool,
    /// What the engine should make of it.
    pub expect: Expect,
    /// The causes that are right, by the engine's names.
    pub causes: Vec<CauseName>,
    /// The repairs that are right, any of them; none when only a person can help.
    pub cures: Vec<RepairName>,
    /// How long it may take until an incident is open.
    pub patience: Duration,
    /// What happens.
    pub does: Vec<Effect>,
}

/// A measured quantity of every target, or of every host.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gauge {
    /// Its name as agents send it.
    pub name: prunella_model::MetricName,
    /// Whether hosts have it instead of targets.
    #[serde(default)]
    pub host: bool,
    /// Its value while nothing is wrong.
    pub rest: f64,
    /// How far it strays from that, up and down.
    #[serde(default)]
    pub noise: f64,
    /// The value from which on a system that knows only thresholds acts; used by the baselines alone.
    pub limit: Option<f64>,
}

/// Everything that may go wrong.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Scenario {
    /// What is measured beside the probes' verdicts.
    pub gauges: Vec<Gauge>,
    /// The kinds.
    pub kinds: Vec<Kind>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Whether the shipped catalogue's kinds stay; a kind of the same name is replaced.
    #[serde(default)]
    extends: bool,
    #[serde(default)]
    gauge: Vec<Spanned<Gauge>>,
    #[serde(default)]
    kind: Vec<RawKind>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawKind {
    name: Spanned<String>,
    about: String,
    #[serde(default)]
    tags: Vec<String>,
    weight: Option<Spanned<f64>>,
    on: Option<Spanned<Vec<Role>>>,
    #[serde(default)]
    spread: Spread,
    share: Option<Spanned<f64>>,
    #[serde(default)]
    control: bool,
    expect: Option<Expect>,
    #[serde(default)]
    causes: Vec<CauseName>,
    cures: Option<Spanned<Vec<RepairName>>>,
    patience: Option<Span>,
    does: Spanned<Vec<Spanned<Effect>>>,
}

impl Scenario {
    /// The shipped catalogue. A test reads it, so that it is never empty.
    #[must_use]
    pub fn shipped() -> Self {
        Self::read_alone(SHIPPED, CATALOGUE).map(|(it, _)| it).unwrap_or_default()
    }

    /// Reads a scenario file. With `extends = true` in it, its kinds and gauges are added to the shipped ones.
    ///
    /// # Errors
    /// [`Located`] at the first place that is wrong.
    pub fn read(file: &str, text: &str) -> Result<Self, Located> {
        let (own, extends) = Self::read_alone(file, text)?;
        let mut all = Self::shipped();
        if !extends {
            // Its primitives may speak of shipped gauges without declaring them again.
            all.kinds.clear();
        }
        all.gauges.retain(|it| !own.gauges.iter().any(|other| other.name == it.name && other.host == it.host));
        all.kinds.retain(|it| !own.kinds.iter().any(|other| other.name == it.name));
        all.gauges.extend(own.gauges);
        all.kinds.extend(own.kinds);
        Ok(all)
    }

    fn read_alone(name: &str, text: &str) -> Result<(Self, bool), Located> {
        let source = Source::new(name, text);
        let file: File = source.read()?;
        let shipped = if name == SHIPPED { Vec::new() } else { Self::shipped().gauges };
        let mut scenario = Self::default();
        for gauge in file.gauge {
            check::gauge(&source, &gauge, &scenario.gauges)?;
            scenario.gauges.push(gauge.into_inner());
        }
        for raw in file.kind {
            let kind = check::kind(&source, raw, [&scenario.gauges, &shipped], &scenario.kinds)?;
            scenario.kinds.push(kind);
        }
        Ok((scenario, file.extends))
    }

    /// Only the kinds of these names.
    ///
    /// # Errors
    /// The first name that no kind has, with the nearest that one has.
    pub fn only(mut self, names: &[String]) -> Result<Self, String> {
        let known: Vec<&str> = self.kinds.iter().map(|it| it.name.as_str()).collect();
        for name in names {
            if !known.contains(&name.as_str()) {
                let near = prunella_settings::nearest(name, &known);
                let advice =
                    near.map_or_else(|| format!("known: {}", known.join(", ")), |it| format!("did you mean {it}?"));
                return Err(format!("no kind is called {name:?}; {advice}"));
            }
        }
        self.kinds.retain(|it| names.contains(&it.name));
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
