//! The end of the demonstration: one table for people, one JSON document for programs.

use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;

use super::judge::Finding;

/// Stands for a value that does not exist.
const ABSENT: &str = "—";

/// Everything that the demonstration found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether every fault ended as it should, in the injector's own judgement.
    pub ok: bool,
    /// One for each scenario.
    pub faults: Vec<Finding>,
}

impl Report {
    /// Sums up.
    #[must_use]
    pub fn new(faults: Vec<Finding>) -> Self {
        Self { ok: faults.iter().all(|it| it.wrong.is_empty()), faults }
    }

    /// As a table.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header([
            "fault",
            "target",
            "detected",
            "cause found",
            "repair",
            "repaired",
            "verified",
            "left alone",
            "as it should",
        ]);
        for it in &self.faults {
            let attempts =
                it.attempts.filter(|count| *count > 1).map_or(String::new(), |it| format!(" (attempt {it})"));
            table.add_row([
                Cell::new(it.scenario),
                Cell::new(&it.target),
                Cell::new(time(it.detected_ms)),
                Cell::new(text(it.cause.as_deref())),
                Cell::new(format!("{}{attempts}", text(it.repair.as_deref()))),
                Cell::new(time(it.repaired_ms)),
                Cell::new(text(it.verdict.as_deref())),
                Cell::new(if it.left_alone.is_empty() { ABSENT.to_owned() } else { it.left_alone.join(", ") }),
                Cell::new(if it.wrong.is_empty() { "yes" } else { "NO" }),
            ]);
        }
        table.to_string()
    }
}

fn text(value: Option<&str>) -> &str {
    value.unwrap_or(ABSENT)
}

fn time(ms: Option<f64>) -> String {
    match ms {
        None => ABSENT.to_owned(),
        Some(ms) if ms < 1_000.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{:.2} s", ms / 1_000.0),
    }
}
