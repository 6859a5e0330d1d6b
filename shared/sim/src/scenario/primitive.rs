//! What can happen to a target or a host: a closed set of primitives, of which kinds are composed.

use prunella_model::MetricName;
use prunella_model::step::StepKind;
use serde::{Deserialize, Serialize};

use super::{Span, Where};

/// A primitive. On a host only [`Primitive::Metric`], [`Primitive::Cut`], [`Primitive::Silence`] and [`Primitive::Clock`]
/// work, on targets all others and [`Primitive::Metric`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Primitive {
    /// The process ends by itself (`code`) or is ended (`signal`). With `again`, every new run ends that long after it
    /// began.
    End(End),
    /// Its administrator stops the process on purpose; it is started again when this goes away.
    Stop,
    /// The process lives and gives no answer.
    Hang,
    /// The process gives no answer, for it waits for another place on which the same fault has this too, and that one for
    /// the next, in a circle. Its agent says who waits for whom.
    Lock(Lock),
    /// The process answers wrongly.
    Answer(Answer),
    /// The process takes that long to answer; from the probe's time-out of a second on that is no answer.
    Slow(Slow),
    /// The configuration file differs from its known-good content. Nothing more: what follows is said by others.
    Corrupt,
    /// The directory fills up to `to_percent` of its quota, at once or at a rate.
    Fill(Fill),
    /// A measured quantity changes.
    Metric(Metric),
    /// A label of the target changes.
    Label(Label),
    /// Its administrator declares that it needs others, whether it does or not; no more when this goes away.
    Declare(Declare),
    /// Steps of these kinds fail, whatever they mean to do.
    Jam(Jam),
    /// Nothing gets through between the host's agent and the server.
    Cut,
    /// The host's agent says nothing and does nothing, with its stream open.
    Silence,
    /// The host's clock is off by this much.
    Clock(Clock),
}

/// See [`Primitive::End`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// The exit code.
    pub code: Option<i32>,
    /// The signal.
    pub signal: Option<i32>,
    /// How long every new run lasts.
    pub again: Option<Span>,
}

/// See [`Primitive::Lock`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// What is waited for, in a few words.
    pub what: String,
}

/// See [`Primitive::Declare`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Declare {
    /// Which targets, seen from the one that declares.
    pub needs: Where,
}

/// See [`Primitive::Answer`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// What is wrong with it, in a few words.
    pub why: String,
}

/// See [`Primitive::Slow`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// The time to answer.
    pub to: Span,
}

/// See [`Primitive::Fill`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// Up to this share of the quota.
    pub to_percent: u8,
    /// How fast, in percentage points an hour; without it at once.
    pub per_hour: Option<f64>,
}

/// See [`Primitive::Metric`]. The changes add up, in the order of the fields.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The quantity: the name of a gauge.
    pub name: MetricName,
    /// It jumps to this value.
    pub to: Option<f64>,
    /// It moves by this much.
    #[serde(default)]
    pub by: f64,
    /// It moves by this much in every hour.
    #[serde(default)]
    pub per_hour: f64,
    /// It strays this far up and down beside its usual noise.
    #[serde(default)]
    pub noise: f64,
}

/// See [`Primitive::Label`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The label.
    pub key: String,
    /// Its new value.
    pub value: String,
}

/// See [`Primitive::Jam`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Jam {
    /// The kinds of step that fail.
    pub steps: Vec<StepKind>,
}

/// See [`Primitive::Clock`].
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Clock {
    /// Ahead of the true time.
    pub ahead: Span,
}

impl Primitive {
    /// Whether it can work there.
    pub(super) const fn fits(&self, place: Where) -> bool {
        let host = matches!(place, Where::Host);
        match self {
            Self::Metric(_) => true,
            Self::Cut | Self::Silence | Self::Clock(_) => host,
            Self::End(_)
            | Self::Stop
            | Self::Hang
            | Self::Lock(_)
            | Self::Answer(_)
            | Self::Slow(_)
            | Self::Corrupt
            | Self::Fill(_)
            | Self::Label(_)
            | Self::Declare(_)
            | Self::Jam(_) => !host,
        }
    }

    /// The kinds of step that end it where nothing else is said.
    pub(crate) const fn ends_with(&self) -> &'static [StepKind] {
        match self {
            Self::End(End { again: None, .. }) => &[StepKind::StartService, StepKind::RestartService],
            Self::Hang | Self::Lock(_) | Self::Answer(_) | Self::Slow(_) | Self::Metric(_) => {
                &[StepKind::RestartService]
            }
            Self::Corrupt => &[StepKind::RestoreFile],
            Self::Fill(_) => &[StepKind::CleanDirectory],
            Self::End(End { again: Some(_), .. })
            | Self::Stop
            | Self::Label(_)
            | Self::Declare(_)
            | Self::Jam(_)
            | Self::Cut
            | Self::Silence
            | Self::Clock(_) => &[],
        }
    }

    /// Whether a target that it works on is broken, whatever the kind is meant to be.
    pub(crate) fn breaks(&self) -> bool {
        match self {
            Self::End(_) | Self::Hang | Self::Lock(_) | Self::Answer(_) | Self::Corrupt | Self::Fill(_) => true,
            Self::Slow(slow) => slow.to.0 >= crate::truth::TIMEOUT,
            Self::Stop
            | Self::Metric(_)
            | Self::Label(_)
            | Self::Declare(_)
            | Self::Jam(_)
            | Self::Cut
            | Self::Silence
            | Self::Clock(_) => false,
        }
    }
}
