//! What a process shows to the others of its cluster, as its settings and the files they name say it.

use super::Settings;

/// The cluster's secret, and certificates where given. What the texts are worth is judged by whoever
/// makes connections of them.
pub struct TrustTexts {
    pub secret: String,
    pub tls: Option<TlsTexts>,
}

/// Contents of PEM files.
pub struct TlsTexts {
    /// `tls-ca`
    pub authority: String,
    /// `tls-cert`
    pub certificate: String,
    /// `tls-key`
    pub key: String,
}

impl TrustTexts {
    /// None if something is missing or cannot be read, which is noted in `settings`.
    pub fn read(settings: &mut Settings) -> Option<TrustTexts> {
        let secret: String = settings.required("secret", "by which our processes know each other");
        let files = [
            ("tls-ca", settings.file("tls-ca", "PEM file: the authority of our processes")),
            ("tls-cert", settings.file("tls-cert", "PEM file: this process's certificate")),
            ("tls-key", settings.file("tls-key", "PEM file: the certificate's private key")),
        ];
        let given = files.iter().any(|(key, _)| settings.peek(key).is_some());
        for (key, _) in files.iter().filter(|_| given) {
            if settings.peek(key).is_none() {
                settings.problem(key, "missing; tls-ca, tls-cert and tls-key go together");
            }
        }
        let tls = match files.map(|(_, text)| text) {
            [Some(authority), Some(certificate), Some(key)] => {
                Some(TlsTexts { authority, certificate, key })
            }
            _ if given => return None,
            _ => None,
        };
        (!secret.is_empty()).then_some(TrustTexts { secret, tls })
    }
}
