//! Observations, findings and frames.

use prunella_model::TargetRef;
use prunella_model::observation::{Finding, Frame, Observation, Sample, SeriesName, Wait};

use super::command::instance;
use super::error::{WireError, Wrong};
use super::field::{cut, digest, list, name, nested, optional_digest, prose, required};
use super::limits::{OBSERVATIONS_MAX, SAMPLES_MAX, SERIES_MAX, WAITS_MAX};
use super::step::{encode_level, encode_probe_kind, encode_status, level, probe_kind, status};
use super::time::{encode_span, encode_time, optional_span, span, time};
use crate::agent::v1 as pb;

/// A frame as it travels. Measurements that are not finite are left out: what could not be read is not sent.
pub(super) fn encode_frame(it: &Frame) -> pb::Frame {
    let samples = || it.samples.iter().filter(|sample| sample.value.is_finite());
    pb::Frame {
        time: Some(encode_time(it.at)),
        series: it.series.iter().map(encode_series).collect(),
        sample_series: samples().map(|sample| sample.series).collect(),
        sample_values: samples().map(|sample| sample.value).collect(),
        observations: it.observations.iter().map(encode_observation).collect(),
        late: it.late,
        waits: it.waits.as_ref().map(|waits| pb::Waits { waits: waits.iter().map(encode_wait).collect() }),
    }
}

/// Reads a frame.
pub(super) fn frame(it: pb::Frame) -> Result<Frame, WireError> {
    Ok(Frame {
        at: time("time", it.time)?,
        series: list("series", SERIES_MAX, it.series, series)?,
        samples: samples(it.sample_series, it.sample_values)?,
        observations: list("observations", OBSERVATIONS_MAX, it.observations, observation)?,
        late: it.late,
        waits: it.waits.map(|it| list("waits", WAITS_MAX, it.waits, wait)).transpose()?,
    })
}

fn encode_wait(it: &Wait) -> pb::Wait {
    pb::Wait {
        waiter: it.waiter.as_str().to_owned(),
        host: it.on.host.as_str().to_owned(),
        target: it.on.target.as_str().to_owned(),
        what: cut(&it.what),
    }
}

fn wait(it: pb::Wait) -> Result<Wait, WireError> {
    Ok(Wait {
        waiter: name("waiter", &it.waiter)?,
        on: TargetRef::new(name("host", &it.host)?, name("target", &it.target)?),
        what: prose("what", it.what)?,
    })
}

fn samples(series: Vec<u32>, values: Vec<f64>) -> Result<Vec<Sample>, WireError> {
    if values.len() != series.len() {
        let wrong = Wrong::Uneven { found: values.len(), other: "sample_series", expected: series.len() };
        return Err(wrong.in_field("sample_values"));
    }
    list("sample_values", SAMPLES_MAX, series.into_iter().zip(values).collect(), |(series, value)| {
        if value.is_finite() { Ok(Sample { series, value }) } else { Err(Wrong::NotFinite.in_field("")) }
    })
}

/// A series' name as it travels.
pub(super) fn encode_series(it: &SeriesName) -> pb::Series {
    pb::Series { number: it.number, target: it.target.as_str().to_owned(), metric: it.metric.as_str().to_owned() }
}

/// Reads a series' name.
pub(super) fn series(it: pb::Series) -> Result<SeriesName, WireError> {
    Ok(SeriesName { number: it.number, target: name("target", &it.target)?, metric: name("metric", &it.metric)? })
}

/// An observation as it travels.
pub(super) fn encode_observation(it: &Observation) -> pb::Observation {
    pb::Observation {
        target: it.target.as_str().to_owned(),
        probe: it.probe.as_str().to_owned(),
        kind: encode_probe_kind(it.kind),
        time: Some(encode_time(it.at)),
        status: encode_status(it.status),
        finding: Some(encode_finding(&it.finding)),
    }
}

/// Reads an observation.
pub(super) fn observation(it: pb::Observation) -> Result<Observation, WireError> {
    Ok(Observation {
        target: name("target", &it.target)?,
        probe: name("probe", &it.probe)?,
        kind: probe_kind("kind", it.kind)?,
        at: time("time", it.time)?,
        status: status("status", it.status)?,
        finding: nested("finding", it.finding, finding)?,
    })
}

fn encode_finding(it: &Finding) -> pb::Finding {
    use pb::finding as wire;
    use pb::finding::Finding as Wire;
    let finding = match it {
        Finding::Running { instance, pid } => {
            Wire::Running(wire::Running { instance: instance.0.as_ref().to_owned(), pid: *pid })
        }
        Finding::Exited { instance, code, signal, ran } => Wire::Exited(wire::Exited {
            instance: instance.0.as_ref().to_owned(),
            code: *code,
            signal: *signal,
            ran: ran.map(encode_span),
        }),
        Finding::NotRunning => Wire::NotRunning(wire::NotRunning {}),
        Finding::StoppedOnPurpose => Wire::StoppedOnPurpose(wire::StoppedOnPurpose {}),
        Finding::Answered { latency } => Wire::Answered(wire::Answered { latency: Some(encode_span(*latency)) }),
        Finding::BadAnswer { code, why } => {
            Wire::BadAnswer(wire::BadAnswer { code: code.map(u32::from), why: cut(why) })
        }
        Finding::NoAnswer { waited } => Wire::NoAnswer(wire::NoAnswer { waited: Some(encode_span(*waited)) }),
        Finding::Unreachable { why } => Wire::Unreachable(wire::Unreachable { why: cut(why) }),
        Finding::FileAsKnown { sha256 } => Wire::FileAsKnown(wire::FileAsKnown { sha256: sha256.0.to_vec() }),
        Finding::FileChanged { sha256, known_good } => Wire::FileChanged(wire::FileChanged {
            sha256: sha256.map(|it| it.0.to_vec()),
            known_good: known_good.map(|it| it.0.to_vec()),
        }),
        Finding::DirectoryUse { used_bytes, quota_bytes } => {
            Wire::DirectoryUse(wire::DirectoryUse { used_bytes: *used_bytes, quota_bytes: *quota_bytes })
        }
        Finding::LinesMatched { count, last } => {
            Wire::LinesMatched(wire::LinesMatched { count: *count, last: cut(last) })
        }
        Finding::HostRead => Wire::HostRead(wire::HostRead {}),
        Finding::Checked { level, text } => {
            Wire::Checked(wire::Checked { level: encode_level(*level), text: cut(text) })
        }
        Finding::ProbeBroken { why } => Wire::ProbeBroken(wire::ProbeBroken { why: cut(why) }),
    };
    pb::Finding { finding: Some(finding) }
}

fn finding(it: pb::Finding) -> Result<Finding, WireError> {
    use pb::finding as wire;
    use pb::finding::Finding as Wire;
    Ok(match required("finding", it.finding)? {
        Wire::Running(it) => Finding::Running { instance: instance("running.instance", it.instance)?, pid: it.pid },
        Wire::Exited(it) => Finding::Exited {
            instance: instance("exited.instance", it.instance)?,
            code: it.code,
            signal: it.signal,
            ran: optional_span("exited.ran", it.ran)?,
        },
        Wire::NotRunning(wire::NotRunning {}) => Finding::NotRunning,
        Wire::StoppedOnPurpose(wire::StoppedOnPurpose {}) => Finding::StoppedOnPurpose,
        Wire::Answered(it) => Finding::Answered { latency: span("answered.latency", it.latency)? },
        Wire::BadAnswer(it) => {
            Finding::BadAnswer { code: it.code.map(http_status).transpose()?, why: prose("bad_answer.why", it.why)? }
        }
        Wire::NoAnswer(it) => Finding::NoAnswer { waited: span("no_answer.waited", it.waited)? },
        Wire::Unreachable(it) => Finding::Unreachable { why: prose("unreachable.why", it.why)? },
        Wire::FileAsKnown(it) => Finding::FileAsKnown { sha256: digest("file_as_known.sha256", &it.sha256)? },
        Wire::FileChanged(it) => Finding::FileChanged {
            sha256: optional_digest("file_changed.sha256", it.sha256.as_ref())?,
            known_good: optional_digest("file_changed.known_good", it.known_good.as_ref())?,
        },
        Wire::DirectoryUse(it) => Finding::DirectoryUse { used_bytes: it.used_bytes, quota_bytes: it.quota_bytes },
        Wire::LinesMatched(it) => {
            Finding::LinesMatched { count: it.count, last: prose("lines_matched.last", it.last)? }
        }
        Wire::HostRead(wire::HostRead {}) => Finding::HostRead,
        Wire::Checked(it) => {
            Finding::Checked { level: level("checked.level", it.level)?, text: prose("checked.text", it.text)? }
        }
        Wire::ProbeBroken(it) => Finding::ProbeBroken { why: prose("probe_broken.why", it.why)? },
    })
}

fn http_status(code: u32) -> Result<u16, WireError> {
    u16::try_from(code)
        .map_err(|_| Wrong::OutOfRange { found: i128::from(code), range: "0 to 65535" }.in_field("bad_answer.code"))
}
