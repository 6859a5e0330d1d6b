//! `prunella demo`: a real fleet on this machine, real faults, and an independent judge.
//!
//! The injector knows the truth and tells nobody. It times by the monotonic clock, asks the services as any client
//! would, and looks at the processes themselves; from the server it only reads what that believes, to compare.

pub mod judge;
pub mod records;
pub mod report;
pub mod scenario;
pub mod screen;
pub mod site;
pub mod stage;
pub mod witness;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;
use clap::Args;
use prunella_server::config::HttpListen;
use prunella_server::serve::signalled;

use crate::output::Format;
use crate::{Common, EXIT_FAILURE, EXIT_OK};
use report::Report;
use scenario::Scenario;
use screen::{Screen, Tone};
use stage::Stage;

const EXAMPLES: &str = "\
Examples:
  prunella demo                               all faults, then stay up until Ctrl-C
  prunella demo --once --json                 all faults, one JSON document, exit code 0 if all ended well
  prunella demo --scenario killed,upstream    only these
  prunella demo --no-faults --dir ./fleet     only start the fleet, in this directory

Exit codes: 0 every fault ended as it should, 1 one did not or the fleet did not start, 2 the command line is wrong.";

/// Arguments of `prunella demo`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DemoArgs {
    /// Exit by itself after the last fault.
    #[arg(long)]
    once: bool,
    /// Print one JSON document on stdout at the end; text for people goes to stderr. The same as `-o json`.
    #[arg(long)]
    json: bool,
    /// Only these faults, in this order.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FAULT")]
    scenario: Vec<Scenario>,
    /// Break nothing: only start the fleet.
    #[arg(long, conflicts_with = "scenario")]
    no_faults: bool,
    /// Where to serve JSON and the dashboard: ADDRESS:PORT, or off. A free port when the usual one is taken.
    #[arg(long, value_name = "ADDRESS", default_value_t)]
    http: HttpListen,
}

/// How the demonstration came to its end.
enum End {
    /// Every scenario was played.
    Played(Report),
    /// Somebody wanted it to end.
    Interrupted,
}

impl DemoArgs {
    /// Plays the demonstration.
    ///
    /// # Errors
    /// When the fleet does not start or does not become healthy.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let format = common.format(self.json);
        let screen = Rc::new(Screen::new(format.is_some()));
        let (dir, temporary) = match &common.dir {
            Some(dir) => (dir.clone(), false),
            None => (fresh_directory("prunella-demo")?, true),
        };
        let dir = std::path::absolute(&dir).with_context(|| format!("finding {}", dir.display()))?;
        let end = crate::block_on(async {
            let report = Rc::new(RefCell::new(None));
            let local = tokio::task::LocalSet::new();
            let play = local.run_until(self.play(&dir, &screen, format, Rc::clone(&report)));
            // Whichever way this ends, the fleet is dropped here, and with it every process.
            let played = tokio::select! {
                played = play => played,
                () = signalled() => Ok(()),
            };
            let report = report.borrow_mut().take();
            played.map(|()| report.map_or(End::Interrupted, End::Played))
        });
        stage::sweep(&dir, &screen);
        let good = matches!(&end, Ok(End::Played(report)) if report.ok);
        if temporary && good {
            // Ours from the first file to the last.
            let _ = std::fs::remove_dir_all(&dir);
        } else if temporary {
            screen.say(Tone::Plain, &format!("Logs and state are kept in {}", dir.display()));
        }
        match end? {
            End::Played(report) => Ok(ExitCode::from(if report.ok { EXIT_OK } else { EXIT_FAILURE })),
            End::Interrupted if self.no_faults => Ok(ExitCode::SUCCESS),
            End::Interrupted => {
                screen.say(Tone::Bad, "Interrupted before the last fault.");
                Ok(ExitCode::from(EXIT_FAILURE))
            }
        }
    }

    /// Plays until the end, or for ever without `--once`. The report is put down as soon as there is one.
    async fn play(
        &self,
        dir: &Path,
        screen: &Rc<Screen>,
        format: Option<Format>,
        report: Rc<RefCell<Option<Report>>>,
    ) -> anyhow::Result<()> {
        let mut stage = Stage::set(dir, self.http, screen).await?;
        let wanted = match (self.no_faults, self.scenario.is_empty()) {
            (true, _) => &[][..],
            (false, true) => &Scenario::ALL[..],
            (false, false) => &self.scenario[..],
        };
        let found = Report::new(stage.play(wanted).await?);
        if !wanted.is_empty() {
            screen.say(Tone::Plain, "");
            screen.say(Tone::Plain, &found.table());
            let (tone, verdict) = if found.ok {
                (Tone::Good, "Every fault ended as it should.")
            } else {
                (Tone::Bad, "Not every fault ended as it should; see above.")
            };
            screen.say(tone, verdict);
        }
        if let Some(format) = format {
            format.print(&found)?;
        }
        *report.borrow_mut() = Some(found);
        if self.once {
            return Ok(());
        }
        let look = dir.display();
        screen.say(Tone::Title, "\nThe fleet stays up until Ctrl-C. Look at it from another terminal:");
        for command in ["dashboard", "status", "incidents", "explain latest", "events --follow", "audit verify"] {
            screen.say(Tone::Plain, &format!("  prunella --dir {look} {command}"));
        }
        loop {
            stage.must_run()?;
            tokio::time::sleep(stage::LOOK_IDLE).await;
        }
    }
}

/// A new directory that nobody else can read or guess, among those for passing things.
pub(crate) fn fresh_directory(name: &str) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut bytes = [0_u8; 6];
    getrandom::fill(&mut bytes)?;
    let random: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let path = std::env::temp_dir().join(format!("{name}-{random}"));
    let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
    made.with_context(|| format!("making {}", path.display()))?;
    Ok(path)
}
