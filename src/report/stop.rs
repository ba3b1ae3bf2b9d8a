//! Ctrl-C as a request: the run finishes its step, writes what it has, and says how to go on.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static REQUESTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on the first interrupt or termination signal only sets a flag; the second ends the process.
pub(crate) fn listen() {
    REQUESTED.get_or_init(|| {
        let requested = Arc::new(AtomicBool::new(false));
        if let Err(error) = register(&requested) {
            log::warn!("Ctrl-C ends the process at once: {error}");
        }
        requested
    });
}

/// The exit comes first in each pair: it looks at the flag before this signal sets it.
fn register(requested: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(requested))?;
        flag::register(signal, Arc::clone(requested))?;
    }
    Ok(())
}

/// Whether a signal came.
pub(crate) fn requested() -> bool {
    REQUESTED.get().is_some_and(|requested| requested.load(Ordering::Relaxed))
}
