//! What is done to a host or database as a whole, to certificates, and for a bad day. Most of it only when asked for.

use std::time::Duration;

use prunella_model::part::Act;
use prunella_model::step::StepKind;

use super::uses_part::{HARSH, SLOW, Then, UsesPart, always, no_way_back};
use super::{Cost, Undo};
use crate::cause::Cause;

/// What takes a host away.
const GRAVE: Cost = Cost { takes: Duration::from_secs(60), harm: Duration::from_secs(600) };

/// A certificate before it ends.
pub(super) static RENEW_CERTIFICATE: UsesPart = UsesPart {
    name: "renew_certificate",
    about: "Runs the declared tool that renews each declared certificate, and makes the target run anew so that it serves it.",
    treats: CERTIFICATE,
    step: StepKind::RenewCertificate,
    act: |_, _| Some(Act::RenewCertificate),
    back: no_way_back,
    then: Then::Restart,
    suits: always,
    undo: Undo::Irreversible("the earlier certificate is saved, but would end all the same"),
    verify: "the certificate is another one, and the target's own probes answer",
    cost: SLOW,
};

const CERTIFICATE: &[(Cause, f64)] = &[(Cause::Certificate, 0.8)];

/// A standby takes over.
pub(super) static PROMOTE_STANDBY: UsesPart = UsesPart {
    name: "promote_standby",
    about: "Makes the declared PostgreSQL standby the primary. Operators must sign it.",
    treats: &[],
    step: StepKind::PromoteStandby,
    act: |_, _| Some(Act::PromoteStandby),
    back: no_way_back,
    then: Then::Nothing,
    suits: always,
    undo: Undo::Irreversible("the former primary must be built anew as a standby"),
    verify: "the target's own probes answer",
    cost: GRAVE,
};

/// A copy for a bad day.
pub(super) static MAKE_BACKUP: UsesPart = UsesPart {
    name: "make_backup",
    about: "Copies the declared paths into a content-addressed store, and reads every copy again.",
    treats: &[],
    step: StepKind::MakeBackup,
    act: |_, _| Some(Act::MakeBackup),
    back: no_way_back,
    then: Then::Nothing,
    suits: always,
    undo: Undo::Irreversible("nothing to put back: it only adds"),
    verify: "every copy reads as what was copied",
    cost: SLOW,
};

/// Nothing in or out.
pub(super) static LOCKDOWN: UsesPart = UsesPart {
    name: "lockdown",
    about: "Lets nothing in or out of the host but the control plane and the declared ports. Operators must sign it.",
    treats: &[],
    step: StepKind::Lockdown,
    act: |_, _| Some(Act::Lockdown),
    back: |_, part| Some((part.name.clone(), Act::EndLockdown)),
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("traffic as before the lockdown"),
    verify: "the packet filter says that the rules are loaded",
    cost: GRAVE,
};

/// In and out as before.
pub(super) static END_LOCKDOWN: UsesPart = UsesPart {
    name: "end_lockdown",
    about: "Ends a lockdown: traffic goes in and out as before. Operators must sign it.",
    treats: &[],
    step: StepKind::EndLockdown,
    act: |_, _| Some(Act::EndLockdown),
    back: |_, part| Some((part.name.clone(), Act::Lockdown)),
    then: Then::Nothing,
    suits: always,
    undo: Undo::Restores("the lockdown, with the same rules"),
    verify: "the packet filter says that the rules are gone",
    cost: HARSH,
};

/// The host goes down.
pub(super) static SHUT_DOWN_HOST: UsesPart = UsesPart {
    name: "shut_down_host",
    about: "Shuts the host down. Operators must sign it.",
    treats: &[],
    step: StepKind::ShutDownHost,
    act: |_, _| Some(Act::ShutDownHost),
    back: no_way_back,
    then: Then::Nothing,
    suits: always,
    undo: Undo::Irreversible("somebody must switch the host on again"),
    verify: "the host is not heard any more",
    cost: GRAVE,
};

/// The host comes back.
pub(super) static REBOOT_HOST: UsesPart = UsesPart {
    name: "reboot_host",
    about: "Restarts the host. Operators must sign it.",
    treats: &[],
    step: StepKind::RebootHost,
    act: |_, _| Some(Act::RebootHost),
    back: no_way_back,
    then: Then::Nothing,
    suits: always,
    undo: Undo::Irreversible("what ran has ended, and cannot be taken up again"),
    verify: "the host is heard again, in another boot",
    cost: GRAVE,
};
