//! Certificates that live as long as a test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// A certificate authority; another one that nobody knows is another `TestCa`.
#[derive(Debug)]
pub struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
    dir: TempDir,
}

/// A certificate and its key, as PEM and as files that live as long as their [`TestCa`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Certificate {
    /// The certificate.
    pub pem: String,
    /// Its private key.
    pub key_pem: String,
    /// The file with the certificate.
    pub path: PathBuf,
    /// The file with the private key.
    pub key_path: PathBuf,
}

impl TestCa {
    /// Makes an authority with a new key.
    #[must_use]
    pub fn new() -> Self {
        Self::named("Testbed CA")
    }

    /// Makes an authority with a new key and a name of its own, by which some libraries tell several apart.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let mut params = params(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key()).expect("a CA is made");
        let dir = tempfile::tempdir().expect("a directory is made");
        let pem = issuer.pem();
        fs::write(dir.path().join("ca.pem"), &pem).expect("a file is written");
        Self { issuer, pem, dir }
    }

    /// Returns the certificate of the authority.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Returns the file with the certificate of the authority.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Makes a certificate for a server at 127.0.0.1 and localhost.
    #[must_use]
    pub fn server(&self) -> Certificate {
        let params = params(&["localhost", "127.0.0.1"], "Testbed server");
        self.sign("server", params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Makes a certificate for a server of which the time is over.
    #[must_use]
    pub fn expired(&self) -> Certificate {
        let mut params = params(&["localhost", "127.0.0.1"], "Testbed server");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
        self.sign("expired", params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Makes a certificate for a server at another host.
    #[must_use]
    pub fn wrong_host(&self) -> Certificate {
        let params = params(&["other.example"], "Testbed server");
        self.sign("wrong-host", params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Makes a certificate for a client.
    #[must_use]
    pub fn client(&self) -> Certificate {
        let params = params(&[], "Testbed client");
        self.sign("client", params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Certificate {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = key();
        let pem = params
            .signed_by(&key, &self.issuer)
            .expect("a certificate is signed")
            .pem();
        Certificate::write(self.dir.path(), name, pem, key.serialize_pem())
    }
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    pub(crate) fn write(dir: &Path, name: &str, pem: String, key_pem: String) -> Self {
        let path = dir.join(format!("{name}.pem"));
        let key_path = dir.join(format!("{name}.key"));
        fs::write(&path, &pem).expect("a file is written");
        fs::write(&key_path, &key_pem).expect("a file is written");
        Self {
            pem,
            key_pem,
            path,
            key_path,
        }
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key is made")
}

fn params(hosts: &[&str], name: &str) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).expect("the hosts are valid");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
