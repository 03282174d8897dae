//! Figures in the text form of OpenMetrics, which Prometheus scrapes: families, series, histograms.
//!
//! What this module must not do: count anything, or know what a figure is about.

use std::fmt;

use http::HeaderValue;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
pub use prometheus_client::registry::Unit;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The same as a header's value.
pub const CONTENT_TYPE: HeaderValue = HeaderValue::from_static(MEDIA_TYPE);

/// For a family that is in seconds.
pub const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
/// For a family that is in bytes.
pub const BYTES: Option<&Unit> = Some(&Unit::Bytes);

/// The names and values that tell the series of a family apart.
pub type Labels = Vec<(&'static str, String)>;

/// One label.
pub fn label(name: &'static str, value: impl ToString) -> Labels {
    vec![(name, value.to_string())]
}

/// A family of one series, without labels.
pub fn one<V>(value: V) -> [(Labels, V); 1] {
    [(Labels::new(), value)]
}

/// Milliseconds as seconds.
pub fn seconds(millis: u64) -> f64 {
    millis as f64 / 1e3
}

/// The whole text; the names of all families begin with the prefix.
///
/// # Errors
/// Those of the families.
pub fn exposition(
    prefix: &'static str,
    families: impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix(prefix);
    registry.register_collector(Box::new(Exposed(families)));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

struct Exposed<F>(F);

impl<F> fmt::Debug for Exposed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exposed")
    }
}

impl<F: Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static> Collector for Exposed<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Page(encoder))
    }
}

/// The text as it grows: a family at a time. The name of one that has a unit ends in it, which is added here.
#[derive(Debug)]
pub struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// A family of figures that go up and down.
    ///
    /// # Errors
    /// Of the text's writing.
    pub fn gauge<V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = (Labels, V)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in values {
            match labels.is_empty() {
                true => family.encode_gauge(&value)?,
                false => family.encode_family(&labels)?.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    /// A family of figures that only grow. The name's `_total` is added here.
    ///
    /// # Errors
    /// Of the text's writing.
    pub fn counter(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Labels, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            match labels.is_empty() {
                true => family.encode_counter::<NoLabelSet, _, f64>(&value, None)?,
                false => family.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?,
            }
        }
        Ok(())
    }

    /// A histogram, from buckets that hold those before them.
    ///
    /// # Errors
    /// Of the text's writing.
    pub fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        sum: f64,
        count: u64,
        buckets: impl Iterator<Item = (f64, u64)>,
    ) -> fmt::Result {
        let mut before = 0;
        let apart = buckets.chain([(f64::INFINITY, count)]).map(|(bound, up_to)| {
            let here = up_to.saturating_sub(before);
            before = up_to;
            (bound, here)
        });
        let apart: Vec<(f64, u64)> = apart.collect();
        self.0
            .encode_descriptor(name, help, unit, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(sum, count, &apart, None)
    }
}
