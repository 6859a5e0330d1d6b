//! The probes of a target, as they are written and as they are meant.

use std::net::SocketAddr;
use std::ops::Range;

use prunella_model::observation::ProbeKind;
use prunella_settings::Spanned;

use super::check::{Checked, Checker, INTERVAL, TIMEOUT};
use super::file;
use super::{HostPort, HttpSubject, ManagerConfig, ProbeConfig, Subject};

impl Checker<'_> {
    pub(super) fn add_probe(
        &self,
        probes: &mut Vec<ProbeConfig>,
        probe: Spanned<file::Probe>,
        manager: &ManagerConfig,
    ) -> Checked<()> {
        let probe = probe.into_inner();
        let subject = self.subject(&probe, manager)?;
        let kind = *probe.kind.get_ref();
        let (name, span) = match probe.name {
            Some(name) => (name.get_ref().clone(), name.span()),
            None => (self.probe_name(kind.as_str(), probe.kind.span())?, probe.kind.span()),
        };
        let interval = self.interval(probe.interval, INTERVAL)?;
        let timeout = self.interval(probe.timeout, TIMEOUT)?;
        self.insert(probes, name, interval, timeout, subject, span)
    }

    fn subject(&self, probe: &file::Probe, manager: &ManagerConfig) -> Checked<Subject> {
        let kind = *probe.kind.get_ref();
        let keys = [
            ("url", probe.url.as_ref().map(Spanned::span), kind == ProbeKind::Http),
            ("expect_status", probe.expect_status.as_ref().map(Spanned::span), kind == ProbeKind::Http),
            ("address", probe.address.as_ref().map(Spanned::span), kind == ProbeKind::Tcp),
            ("path", probe.path.as_ref().map(Spanned::span), kind == ProbeKind::Log),
            ("pattern", probe.pattern.as_ref().map(Spanned::span), kind == ProbeKind::Log),
        ];
        for (key, span, fits) in keys {
            if let (Some(span), false) = (span, fits) {
                return Err(self.source.at(span, format!("a {} probe has no {key}", kind.as_str())));
            }
        }
        let wrong = |what: &str| Err(self.source.at(probe.kind.span(), what));
        let missing = |key: &str, example: &str| {
            self.source.at(probe.kind.span(), format!("a {} probe needs {key}, for example {example:?}", kind.as_str()))
        };
        match kind {
            ProbeKind::Process => match manager {
                ManagerConfig::Command(_) => Ok(Subject::Process),
                ManagerConfig::None | ManagerConfig::Systemd { .. } => {
                    wrong("a process probe needs manager = \"command\"; with systemd use kind = \"unit\"")
                }
            },
            ProbeKind::Unit => match manager {
                ManagerConfig::Systemd { .. } => Ok(Subject::Unit),
                ManagerConfig::None | ManagerConfig::Command(_) => wrong("a unit probe needs manager = \"systemd\""),
            },
            ProbeKind::Http => {
                let url = probe.url.as_ref().ok_or_else(|| missing("url", "http://127.0.0.1:8080/health"))?;
                let expect_status = probe.expect_status.as_ref().map(|it| it.get_ref().clone()).unwrap_or_default();
                self.http(url, expect_status).map(Subject::Http)
            }
            ProbeKind::Tcp => {
                let address = probe.address.as_ref().ok_or_else(|| missing("address", "127.0.0.1:5432"))?;
                self.host_port(address.get_ref(), address.span()).map(|address| Subject::Tcp { address })
            }
            ProbeKind::Log => {
                let path = probe.path.as_ref().ok_or_else(|| missing("path", "/var/log/app.log"))?;
                let pattern = probe.pattern.as_ref().ok_or_else(|| missing("pattern", "ERROR"))?;
                if pattern.get_ref().is_empty() {
                    return Err(self.source.at(pattern.span(), "an empty pattern matches every line"));
                }
                Ok(Subject::Log { path: self.path(path.get_ref()), pattern: pattern.get_ref().clone() })
            }
            ProbeKind::Directory => wrong("a directory is probed by itself: write [[target.directory]]"),
            ProbeKind::File => wrong("a file is probed by itself: write [[target.file]]"),
            ProbeKind::Host => wrong("the host is probed by itself; its interval is set in [host]"),
        }
    }

    pub(super) fn http(&self, url: &Spanned<String>, expect_status: Vec<u16>) -> Checked<HttpSubject> {
        let rest = url.get_ref().strip_prefix("http://").ok_or_else(|| {
            self.source.at(url.span(), "only http:// addresses can be probed, for example http://127.0.0.1:8080/health")
        })?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let plain = path.bytes().all(|it| it.is_ascii_graphic());
        if authority.is_empty() || authority.contains('@') || !plain {
            return Err(self
                .source
                .at(url.span(), "write the address as http://HOST:PORT/PATH, without spaces or a user"));
        }
        let with_port = if authority.rsplit(']').next().is_some_and(|it| it.contains(':')) {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(HttpSubject { address: self.host_port(&with_port, url.span())?, path, expect_status })
    }

    pub(super) fn host_port(&self, text: &str, span: Range<usize>) -> Checked<HostPort> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(HostPort::Address(address));
        }
        let good = text.rsplit_once(':').is_some_and(|(host, port)| {
            let host_fits = host.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_'));
            !host.is_empty() && host_fits && port.parse::<u16>().is_ok_and(|it| it != 0)
        });
        if good {
            Ok(HostPort::Name(text.to_owned()))
        } else {
            Err(self
                .source
                .at(span, format!("{text:?} is not an address; write HOST:PORT, for example 127.0.0.1:8080")))
        }
    }
}
