//! What came out: all figures as JSON, and a table with ratios.

use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::stats::{geometric_mean, least, median, most};

/// One engine's runs of one query.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) engine: String,
    /// Of each measured run.
    pub(crate) seconds: Vec<f64>,
    /// User and system time of a run, the mean over all measured ones.
    pub(crate) cpu_seconds: Option<f64>,
}

/// An engine that could not do a query.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Dropped {
    pub(crate) engine: String,
    pub(crate) reason: String,
}

/// A query; Sabot's entry comes first.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Query {
    pub(crate) name: String,
    pub(crate) result_rows: u64,
    pub(crate) checksum: String,
    /// Of the columns that have to be read.
    pub(crate) bytes: u64,
    pub(crate) entries: Vec<Entry>,
    pub(crate) dropped: Vec<Dropped>,
}

/// A run of the suite.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) suite: &'static str,
    pub(crate) profile: String,
    pub(crate) rows: u64,
    pub(crate) workers: u32,
    pub(crate) runs: u32,
    pub(crate) processor: String,
    pub(crate) load_before: String,
    pub(crate) bandwidth_before: f64,
    pub(crate) bandwidth_after: f64,
    /// Names and versions, Sabot first.
    pub(crate) engines: Vec<(String, String)>,
    pub(crate) peak_memory_bytes: Vec<(String, Option<u64>)>,
    pub(crate) queries: Vec<Query>,
}

impl Query {
    fn sabot(&self) -> &[f64] {
        self.entries.first().map_or(&[], |entry| &entry.seconds)
    }

    /// How many times as fast as an engine Sabot is, by medians.
    fn ratio(&self, entry: &Entry) -> f64 {
        median(&entry.seconds) / median(self.sabot())
    }

    /// A win is when Sabot's slowest run beats the fastest run of the other.
    fn won(&self, entry: &Entry) -> bool {
        most(self.sabot()) < least(&entry.seconds)
    }

    /// The ratio to the best of all peers.
    fn ratio_to_best(&self) -> Option<f64> {
        self.entries.iter().skip(1).map(|entry| self.ratio(entry)).reduce(f64::min)
    }
}

impl Report {
    /// The rate at which memory can be read, the better of two measurements.
    fn bandwidth(&self) -> f64 {
        self.bandwidth_before.max(self.bandwidth_after)
    }

    fn share(&self, query: &Query, entry: &Entry) -> f64 {
        query.bytes as f64 / median(&entry.seconds) / self.bandwidth()
    }

    /// The geometric mean of the ratios to each peer, over the queries that it took part in.
    fn means(&self) -> BTreeMap<&str, f64> {
        let mut ratios: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for query in &self.queries {
            for entry in query.entries.iter().skip(1) {
                ratios.entry(&entry.engine).or_default().push(query.ratio(entry));
            }
            if let Some(ratio) = query.ratio_to_best() {
                ratios.entry("best of all").or_default().push(ratio);
            }
        }
        ratios.into_iter().map(|(engine, ratios)| (engine, geometric_mean(&ratios))).collect()
    }

    /// All figures.
    pub(crate) fn json(&self) -> Value {
        let entry = |query: &Query, entry: &Entry| {
            let middle = median(&entry.seconds);
            json!({
                "engine": entry.engine,
                "seconds": entry.seconds,
                "seconds_median": middle,
                "seconds_min": least(&entry.seconds),
                "seconds_max": most(&entry.seconds),
                "rows_per_second": self.rows as f64 / middle,
                "cpu_seconds": entry.cpu_seconds,
                "rows_per_cpu_second": entry.cpu_seconds.filter(|cpu| *cpu > 0.0).map(|cpu| self.rows as f64 / cpu),
                "share_of_bandwidth": self.share(query, entry),
                "sabot_is_faster_by": query.ratio(entry),
                "sabot_won": query.won(entry),
            })
        };
        let query = |query: &Query| {
            json!({
                "query": query.name,
                "result_rows": query.result_rows,
                "checksum": query.checksum,
                "bytes": query.bytes,
                "engines": query.entries.iter().map(|e| entry(query, e)).collect::<Vec<_>>(),
                "could_not": query.dropped,
            })
        };
        json!({
            "suite": self.suite,
            "profile": self.profile,
            "rows": self.rows,
            "workers": self.workers,
            "runs": self.runs,
            "processor": self.processor,
            "load_before": self.load_before,
            "bandwidth_bytes_per_second": {"before": self.bandwidth_before, "after": self.bandwidth_after},
            "versions": self.engines.iter().cloned().collect::<BTreeMap<_, _>>(),
            "peak_memory_bytes": self.peak_memory_bytes.iter().cloned().collect::<BTreeMap<_, _>>(),
            "queries": self.queries.iter().map(query).collect::<Vec<_>>(),
            "geometric_means": self.means(),
        })
    }

    /// The table. Ratios say how many times as fast as the peer Sabot is; those of wins are bold.
    pub(crate) fn markdown(&self) -> String {
        let peers: Vec<&(String, String)> = self.engines.iter().skip(1).collect();
        let mut lines = vec![format!(
            "{} rows, {} threads each, {} measured runs in turns, {}; load before {}; memory reads {:.1} and {:.1} GB/s \
             (before, after).",
            self.rows,
            self.workers,
            self.runs,
            self.processor,
            self.load_before,
            self.bandwidth_before / 1e9,
            self.bandwidth_after / 1e9
        )];
        if self.profile != "release" {
            lines.push(format!("**Profile {}: the times mean nothing.**", self.profile));
        }
        lines.push(String::new());
        let mut header =
            "| query | result rows | Sabot s (min–max) | CPU s | Mrows/s | of bandwidth |".to_owned();
        let mut rule = "|---|---:|---:|---:|---:|---:|".to_owned();
        for (name, version) in &peers {
            let _ = write!(header, " {name} {version} |");
            rule.push_str("---:|");
        }
        lines.extend([header, rule]);
        for query in &self.queries {
            lines.push(self.line(query, &peers));
        }
        lines.push(String::new());
        for (engine, mean) in self.means() {
            lines.push(format!("Geometric mean of ratios to {engine}: {mean:.2}×."));
        }
        for query in &self.queries {
            for Dropped { engine, reason } in &query.dropped {
                lines.push(format!("{engine} could not do {}: {reason}.", query.name));
            }
        }
        let mib = |bytes: &Option<u64>| bytes.map_or_else(|| "?".to_owned(), |b| (b >> 20).to_string());
        let peaks = self.peak_memory_bytes.iter().map(|(name, peak)| format!("{name} {} MiB", mib(peak)));
        lines.push(format!("Peak memory, tables included: {}.", peaks.collect::<Vec<_>>().join(", ")));
        lines.join("\n") + "\n"
    }

    fn line(&self, query: &Query, peers: &[&(String, String)]) -> String {
        let times =
            |seconds: &[f64]| format!("{:.4} ({:.4}–{:.4})", median(seconds), least(seconds), most(seconds));
        let sabot = query.sabot();
        let (cpu, share) =
            query.entries.first().map_or((None, f64::NAN), |e| (e.cpu_seconds, self.share(query, e)));
        let mut line = format!(
            "| {} | {} | {} | {} | {:.1} | {:.0} % |",
            query.name,
            query.result_rows,
            times(sabot),
            cpu.map_or_else(|| "?".to_owned(), |cpu| format!("{cpu:.3}")),
            self.rows as f64 / median(sabot) / 1e6,
            share * 100.0
        );
        for (name, _) in peers {
            let entry = query.entries.iter().find(|entry| entry.engine == *name);
            let cell = entry.map_or_else(
                || "could not".to_owned(),
                |entry| {
                    let ratio = format!("{:.2}×", query.ratio(entry));
                    let ratio = if query.won(entry) { format!("**{ratio}**") } else { ratio };
                    format!("{:.4} {ratio}", median(&entry.seconds))
                },
            );
            let _ = write!(line, " {cell} |");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let entry = |engine: &str, seconds: [f64; 3]| Entry {
            engine: engine.to_owned(),
            seconds: seconds.to_vec(),
            cpu_seconds: Some(0.2),
        };
        let query = Query {
            name: "filter-project/1%".to_owned(),
            result_rows: 10,
            checksum: "ab".to_owned(),
            bytes: 1_000_000,
            entries: vec![
                entry("sabot", [0.1, 0.11, 0.09]),
                entry("fast", [0.05, 0.05, 0.06]),
                entry("slow", [0.2, 0.21, 0.12]),
            ],
            dropped: vec![Dropped { engine: "shy".to_owned(), reason: "no such function".to_owned() }],
        };
        let names = ["sabot", "fast", "slow", "shy"];
        Report {
            suite: "operators",
            profile: "release".to_owned(),
            rows: 1_000_000,
            workers: 2,
            runs: 3,
            processor: "a processor".to_owned(),
            load_before: "0.1".to_owned(),
            bandwidth_before: 1e9,
            bandwidth_after: 1e8,
            engines: names.map(|name| (name.to_owned(), "1.0".to_owned())).to_vec(),
            peak_memory_bytes: names.map(|name| (name.to_owned(), Some(1 << 20))).to_vec(),
            queries: vec![query],
        }
    }

    #[test]
    fn ratios_are_to_the_median_and_wins_to_the_fastest_run() {
        let query = &report().queries[0];
        assert!((query.ratio(&query.entries[2]) - 2.0).abs() < 1e-12);
        assert!(query.won(&query.entries[2]) && !query.won(&query.entries[1]));
        assert_eq!(query.ratio_to_best(), Some(0.5));
    }

    #[test]
    fn the_table_names_who_won_who_lost_and_who_could_not() {
        let text = report().markdown();
        let line = text.lines().find(|line| line.starts_with("| filter-project")).unwrap();
        assert!(line.contains(" 0.0500 0.50× | 0.2000 **2.00×** | could not |"), "{line}");
        assert!(line.contains("| 0.200 | 10.0 | 1 % |"), "{line}");
        assert!(text.contains("shy could not do filter-project/1%: no such function."), "{text}");
        assert!(text.contains("ratios to best of all: 0.50×"), "{text}");
        let slow = Report { profile: "dev".to_owned(), ..report() };
        assert!(slow.markdown().contains("the times mean nothing"));
    }

    #[test]
    fn the_figures_have_units_in_their_names() {
        let value = report().json();
        let first = &value["queries"][0]["engines"][0];
        assert_eq!(first["seconds_median"], 0.1);
        assert_eq!(first["share_of_bandwidth"], 0.01);
        assert_eq!(value["queries"][0]["could_not"][0]["engine"], "shy");
    }
}
