//! TLS.

use std::fmt;

/// Which certificates are trusted and shown.
///
/// Certificates and host names are always checked. Without an authority of your own, those of the
/// system are trusted. It needs the feature `rustls` or `native-tls`. With the feature `serde` it can be read from
/// a file, which names those of the certificates, in PEM: `ca_cert_file`, `cert_file` and `key_file`.
///
/// ```
/// use cache_redis::Tls;
///
/// let tls = Tls::new().trust_only("-----BEGIN CERTIFICATE-----…");
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct Tls {
    pub(crate) authority: Option<String>,
    pub(crate) identity: Option<(String, String)>,
    #[cfg(any(feature = "rustls", feature = "native-tls"))]
    pub(crate) library: Library,
}

/// Who does the cryptography.
#[cfg(any(feature = "rustls", feature = "native-tls"))]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Library {
    /// rustls if it is built in, otherwise the system's.
    #[default]
    Any,
    #[cfg(feature = "native-tls")]
    Native,
}

impl Tls {
    /// Trusts the authorities of the system and shows no certificate.
    ///
    /// ```
    /// let tls = cache_redis::Tls::new();
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these authorities, in PEM, and no others.
    ///
    /// ```
    /// let tls = cache_redis::Tls::new().trust_only("-----BEGIN CERTIFICATE-----…");
    /// ```
    pub fn trust_only(mut self, authorities_pem: impl Into<String>) -> Self {
        self.authority = Some(authorities_pem.into());
        self
    }

    /// Shows this certificate to the server: a certificate chain and its PKCS #8 key, in PEM.
    ///
    /// ```
    /// let tls = cache_redis::Tls::new()
    ///     .client_certificate("-----BEGIN CERTIFICATE-----…", "-----BEGIN PRIVATE KEY-----…");
    /// ```
    pub fn client_certificate(
        mut self,
        chain_pem: impl Into<String>,
        key_pem: impl Into<String>,
    ) -> Self {
        self.identity = Some((chain_pem.into(), key_pem.into()));
        self
    }

    /// Uses the system's library although rustls is built in as well.
    ///
    /// ```
    /// let tls = cache_redis::Tls::new().native();
    /// ```
    #[cfg(feature = "native-tls")]
    pub const fn native(mut self) -> Self {
        self.library = Library::Native;
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("own_authority", &self.authority.is_some())
            .field("client_certificate", &self.identity.is_some())
            .finish_non_exhaustive()
    }
}
