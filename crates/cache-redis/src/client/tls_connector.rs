//! From our TLS settings to fred's connectors.

use cache_core::{Error, Result};
#[cfg(any(feature = "rustls", feature = "native-tls"))]
use fred::types::config::TlsConnector;
use fred::types::config::{TlsConfig, TlsHostMapping};

use crate::Tls;
use crate::config::Library;

pub(super) fn connector(tls: &Tls) -> Result<TlsConfig> {
    let connector = match tls.library {
        #[cfg(feature = "rustls")]
        Library::Any => rustls(tls)?,
        #[cfg(not(feature = "rustls"))]
        Library::Any => native(tls)?,
        #[cfg(feature = "native-tls")]
        Library::Native => native(tls)?,
    };
    Ok(TlsConfig {
        connector,
        hostnames: TlsHostMapping::None,
    })
}

#[cfg(feature = "rustls")]
fn rustls(tls: &Tls) -> Result<TlsConnector> {
    use std::sync::Arc;

    use fred::rustls::crypto::ring;
    use fred::rustls::pki_types::pem::PemObject;
    use fred::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use fred::rustls::{ClientConfig, RootCertStore};

    let certificates = |field: &'static str, pem: &str| {
        let all: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| Error::invalid(field, NOT_PEM))?;
        if all.is_empty() {
            return Err(Error::invalid(field, NOT_PEM));
        }
        Ok(all)
    };
    let mut roots = RootCertStore::empty();
    match &tls.authority {
        Some(pem) => {
            for certificate in certificates("tls.trust_only", pem)? {
                let added = roots.add(certificate);
                added.map_err(|_| Error::invalid("tls.trust_only", NOT_PEM))?;
            }
        }
        None => {
            let found = fred::rustls_native_certs::load_native_certs();
            // Some systems have a broken one among many.
            roots.add_parsable_certificates(found.certs);
        }
    }
    // Named, because a program that also builds another provider in has no default.
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|cause| Error::invalid("tls", "has no protocol version").with_source(cause))?
        .with_root_certificates(roots);
    let config = match &tls.identity {
        None => config.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates("tls.client_certificate", chain)?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|_| Error::invalid("tls.client_certificate", NO_KEY))?;
            config
                .with_client_auth_cert(chain, key)
                .map_err(|_| Error::invalid("tls.client_certificate", NO_KEY))?
        }
    };
    Ok(config.into())
}

#[cfg(feature = "native-tls")]
fn native(tls: &Tls) -> Result<TlsConnector> {
    use fred::native_tls::{Certificate, Identity, Protocol};

    let mut builder = fred::native_tls::TlsConnector::builder();
    builder.min_protocol_version(Some(Protocol::Tlsv12));
    if let Some(pem) = &tls.authority {
        let certificates = Certificate::stack_from_pem(pem.as_bytes())
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or_else(|| Error::invalid("tls.trust_only", NOT_PEM))?;
        builder.disable_built_in_roots(true);
        for certificate in certificates {
            builder.add_root_certificate(certificate);
        }
    }
    if let Some((chain, key)) = &tls.identity {
        let identity = Identity::from_pkcs8(chain.as_bytes(), key.as_bytes())
            .map_err(|_| Error::invalid("tls.client_certificate", NO_KEY))?;
        builder.identity(identity);
    }
    let connector = builder.build();
    let connector =
        connector.map_err(|cause| Error::invalid("tls", "is refused").with_source(cause))?;
    Ok(connector.into())
}

const NOT_PEM: &str = "holds no certificate in PEM";
const NO_KEY: &str = "holds no certificate in PEM with its PKCS #8 key";
