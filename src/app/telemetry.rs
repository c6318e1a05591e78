//! Logs: tracing events as text or JSON on stderr.
//!
//! Besides choosing a form, it guards two promises. No setting can make the Azure SDK print what it prints
//! below INFO, and `debug` shows the driver's own work without every HTTP/2 frame.

use std::io::IsTerminal;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;

use crate::domain::problem::Problem;
use crate::domain::text::{nearest, quote};

/// Levels by name, loudest last.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Libraries that log every frame at DEBUG. They stay at INFO unless a directive names them, such as `h2=trace`.
const NOISY: &str = "h2=info,hyper=info,hyper_util=info,reqwest=info,rustls=info,tonic=info,tower=info";

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line, for collectors.
    Json,
}

/// What is logged: a level, and levels of single targets, such as `info,azurelustre_csi=debug`. Filters by span or field,
/// which would cost a regex engine in every process, are not offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// Takes directives of levels and targets.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let examples = "use off, error, warn, info, debug or trace, or directives such as `info,azurelustre_csi=debug`";
        // A bare word that is no level would be read as a target: `inof` would log nothing at all.
        let mut words = text.split(',').filter(|part| !part.contains('=') || part.contains(['[', '{']));
        let misspelt = words.find(|word| !is_level(word));
        if let Some(word) = misspelt {
            let hint =
                nearest(word, LEVELS).map_or_else(|| examples.to_owned(), |level| format!("did you mean `{level}`?"));
            return Err(Problem::new(format!("{} is not a log level", quote(word))).with_hint(hint));
        }
        match text.parse::<Targets>() {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(error) => Err(Problem::new(format!("{}: {error}", quote(text))).with_hint(examples)),
        }
    }

    /// The level that a klog verbosity stands for.
    pub fn of_verbosity(verbosity: u32) -> &'static str {
        match verbosity {
            0..=3 => "info",
            4..=5 => "debug",
            _ => "trace",
        }
    }

    /// The directives as given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn targets(&self) -> Targets {
        // Of two directives for one target the later counts: the user's. Both parts are known to be readable.
        format!("{NOISY},{}", self.0).parse().unwrap_or_default()
    }
}

fn is_level(word: &str) -> bool {
    LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word))
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Form of the lines.
    pub format: LogFormat,
    /// Which events make a line.
    pub filter: LogFilter,
}

/// Sends the process's events to stderr. Fails if something else in the process took them first.
pub fn init(settings: &LogSettings) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    let ansi = settings.format == LogFormat::Text && std::io::stderr().is_terminal();
    tracing::subscriber::set_global_default(subscriber(settings, ansi, std::io::stderr))
}

/// The same into any writer, for programs and tests that keep their lines.
pub fn subscriber<W>(settings: &LogSettings, ansi: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(ansi);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.format {
        LogFormat::Text => Box::new(lines),
        LogFormat::Json => Box::new(lines.json().flatten_event(true)),
    };
    // A second filter, since within one filter a more specific directive of the user would win.
    let filter = settings.filter.targets().and(filter_fn(harmless));
    tracing_subscriber::registry().with(lines.with_filter(filter))
}

/// The Azure SDK prints live bearer tokens at DEBUG and whole requests at TRACE, so those never pass.
fn harmless(metadata: &Metadata<'_>) -> bool {
    !metadata.target().starts_with("azure_") || *metadata.level() <= Level::INFO
}

#[cfg(test)]
mod tests;
