//! What a scenario file must keep to beyond its types, with the place of what does not.

use prunella_settings::{Located, Source, Spanned};

use super::{Effect, Expect, Gauge, Kind, Primitive, RawKind, Role, Where};
use std::time::Duration;

/// How long it may take until an incident is open where a kind does not say.
const PATIENCE: Duration = Duration::from_secs(900);

pub(super) fn gauge(source: &Source<'_>, it: &Spanned<Gauge>, before: &[Gauge]) -> Result<(), Located> {
    let gauge = it.get_ref();
    if before.iter().any(|other| other.name == gauge.name && other.host == gauge.host) {
        return Err(source.at(it.span(), format!("the gauge {} is declared twice", gauge.name)));
    }
    let numbers = [gauge.rest, gauge.noise, gauge.limit.unwrap_or(0.0)];
    if numbers.iter().any(|number| !number.is_finite()) || gauge.noise < 0.0 {
        let what = format!("the numbers of the gauge {} must be finite, and its noise not negative", gauge.name);
        return Err(source.at(it.span(), what));
    }
    Ok(())
}

pub(super) fn kind(
    source: &Source<'_>,
    raw: RawKind,
    gauges: [&Vec<Gauge>; 2],
    before: &[Kind],
) -> Result<Kind, Located> {
    let name = raw.name.get_ref();
    let word = !name.is_empty() && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    if !word {
        return Err(source.at(raw.name.span(), "the name of a kind is made of a-z, 0-9 and _"));
    }
    if before.iter().any(|other| other.name == *name) {
        return Err(source.at(raw.name.span(), format!("the kind {name} is declared twice")));
    }
    let weight = match &raw.weight {
        Some(it) if !it.get_ref().is_finite() || *it.get_ref() < 0.0 => {
            return Err(source.at(it.span(), "weight must be a number that is not negative"));
        }
        Some(it) => *it.get_ref(),
        None => 1.0,
    };
    let share = match &raw.share {
        Some(it) if !(*it.get_ref() > 0.0 && *it.get_ref() <= 1.0) => {
            return Err(source.at(it.span(), "share must be above 0 and at most 1"));
        }
        Some(it) => *it.get_ref(),
        None => 1.0,
    };
    let on = match &raw.on {
        Some(it) if it.get_ref().is_empty() => return Err(source.at(it.span(), "name at least one role")),
        Some(it) => it.get_ref().clone(),
        None => Role::ALL.to_vec(),
    };
    if let Some(cures) = raw.cures.as_ref().filter(|it| raw.control && !it.get_ref().is_empty()) {
        return Err(source.at(cures.span(), "nothing cures a control: the right action is none"));
    }
    if raw.does.get_ref().is_empty() {
        return Err(source.at(raw.does.span(), "name at least one primitive"));
    }
    for it in raw.does.get_ref() {
        effect(source, it, gauges)?;
    }
    Ok(Kind {
        name: name.clone(),
        about: raw.about,
        tags: raw.tags,
        weight,
        on,
        spread: raw.spread,
        share,
        control: raw.control,
        expect: raw.expect.unwrap_or(if raw.control { Expect::Quiet } else { Expect::Incident }),
        causes: raw.causes,
        cures: raw.cures.map(Spanned::into_inner).unwrap_or_default(),
        patience: raw.patience.map_or(PATIENCE, |it| it.0),
        does: raw.does.into_inner().into_iter().map(Spanned::into_inner).collect(),
    })
}

fn effect(source: &Source<'_>, it: &Spanned<Effect>, gauges: [&Vec<Gauge>; 2]) -> Result<(), Located> {
    let effect = it.get_ref();
    let wrong = |what: String| Err(source.at(it.span(), what));
    if !effect.primitive.fits(effect.place) {
        return wrong(
            "this primitive does not work there: cut, silence and clock work on = \"host\", the others on targets"
                .to_owned(),
        );
    }
    if let Some((least, most)) = effect.lasts.map(super::Range::bounds)
        && least > most
    {
        return wrong("lasts: the shorter time comes first".to_owned());
    }
    match &effect.primitive {
        Primitive::End(end) if end.code.is_some() == end.signal.is_some() => {
            wrong("end: give a code or a signal".to_owned())
        }
        Primitive::Stop if effect.lasts.is_none() => wrong("stop: say how long it lasts".to_owned()),
        Primitive::Fill(fill) if fill.to_percent > 100 => wrong("fill: to_percent is at most 100".to_owned()),
        Primitive::Fill(fill) if fill.per_hour.is_some_and(|it| !(it.is_finite() && it > 0.0)) => {
            wrong("fill: per_hour must be above 0".to_owned())
        }
        Primitive::Metric(metric) => {
            let host = effect.place == Where::Host;
            if !gauges.iter().any(|all| all.iter().any(|it| it.name == metric.name && it.host == host)) {
                let place = if host { "host" } else { "target" };
                return wrong(format!("no {place} has the gauge {}: declare it in a [[gauge]]", metric.name));
            }
            let numbers = [metric.to.unwrap_or(0.0), metric.by, metric.per_hour, metric.noise];
            if numbers.iter().all(|number| number.is_finite()) { Ok(()) } else { wrong("metric: no number".to_owned()) }
        }
        Primitive::Declare(declare) if matches!(declare.needs, Where::Itself | Where::Host) => {
            wrong("declare: a target needs other targets".to_owned())
        }
        Primitive::End(_)
        | Primitive::Stop
        | Primitive::Hang
        | Primitive::Lock(_)
        | Primitive::Declare(_)
        | Primitive::Answer(_)
        | Primitive::Slow(_)
        | Primitive::Corrupt
        | Primitive::Fill(_)
        | Primitive::Label(_)
        | Primitive::Jam(_)
        | Primitive::Cut
        | Primitive::Silence
        | Primitive::Clock(_) => Ok(()),
    }
}
