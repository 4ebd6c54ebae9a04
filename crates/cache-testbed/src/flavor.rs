//! Which server, and where its binary is.

use std::path::{Path, PathBuf};

/// A kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Flavor {
    /// Redis 7.0 of Debian 12, from `PATH`; the only one here that was built with TLS.
    Redis7,
    /// Redis 8.2.
    Redis8,
    /// Valkey 9.1.
    Valkey9,
}

impl Flavor {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Redis7, Self::Redis8, Self::Valkey9];

    pub(crate) fn binary(self) -> PathBuf {
        let found = match self {
            Self::Redis7 => std::env::var_os("PATH").and_then(|path| {
                std::env::split_paths(&path)
                    .map(|folder| folder.join("redis-server"))
                    .find(|file| file.is_file())
            }),
            Self::Redis8 => installed("redis-8/redis-server"),
            Self::Valkey9 => installed("valkey-9/valkey-server"),
        };
        found.unwrap_or_else(|| panic!("no binary for {self:?}: run ./scripts/install-servers"))
    }
}

fn installed(path: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/servers")
        .join(path);
    file.is_file().then_some(file)
}
