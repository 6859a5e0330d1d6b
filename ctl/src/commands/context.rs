//! `prunella context`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::show;
use crate::Common;
use crate::client::{Connection, Failure, run};
use crate::context::{self, Context, Contexts};
use crate::output::{self, ABSENT, Paint, Rows, Tone};

const HELP: &str = help!(
    "\
Examples:
  prunella context set prod --server cp.example:7443 --ca ca.pem --token TOKEN
  prunella --dir ./fleet context set lab
  prunella context use prod
  prunella --context lab status

Kept in ~/.config/prunella/contexts.toml ($XDG_CONFIG_HOME), for you alone. --dir goes before every context; other flags go
before what the context says; --context, or PRUNELLA_CONTEXT, goes before the one that is in use."
);
const LIST_HELP: &str = help!(
    "Example:\n  prunella context list\n\nJSON: {current, contexts: [{name, current, dir, server, ca, cert, key, token, fleet}]};\ntoken says whether there is one."
);
const USE_HELP: &str = help!("Example:\n  prunella context use prod");
const SET_HELP: &str = help!(
    "Examples:\n  prunella context set prod --server cp.example:7443 --ca ca.pem --token TOKEN\n  prunella --dir ./fleet context set lab\n\nTakes the place of an earlier one of that name. The first one is in use at once."
);
const REMOVE_HELP: &str = help!("Example:\n  prunella context remove lab");
const SHOW_HELP: &str =
    help!("Examples:\n  prunella context show          the one in use\n  prunella context show prod");

/// Arguments of `prunella context`.
#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub struct ContextArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// All of them.
    #[command(after_help = LIST_HELP)]
    List,
    /// Use one from now on.
    #[command(after_help = USE_HELP)]
    Use {
        /// Its name.
        name: String,
    },
    /// Keep a fleet under a name.
    #[command(after_help = SET_HELP)]
    Set {
        /// Its name.
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Forget one.
    #[command(after_help = REMOVE_HELP)]
    Remove {
        /// Its name.
        name: String,
    },
    /// One of them.
    #[command(after_help = SHOW_HELP)]
    Show {
        /// Its name; without it, the one in use.
        name: Option<String>,
    },
}

#[derive(Debug, Serialize)]
struct View {
    current: Option<String>,
    contexts: Vec<ContextView>,
}

#[derive(Debug, Serialize)]
struct ContextView {
    name: String,
    current: bool,
    dir: Option<PathBuf>,
    server: Option<String>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    /// Whether there is one; what it is stays in the file.
    token: bool,
    fleet: Option<String>,
}

impl View {
    fn of(all: &Contexts, only: Option<&str>) -> Self {
        let view = |(name, it): (&String, &Context)| ContextView {
            name: name.clone(),
            current: all.current.as_ref() == Some(name),
            dir: it.dir.clone(),
            server: it.server.clone(),
            ca: it.ca.clone(),
            cert: it.cert.clone(),
            key: it.key.clone(),
            token: it.token.is_some(),
            fleet: it.fleet.as_ref().map(ToString::to_string),
        };
        let wanted = all.context.iter().filter(|(name, _)| only.is_none_or(|only| only == name.as_str()));
        Self { current: all.current.clone(), contexts: wanted.map(view).collect() }
    }
}

impl ContextArgs {
    /// Lists, chooses or changes contexts.
    ///
    /// # Errors
    /// When the system cannot run it; everything else is an exit code.
    pub fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        run(async { self.ask(common) })
    }

    fn ask(self, common: &Common) -> Result<ExitCode, Failure> {
        let file = context::file().context("neither HOME nor XDG_CONFIG_HOME says where contexts are kept")?;
        let mut all = Contexts::read(&file)?;
        let view = match self.verb {
            Verb::List => View::of(&all, None),
            Verb::Show { name } => {
                let current = || all.current.clone().or_else(|| common.context.clone());
                let none =
                    || Failure::NotFound("no context is in use; `prunella context use NAME` chooses one".to_owned());
                let name = name.or_else(current).ok_or_else(none)?;
                all.named(&name)?;
                View::of(&all, Some(&name))
            }
            Verb::Use { name } => {
                all.named(&name)?;
                all.current = Some(name.clone());
                all.write(&file)?;
                View::of(&all, Some(&name))
            }
            Verb::Remove { name } => {
                all.named(&name)?;
                all.context.remove(&name);
                all.current = all.current.filter(|it| *it != name);
                all.write(&file)?;
                View::of(&all, None)
            }
            Verb::Set { name, connection } => {
                let it = Context::of(common, &connection)?;
                if it.dir.is_none() && it.server.is_none() {
                    let why = "where is the fleet? Give --dir DIR, or --server HOST:PORT and --ca FILE";
                    return Err(Failure::Usage(why.to_owned()));
                }
                all.context.insert(name.clone(), it);
                all.current.get_or_insert_with(|| name.clone());
                all.write(&file)?;
                View::of(&all, Some(&name))
            }
        };
        show(common, &view, |paint| table(&view, paint))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn table(view: &View, paint: Paint) -> String {
    if view.contexts.is_empty() {
        return "No context is kept. `prunella context set NAME` keeps one.\n".to_owned();
    }
    let mut rows = Rows::new(&["", "NAME", "WHERE", "AS"]);
    for it in &view.contexts {
        let dir = it.dir.as_ref().map(|it| it.display().to_string());
        let who = match (it.token, &it.cert, &it.dir) {
            (true, _, _) => "a token".to_owned(),
            (false, Some(cert), _) => cert.display().to_string(),
            (false, None, Some(_)) => "the fleet's admin".to_owned(),
            (false, None, None) => ABSENT.to_owned(),
        };
        let place = output::optional(it.server.as_deref().or(dir.as_deref()));
        let mark = if it.current { "*" } else { "" };
        let tone = if it.current { Tone::Good } else { Tone::Plain };
        rows.push(tone, [mark.to_owned(), it.name.clone(), place, who]);
    }
    rows.print(paint)
}
