//! Tables of what is read, refused and reported.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(filter: &str, format: LogFormat, events: impl FnOnce()) -> String {
    let lines = Lines::default();
    let settings = LogSettings { format, filter: LogFilter::parse(filter).unwrap() };
    let writer = lines.clone();
    tracing::subscriber::with_default(subscriber(&settings, false, move || writer.clone()), events);
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn no_directive_lets_the_azure_sdk_print_its_tokens() {
    for filter in [
        "azure_core=trace",
        "trace",
        "azure_core::policies::transport=debug",
        "off,azure_core=trace",
        "azure_identity=debug",
    ] {
        let reported = logged(filter, LogFormat::Text, || {
            tracing::trace!(target: "azure_core", "TOKEN");
            tracing::debug!(target: "azure_core::policies::transport", "TOKEN");
            tracing::debug!(target: "azure_identity", "TOKEN");
            tracing::info!(target: "azure_core", "harmless");
        });
        assert!(!reported.contains("TOKEN"), "{filter}: {reported}");
    }
    let reported = logged("azure_core=trace", LogFormat::Text, || tracing::info!(target: "azure_core", "harmless"));
    assert!(reported.contains("harmless"));
}

#[test]
fn frames_show_only_where_they_were_asked_for_by_name() {
    let events = || {
        tracing::debug!(target: "h2::codec", "frame");
        tracing::debug!(target: "azurelustre_csi::app", "own");
    };
    let reported = logged("debug", LogFormat::Text, events);
    assert!(reported.contains("own") && !reported.contains("frame"), "{reported}");
    assert!(logged("info,h2=trace", LogFormat::Text, events).contains("frame"));
    assert!(logged("info,azurelustre_csi=debug", LogFormat::Text, events).contains("own"));
}

#[test]
fn json_is_one_object_a_line() {
    let reported = logged("info", LogFormat::Json, || tracing::info!(volume = "pvc-1", "created"));
    assert!(reported.starts_with('{') && reported.ends_with("}\n") && reported.lines().count() == 1, "{reported}");
    assert!(reported.contains(r#""volume":"pvc-1""#), "{reported}");
}

#[test]
fn bad_directives_are_reported_with_the_nearest_level() {
    let problem = LogFilter::parse("inof").unwrap_err();
    assert_eq!(format!("{problem:#}"), "error: `inof` is not a log level\nhint: did you mean `info`?");
    for bad in
        ["", "info,", "azurelustre_csi", "azurelustre_csi=loud", "info,h2=[", "7", "azurelustre_csi[publish]=debug,off"]
    {
        assert!(LogFilter::parse(bad).unwrap_err().hint.is_some(), "{bad}");
    }
    for good in ["INFO", "warn", "info,h2=debug", "off,azurelustre_csi::app=trace"] {
        assert!(LogFilter::parse(good).is_ok(), "{good}");
    }
}

#[test]
fn klog_verbosity_has_levels() {
    let levels = [0, 3, 4, 5, 6, 10].map(LogFilter::of_verbosity);
    assert_eq!(levels, ["info", "info", "debug", "debug", "trace", "trace"]);
}
