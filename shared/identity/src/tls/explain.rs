//! What a failed handshake means, and what to do.

use rustls::{AlertDescription, CertificateError, Error};

/// Says in a line what a TLS error means for a person, and what to do about it.
#[must_use]
pub fn explain_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(certificate) => explain_certificate(certificate),
        Error::AlertReceived(alert) => explain_alert(*alert),
        Error::NoCertificatesPresented => {
            "the client showed no certificate, but this address is for agents alone: enrol the host with a join token"
                .to_owned()
        }
        Error::InvalidMessage(_) => "the other side does not speak TLS: check the address and the port".to_owned(),
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn explain_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired => "the other side's certificate has expired: renew it, and check both clocks".into(),
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the other side's certificate expired {} s ago by this clock: renew it, and check both clocks",
            time.as_secs().saturating_sub(not_after.as_secs())
        ),
        CertificateError::NotValidYet => "the other side's certificate is not valid yet: check both clocks".into(),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the other side's certificate begins only in {} s by this clock: check both clocks",
            not_before.as_secs().saturating_sub(time.as_secs())
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the other side's certificate was not made by this fleet's authority: check the address, and that both \
             use the same fleet's credentials"
                .into()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the other side's certificate is for another role: agents, operators and servers each have their own".into()
        }
        // An identity or a pin that is not right: those errors say by themselves what to do.
        CertificateError::Other(other) => other.0.to_string(),
        other => format!("the other side's certificate is not acceptable: {other:?}"),
    }
}

fn explain_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateExpired => {
            "the other side says that this certificate has expired: renew it, or enrol again with a new join token; \
             check both clocks"
                .to_owned()
        }
        AlertDescription::CertificateRequired => {
            "the other side wants a certificate: enrol this host with a join token (`prunella token create`)".to_owned()
        }
        AlertDescription::UnknownCA | AlertDescription::DecryptError => {
            "the other side does not know the authority of this certificate: these credentials are of another fleet"
                .to_owned()
        }
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => {
            "the other side does not accept this certificate at this address: check fleet, role and address".to_owned()
        }
        AlertDescription::ProtocolVersion => "the other side cannot do TLS 1.3: upgrade it".to_owned(),
        AlertDescription::NoApplicationProtocol => "the other side does not speak HTTP/2 here".to_owned(),
        other => format!("the other side ended the TLS handshake: {other:?}"),
    }
}
