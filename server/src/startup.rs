//! Starting: everything is read and checked before a port opens.

use std::path::Path;
use std::sync::Arc;

use prunella_engine::Engine;
use prunella_identity::{FleetCa, PeerCertificate, PeerIdentity, SERVER_LIFE};
use prunella_model::Timestamp;
use prunella_model::policy::FleetPolicy;
use prunella_seal::{Anchor, DocumentError, FleetFile, PublicKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use crate::authority::{Authority, Granted};
use crate::clock::Clock;
use crate::closed::{Archive, Keeper};
use crate::config::Config;
use crate::denials::Denials;
use crate::enrolment::Enrolments;
use crate::files;
use crate::notes::Notes;
use crate::operators::Operators;
use crate::policy;
use crate::serve::ServeError;
use crate::store::repository::Repository;
use crate::store::{Backend, SledStore};

/// Everything that was loaded and checked.
pub(crate) struct Loaded {
    pub(crate) clock: Clock,
    pub(crate) repository: Arc<Repository<Backend>>,
    pub(crate) enrolments: Arc<Enrolments>,
    pub(crate) operators: Arc<Operators>,
    pub(crate) denials: Denials,
    pub(crate) engine: Engine,
    pub(crate) notes: Notes,
    pub(crate) archive: Archive,
    pub(crate) keeper: Keeper,
    /// The policy that a fleet without one begins with.
    pub(crate) first_policy: Option<FleetPolicy>,
    pub(crate) authority: Authority,
    pub(crate) granted: Granted,
    pub(crate) key: prunella_seal::SecretKey,
    pub(crate) ca_pem: String,
    pub(crate) chain_pem: String,
    pub(crate) key_pem: zeroize::Zeroizing<String>,
    pub(crate) roots: Vec<PublicKey>,
    pub(crate) threshold: u32,
}

/// Reads and checks everything, and takes the lead in the store.
pub(crate) async fn load(config: &Config) -> Result<Loaded, ServeError> {
    let clock = Clock::start();
    let now = clock.now();
    let key = files::read_key(&config.keys.server)?;
    let signer = config.keys.signer.as_deref().map(files::read_key).transpose()?;
    let ca_pem = files::read_text(&config.tls.authority)?;
    let ca = FleetCa::load(&config.fleet, &ca_pem, &files::read_secret(&config.tls.authority_key)?)?;
    renew_own_certificate(config, &ca, now)?;
    let chain_pem = files::read_text(&config.tls.certificate)?;
    let key_pem = files::read_secret(&config.tls.key)?;
    let first_policy = policy::parse(&config.policy.display().to_string(), &files::read_text(&config.policy)?)?;

    let fleet_file = own_fleet_file(&config.trust.fleet)?;
    let (roots, threshold) = (fleet_file.root_keys.clone(), fleet_file.root_threshold);
    let anchor = Anchor::new(config.fleet.clone(), roots.clone(), threshold);
    let authority = Authority::new(anchor, &config.trust.fleet, &config.trust.delegation, key.public(), signer);
    let granted = authority.load(now)?;

    let begun = Begun::beside(config);
    begun.check(&config.state_dir)?;
    let state = config.state_dir.clone();
    let opened = tokio::task::spawn_blocking(move || SledStore::open(&state)).await;
    let store = opened.map_err(|_| ServeError::Lost)??;
    begun.note(now)?;
    let repository = Arc::new(Repository::lead(Backend::Sled(store), now, 0).await?);
    let stored = repository.load().await?;
    let first_policy = first_policy_of(config, first_policy, stored.policy.as_ref());
    let enrolments = Arc::new(Enrolments::load(Arc::clone(&repository), ca).await?);
    let operators = Arc::new(Operators::load(Arc::clone(&repository), now).await?);
    let denials = Denials::new(Arc::clone(&repository), clock.clone());
    let (archive, keeper) = Archive::open(&config.state_dir, Arc::clone(&repository), key.clone()).await?;
    let (epoch, journaled) = (repository.epoch(), Arc::clone(&repository));
    let notes = Notes::open(&config.state_dir, config.fleet.clone(), epoch, now, stored.clone(), journaled)?;
    let engine =
        Engine::new(config.fleet.clone(), repository.epoch(), now, stored).with_compiler(prunella_expr::compiler());
    Ok(Loaded {
        clock,
        repository,
        enrolments,
        operators,
        denials,
        engine,
        notes,
        archive,
        keeper,
        first_policy,
        authority,
        granted,
        key,
        ca_pem,
        chain_pem,
        key_pem,
        roots,
        threshold,
    })
}

/// The note beside the server's certificate that its fleet has had a state: who removes the whole state directory does not
/// remove this, so that nobody begins a fleet anew by accident and forgets its hosts, pauses and knowledge.
struct Begun(std::path::PathBuf);

impl Begun {
    fn beside(config: &Config) -> Self {
        Self(config.tls.certificate.with_file_name("fleet-begun"))
    }

    fn check(&self, state: &Path) -> Result<(), ServeError> {
        if SledStore::is_in(state) || !self.0.exists() {
            return Ok(());
        }
        let since = files::read_text(&self.0)?.trim().to_owned();
        Err(ServeError::StateGone { state: state.to_owned(), since, note: self.0.clone() })
    }

    fn note(&self, now: Timestamp) -> Result<(), ServeError> {
        if !self.0.exists() {
            let text = format!("{}\n", prunella_proto::wire::encode_time(now));
            files::replace(&self.0, text.as_bytes(), files::PUBLIC)?;
        }
        Ok(())
    }
}

/// The policy from the file, if this fleet has none yet. Afterwards the store's is the only one.
fn first_policy_of(config: &Config, file: FleetPolicy, kept: Option<&FleetPolicy>) -> Option<FleetPolicy> {
    let Some(kept) = kept else { return Some(file) };
    if (FleetPolicy { version: kept.version, ..file }) != *kept {
        tracing::warn!(
            target: "prunella::server",
            file = %config.policy.display(), version = kept.version,
            "the policy file differs from the policy in force, which the server keeps; the file only serves a new fleet"
        );
    }
    None
}

/// The fleet file as the server itself believes it: its own root keys have signed it.
fn own_fleet_file(path: &Path) -> Result<FleetFile, ServeError> {
    let bad = |source| ServeError::FleetFile { path: path.to_owned(), source };
    let envelope = prunella_seal::envelope_from_json(&files::read_text(path)?)
        .map_err(|source| bad(DocumentError::Envelope { document: "fleet file", source }))?;
    // The server needs no pin: agents hold the root keys, and refuse what these do not vouch for.
    let claimed: FleetFile = serde_json::from_slice(&envelope.payload)
        .map_err(|error| bad(DocumentError::Senseless { document: "fleet file", why: error.to_string() }))?;
    FleetFile::verify(&envelope, &claimed.root_keys, claimed.root_threshold).map_err(bad)
}

/// Makes the server's next certificate when the present one is past its half-life.
fn renew_own_certificate(config: &Config, ca: &FleetCa, now: Timestamp) -> Result<(), ServeError> {
    let pem = files::read_text(&config.tls.certificate)?;
    let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    // What is wrong with the certificate is said where it is used.
    let Some(leaf) = leaf.and_then(|der| PeerCertificate::read(&der, &config.fleet).ok()) else { return Ok(()) };
    let PeerIdentity::Server { name } = &leaf.identity else { return Ok(()) };
    if now < leaf.renew_at() {
        return Ok(());
    }
    let names = certificate_names(config);
    let next = ca.issue_server(name, &names, now, SERVER_LIFE)?;
    // The key first: a crash between the two leaves a pair that does not fit, and the next start makes a new one.
    files::replace(&config.tls.key, next.key_pem.as_bytes(), files::SECRET)?;
    files::replace(&config.tls.certificate, next.issued.chain_pem.as_bytes(), files::PUBLIC)?;
    tracing::info!(target: "prunella::server", serial = next.issued.serial, "the server's certificate was renewed");
    Ok(())
}

/// What the server's certificate must name: what is configured, or where it listens and is reached.
fn certificate_names(config: &Config) -> Vec<String> {
    if !config.public.names.is_empty() {
        return config.public.names.clone();
    }
    let listened = [config.listen.control, config.listen.agents].map(|it| it.ip().to_string());
    let public = config.public.agents.iter().chain(&config.public.control);
    let public = public.filter_map(|it| Some(it.rsplit_once(':')?.0.trim_matches(['[', ']']).to_owned()));
    let names: std::collections::BTreeSet<String> = listened.into_iter().chain(public).collect();
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use prunella_model::FleetName;

    use super::*;
    use crate::fleet_dir::{FleetDir, Options};

    #[test]
    fn a_crash_while_the_certificate_is_renewed_leaves_no_pair_that_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let name = FleetName::new("f").unwrap();
        let fleet = FleetDir::create(&dir.path().join("fleet"), &name, &Options::default()).unwrap();
        let config = fleet.config();
        let text = |path: &Path| std::fs::read_to_string(path).unwrap();
        let ca_key = files::read_secret(&config.tls.authority_key).unwrap();
        let ca = FleetCa::load(&config.fleet, &text(&config.tls.authority), &ca_key).unwrap();
        let leaf = |pem: &str| {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            PeerCertificate::read(&der, &config.fleet).unwrap()
        };
        let old = text(&config.tls.certificate);
        let due = leaf(&old).renew_at();
        let fits = || {
            let (chain, key) = (text(&config.tls.certificate), text(&config.tls.key));
            let listener = prunella_identity::Listener::Control;
            let ca = text(&config.tls.authority);
            prunella_identity::server_config(&config.fleet, &ca, &chain, &key, listener).is_ok()
        };
        renew_own_certificate(config, &ca, due.before(std::time::Duration::from_secs(60))).unwrap();
        assert_eq!(text(&config.tls.certificate), old, "not before it is due");
        // The crash: the next key is there, and the certificate is still the old one.
        let names = certificate_names(config);
        let other = ca.issue_server(&prunella_model::HostId::of("server"), &names, due, SERVER_LIFE).unwrap();
        std::fs::write(&config.tls.key, other.key_pem.as_bytes()).unwrap();
        assert!(!fits());
        renew_own_certificate(config, &ca, due).unwrap();
        assert!(fits() && text(&config.tls.certificate) != old);
    }
}
