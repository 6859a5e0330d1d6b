//! `prunella audit`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use prunella_proto::control::v1 as pb;
use serde::Serialize;

use super::{now, pages, show};
use crate::client::{Client, Connection, Failure, run};
use crate::names::short;
use crate::output::{self, Paint, Rows, Time, Tone, clean, count};
use crate::{Common, EXIT_FAILURE};

const HELP: &str = help!(
    "\
Examples:
  prunella --dir ./fleet audit verify
  prunella --dir ./fleet audit list --limit 50"
);

const VERIFY_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet audit verify && echo nobody has touched it

JSON: {intact, entries, head, findings}. Exit code 1 when the log is not intact."
);

const LIST_HELP: &str = help!(
    "\
Example:
  prunella --dir ./fleet audit list --limit 50 -o json

JSON: {\"entries\": [{sequence, time, actor, action, subject, incident, detail}]}, newest first."
);

/// Arguments of `prunella audit`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct AuditArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Check that no entry was changed, added or removed.
    Verify(VerifyArgs),
    /// Who did what to whom and why, newest first.
    List(ListArgs),
}

#[derive(Debug, Args)]
#[command(after_help = VERIFY_HELP)]
struct VerifyArgs {
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = LIST_HELP)]
struct ListArgs {
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Serialize)]
struct Verified {
    intact: bool,
    entries: u64,
    head: String,
    findings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Listed {
    entries: Vec<EntryView>,
}

#[derive(Debug, Serialize)]
struct EntryView {
    sequence: u64,
    time: Time,
    actor: String,
    action: String,
    subject: String,
    incident: Option<String>,
    detail: String,
}

impl AuditArgs {
    /// Checks or lists the audit log.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async {
            match self.verb {
                Verb::Verify(args) => args.verify(common).await,
                Verb::List(args) => args.list(common).await,
            }
        })
    }
}

impl VerifyArgs {
    async fn verify(self, common: &Common) -> Result<ExitCode, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let it = client.admin().verify_audit(pb::VerifyAuditRequest {}).await?.into_inner();
        let view = Verified { intact: it.intact, entries: it.entries, head: it.head, findings: it.findings };
        show(common, &view, |paint| verdict(&view, paint))?;
        Ok(if view.intact { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILURE) })
    }
}

fn verdict(it: &Verified, paint: Paint) -> String {
    let entries = count(it.entries, "entry", "entries");
    if it.intact {
        let word = paint.tone(Tone::Good, "intact");
        return format!(
            "The audit log is {word}: {entries}, the last with SHA-256 {}.\n",
            output::optional(Some(&it.head))
        );
    }
    let findings: String = it.findings.iter().map(|it| format!("  {}\n", clean(it))).collect();
    let word = paint.tone(Tone::Bad, "NOT intact");
    format!(
        "The audit log is {word} ({entries} read):\n{findings}Keep a copy of the directory before anything else is done.\n"
    )
}

impl ListArgs {
    async fn list(self, common: &Common) -> Result<ExitCode, Failure> {
        let client = Client::connect(common, &self.connection).await?;
        let found = pages::all(self.limit, |page_token| {
            let mut service = client.admin();
            async move {
                let request = pb::ListAuditEntriesRequest { page_size: pages::PAGE, page_token };
                let page = service.list_audit_entries(request).await?.into_inner();
                Ok((page.entries, page.next_page_token))
            }
        })
        .await?;
        let view = Listed { entries: found.into_iter().map(EntryView::of).collect() };
        show(common, &view, |paint| table(&view, now(), paint))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl EntryView {
    fn of(it: pb::AuditEntry) -> Self {
        Self {
            sequence: it.sequence,
            time: it.time.into(),
            actor: it.actor,
            action: it.action,
            subject: it.subject,
            incident: it.incident.as_deref().map(short),
            detail: it.detail,
        }
    }
}

fn table(view: &Listed, now: Time, paint: Paint) -> String {
    if view.entries.is_empty() {
        return "The audit log is empty.\n".to_owned();
    }
    let mut rows = Rows::new(&["NO", "TIME (UTC)", "WHO", "WHAT", "TO WHOM", "INCIDENT", "WHY"]);
    for it in &view.entries {
        rows.push(
            Tone::Plain,
            [
                it.sequence.to_string(),
                it.time.clock(now),
                it.actor.clone(),
                it.action.clone(),
                short(&it.subject),
                output::optional(it.incident.as_deref()),
                output::optional(Some(&it.detail)),
            ],
        );
    }
    rows.print(paint)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::super::sample;
    use super::*;

    #[test]
    fn a_broken_chain_says_where_and_what_to_do() {
        let findings = vec!["entry 12: its hash is not that of its text".to_owned()];
        let it = Verified { intact: false, entries: 40, head: String::new(), findings };
        expect![[r#"
            The audit log is NOT intact (40 entries read):
              entry 12: its hash is not that of its text
            Keep a copy of the directory before anything else is done.
        "#]]
        .assert_eq(&verdict(&it, Paint(false)));
        let it = Verified { intact: true, entries: 1, head: "ab12".to_owned(), findings: Vec::new() };
        expect![[r#"
            The audit log is intact: 1 entry, the last with SHA-256 ab12.
        "#]]
        .assert_eq(&verdict(&it, Paint(false)));
    }

    #[test]
    fn entries_are_one_line_each() {
        let view = Listed { entries: sample::audit().into_iter().map(EntryView::of).collect() };
        expect![[r#"
            NO  TIME (UTC)    WHO             WHAT    TO WHOM  INCIDENT  WHY
            7   11:59:30.001  operator/admin  paused  h1/web   —         debugging
        "#]]
        .assert_eq(&table(&view, sample::now(), Paint(false)));
    }
}
