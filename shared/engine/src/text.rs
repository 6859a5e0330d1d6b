//! Small texts for people.

use std::time::Duration;

/// A span as a person reads it: `350 ms`, `1.5 s`, `5 min`, `3 h`.
pub(crate) fn span(span: Duration) -> String {
    let millis = span.as_millis();
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    let secs = span.as_secs();
    match secs {
        0..60 if millis.is_multiple_of(1_000) => format!("{secs} s"),
        0..60 => format!("{secs}.{} s", (millis % 1_000) / 100),
        60..3_600 if secs.is_multiple_of(60) => format!("{} min", secs / 60),
        60..3_600 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3_600, (secs % 3_600) / 60),
    }
}

/// Seconds of which only the size matters: `40 s`, `25 min`, `3 h`.
pub(crate) fn about(secs: f64) -> String {
    match secs {
        _ if secs < 60.0 => format!("{secs:.0} s"),
        _ if secs < 5_400.0 => format!("{:.0} min", secs / 60.0),
        _ => format!("{:.0} h", secs / 3_600.0),
    }
}

/// Bytes as a person reads them.
pub(crate) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}
