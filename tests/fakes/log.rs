//! [`LogBuffer`]: log lines captured in memory.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What a subscriber wrote. Clones share the buffer.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl LogBuffer {
    /// The buffer of everything that this process logs, at the lowest level, what the libraries below log included. Its
    /// subscriber is installed by the first call. Tests share it, so each searches only for its own texts.
    pub(crate) fn of_process() -> Self {
        static OF_PROCESS: OnceLock<LogBuffer> = OnceLock::new();
        let install = || {
            let buffer = Self::default();
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_ansi(false)
                .with_writer(buffer.clone())
                .init();
            buffer
        };
        OF_PROCESS.get_or_init(install).clone()
    }

    /// What this thread logs during `work`, at the lowest level, by tracing's own subscriber.
    pub(crate) fn during(work: impl FnOnce()) -> String {
        // Installed first: a subscriber of the process keeps every callsite enabled while those of threads come and go.
        Self::of_process();
        let buffer = Self::default();
        let subscriber =
            tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_ansi(false).with_writer(buffer.clone());
        tracing::subscriber::with_default(subscriber.finish(), work);
        buffer.text()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogBuffer {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
