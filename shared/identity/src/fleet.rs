//! Which fleet an authority's certificate belongs to.

use prunella_model::FleetName;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::authority::{CA_TITLE, COMMON_NAME_MAX};

/// The fleet whose authority this certificate (PEM) is; null when it does not say.
///
/// Whoever trusts the certificate as an authority can trust its own name: an operator then needs to bring nothing else.
/// A fleet name too long for a CommonName is cut there, and therefore not read from it.
#[must_use]
pub fn fleet_of_authority(ca_pem: &str) -> Option<FleetName> {
    let der = CertificateDer::from_pem_slice(ca_pem.as_bytes()).ok()?;
    let (_, certificate) = X509Certificate::from_der(&der).ok()?;
    let title = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    if title.chars().count() >= COMMON_NAME_MAX {
        return None;
    }
    FleetName::new(title.strip_prefix(CA_TITLE)?).ok()
}

#[cfg(test)]
mod tests {
    use prunella_model::Timestamp;

    use super::*;
    use crate::FleetCa;

    #[test]
    fn an_authority_names_its_fleet_unless_the_name_was_cut() {
        let read = |name: &str| {
            let fleet = FleetName::new(name).unwrap();
            fleet_of_authority(FleetCa::create(&fleet, Timestamp::from_secs(1_800_000_000)).unwrap().certificate_pem())
        };
        assert_eq!(read("demo"), Some(FleetName::new("demo").unwrap()));
        assert_eq!(read(&"x".repeat(60)), None);
        assert_eq!(fleet_of_authority("no PEM"), None);
    }
}
