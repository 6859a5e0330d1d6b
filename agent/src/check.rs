//! What this agent could do on this host, and what it could not, before anything is started.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use prunella_model::TargetName;
use prunella_model::step::StepKind;
use rustix::fs::{Access, access};
use serde::Serialize;

use crate::config::{AgentConfig, ConfigError, ManagerConfig, TargetConfig};

/// How the halves of the agent are divided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Division {
    /// A process without privilege, and a helper that has it.
    Helper {
        /// The helper's socket.
        socket: String,
        /// Why it cannot be used from here; null when it can.
        trouble: Option<String>,
    },
    /// One process that is root: what takes it over has the host.
    WholeAsRoot,
    /// One process without privilege.
    WholeAsUser {
        /// The number of the user.
        user: u32,
    },
}

/// Something that agent.toml permits, and that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// The target.
    pub target: TargetName,
    /// The step.
    pub step: StepKind,
    /// Why.
    pub why: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Found {
    /// How the agent is divided.
    pub division: Division,
    /// How many steps on targets agent.toml permits.
    pub permitted: usize,
    /// Those of them that could not be carried out.
    pub lacks: Vec<Lack>,
}

impl Found {
    /// Whether everything that is permitted could be done.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let reached = !matches!(&self.division, Division::Helper { trouble: Some(_), .. });
        reached && self.lacks.is_empty()
    }

    /// As JSON, with a newline.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Names and texts always have a JSON form.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.division {
            Division::Helper { socket, trouble: None } => {
                writeln!(f, "two halves: the helper on {socket} has the privilege and no network")?;
            }
            Division::Helper { socket, trouble: Some(why) } => {
                writeln!(f, "two halves, but the helper on {socket} cannot be used from here: {why}")?;
            }
            Division::WholeAsRoot => writeln!(
                f,
                "one process with root's privilege and the network: name a helper in agent.toml to divide it (docs/privilege.md)"
            )?,
            Division::WholeAsUser { user } => writeln!(f, "one process, as user {user}")?,
        }
        writeln!(
            f,
            "{} of {} permitted steps could be carried out",
            self.permitted - self.lacks.len(),
            self.permitted
        )?;
        for it in &self.lacks {
            writeln!(f, "  not {} on {}: {}", it.step.as_str(), it.target, it.why)?;
        }
        Ok(())
    }
}

/// Reads `agent.toml` and looks at what it permits, as the user that asks. Starts and changes nothing.
///
/// # Errors
/// [`ConfigError`] when the file cannot be used.
pub fn check(config: &Path) -> Result<Found, ConfigError> {
    let config = AgentConfig::load(config)?;
    Ok(look(&config, rustix::process::geteuid().as_raw()))
}

fn look(config: &AgentConfig, user: u32) -> Found {
    let division = match &config.helper {
        Some(socket) => Division::Helper {
            socket: socket.display().to_string(),
            trouble: UnixStream::connect(socket).err().map(|error| error.to_string()),
        },
        None if user == 0 => Division::WholeAsRoot,
        None => Division::WholeAsUser { user },
    };
    let permitted = config.targets.iter().map(|it| it.permits.len()).sum();
    let lacks = match division {
        Division::WholeAsUser { .. } => config.targets.iter().flat_map(lacks_of).collect(),
        Division::Helper { .. } => config.targets.iter().flat_map(sandboxed).collect(),
        // What has root's privilege lacks nothing that could be seen from here.
        Division::WholeAsRoot => Vec::new(),
    };
    Found { division, permitted, lacks }
}

fn lacks_of(target: &TargetConfig) -> Vec<Lack> {
    let lack = |step, why: String| Lack { target: target.name.clone(), step, why };
    let kinds = target.permits.iter().map(|it| it.step);
    kinds.filter_map(|step| why_not(target, step).map(|why| lack(step, why))).collect()
}

/// What the helper starts itself lives in its sandbox.
fn sandboxed(target: &TargetConfig) -> Vec<Lack> {
    let starts = |step: &StepKind| matches!(step, StepKind::StartService | StepKind::RestartService);
    match &target.manager {
        ManagerConfig::None | ManagerConfig::Systemd { .. } => Vec::new(),
        ManagerConfig::Command(_) => target
            .permits
            .iter()
            .map(|it| it.step)
            .filter(starts)
            .map(|step| Lack {
                target: target.name.clone(),
                step,
                why: "the helper would start it in its own sandbox, without a network: make it a systemd unit"
                    .to_owned(),
            })
            .collect(),
    }
}

/// Why a step could not be carried out without privilege; none when nothing speaks against it.
fn why_not(target: &TargetConfig, step: StepKind) -> Option<String> {
    let unwritable = |path: &Path| {
        let error = access(path, Access::WRITE_OK).err()?;
        Some(format!("{} cannot be written ({error})", path.display()))
    };
    let service = [StepKind::StartService, StepKind::StopService, StepKind::RestartService, StepKind::SignalProcess];
    if service.contains(&step) {
        return match &target.manager {
            ManagerConfig::None => Some("it has no manager".to_owned()),
            ManagerConfig::Command(_) => None,
            ManagerConfig::Systemd { unit } => {
                Some(format!("systemd lets only root manage {unit}, unless a polkit rule says otherwise"))
            }
        };
    }
    if step == StepKind::CleanDirectory {
        return target.directories.iter().find_map(|it| unwritable(&it.path));
    }
    if step == StepKind::RestoreFile {
        return target.files.iter().find_map(|it| unwritable(it.path.parent().unwrap_or(Path::new("."))));
    }
    // What a declared part takes is tried by its own rehearsal before each step.
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[[target]]
name = "web"
manager = "systemd"
unit = "nginx.service"
permit = ["restart_service", "clean_directory"]
[[target.directory]]
name = "logs"
path = "/nonexistent/logs"
quota = "1 MiB"
match = ["*.log"]
[[target]]
name = "job"
manager = "command"
start = ["/bin/true"]
permit = ["start_service"]
"#;

    fn found(text: &str, user: u32) -> Found {
        look(&AgentConfig::parse("agent.toml", text, Path::new("/etc"), "h1").unwrap(), user)
    }

    #[test]
    fn a_plain_user_is_told_what_it_cannot_do_and_root_that_it_should_be_divided() {
        let user = found(TEXT, 1000);
        let said = user.to_string();
        assert_eq!(user.division, Division::WholeAsUser { user: 1000 });
        assert!(
            said.contains("1 of 3 permitted steps") && said.contains("polkit") && said.contains("/nonexistent/logs")
        );
        assert!(!user.is_whole());
        let root = found(TEXT, 0);
        assert!(root.is_whole() && root.to_string().contains("name a helper"));
    }

    #[test]
    fn a_helper_that_is_not_there_is_said() {
        let divided = found(&format!("[agent]\nhelper = \"/nonexistent/socket\"\n{TEXT}"), 1000);
        assert!(!divided.is_whole());
        let said = divided.to_string();
        assert!(said.contains("/nonexistent/socket cannot be used from here"), "{said}");
        assert!(said.contains("not start_service on job: the helper would start it in its own sandbox"), "{said}");
        assert!(divided.to_json().contains("\"kind\": \"helper\""));
    }
}
