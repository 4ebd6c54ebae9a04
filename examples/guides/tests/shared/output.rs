//! What the program of the guide prints.

/// In its own memory.
pub(crate) const LOCAL: &str = include_str!("../../../basics/04_cache_management.out");

/// On a server. One line tells what a backend counts: a server frees entries itself.
pub(crate) fn on_a_server() -> String {
    let freed = "Entries freed in the background: ";
    LOCAL.replace(&format!("{freed}5"), &format!("{freed}0"))
}
