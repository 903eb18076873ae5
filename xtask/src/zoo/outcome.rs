//! What became of the scenarios.

use serde_json::Value;

use super::rows::Row;
use super::test::{Test, Way};

/// What libtest says of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    Failed,
    /// It said nothing.
    Lost,
}

/// A test that was run, and the line that its scenario wrote.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) test: Test,
    /// Which of several runs.
    pub(super) run: u32,
    pub(super) verdict: Verdict,
    pub(super) line: Option<Value>,
}

/// In a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Right,
    /// What went wrong.
    Wrong(String),
    /// Why it was not run here.
    Skipped(String),
    /// Why nobody can look in this way.
    NotApplicable(String),
}

impl Trial {
    pub(super) fn outcome(&self) -> Outcome {
        let told = self.line.as_ref().and_then(|line| line["outcome"].as_str());
        let why = || self.text("/why").unwrap_or("it did not say why").to_owned();
        match (&self.verdict, told) {
            (Verdict::Passed, Some("right")) => Outcome::Right,
            (Verdict::Passed, Some("not-applicable")) => Outcome::NotApplicable(why()),
            (Verdict::Passed, Some("skipped")) => Outcome::Skipped(why()),
            (Verdict::Failed, Some("wrong")) => Outcome::Wrong(why()),
            (Verdict::Lost, _) => Outcome::Wrong("it did not end".to_owned()),
            (Verdict::Failed, _) => Outcome::Wrong("it failed outside of its scenario".to_owned()),
            (Verdict::Passed, _) => Outcome::Wrong("it told nothing".to_owned()),
        }
    }

    pub(super) fn is_wrong(&self) -> bool {
        matches!(self.outcome(), Outcome::Wrong(_))
    }

    /// A text of the line.
    pub(super) fn text(&self, place: &str) -> Option<&str> {
        self.line.as_ref()?.pointer(place)?.as_str()
    }

    /// What it is known to get wrong.
    pub(super) fn missed(&self) -> Option<&str> {
        self.text("/missed")
    }

    /// The code that was expected.
    pub(super) fn expected(&self) -> Option<&str> {
        self.text("/expected")
    }

    /// The code that was given; `nothing` where nothing was.
    pub(super) fn given(&self) -> Option<&str> {
        self.expected()?;
        Some(self.text("/given/code").unwrap_or(NOTHING))
    }

    /// Where the code is right: whether the culprit is (`right`, `wrong`), or something about it is not told (`untold`).
    pub(super) fn culprit(&self) -> Option<&str> {
        self.text("/culprit")
    }

    /// From the threshold, or the attach, to the answer.
    pub(super) fn seconds(&self) -> Option<f64> {
        self.line.as_ref()?["seconds"].as_f64()
    }

    /// Whether it names something wrong and is certain of it.
    fn is_surely_wrong(&self) -> bool {
        let misled = self.given() != self.expected() || self.culprit() == Some("wrong");
        self.is_wrong() && misled && self.text("/given/confidence") == Some("certain")
    }

    /// Whether it tells a stall where nothing hangs.
    fn is_false_alarm(&self) -> bool {
        self.expected() == Some(NOTHING) && self.given() != Some(NOTHING) && self.is_wrong()
    }

    /// From the start of `gmtrace -p`, and not from a threshold.
    fn is_by_attach(&self) -> bool {
        self.test.way == Way::Attach
    }

    /// Whether the answer came later than it should.
    pub(super) fn is_late(&self) -> bool {
        let bound = if self.is_by_attach() { 1.5 } else { 2.0 };
        self.seconds().is_some_and(|seconds| seconds > bound) && self.expected() != Some(NOTHING)
    }
}

/// What a scenario expects where nothing hangs.
const NOTHING: &str = "nothing";

/// All of it.
pub(super) struct Results {
    pub(super) trials: Vec<Trial>,
    pub(super) missing: Vec<&'static Row>,
}

impl Results {
    pub(super) fn wrong(&self) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(|trial| trial.is_wrong())
    }

    /// How soon the answers came.
    pub(super) fn promptness(&self) -> String {
        let of = |by_attach: bool| {
            let hangs = self.trials.iter().filter(|trial| trial.expected() != Some(NOTHING));
            let hangs = hangs.filter(|trial| trial.is_by_attach() == by_attach);
            let mut seconds: Vec<f64> = hangs.filter_map(Trial::seconds).collect();
            seconds.sort_by(f64::total_cmp);
            let half = seconds.get(seconds.len() / 2);
            let told = |seconds: &f64| format!("{seconds:.2} s");
            (half.map_or("-".to_owned(), told), seconds.last().map_or("-".to_owned(), told))
        };
        let ((launch, latest), (attach, last)) = (of(false), of(true));
        format!(
            "median answer {launch} after the threshold (latest {latest}), {attach} after an attach (latest {last})"
        )
    }

    /// In one line.
    pub(super) fn summary(&self) -> String {
        let count = |is: fn(&Trial) -> bool| self.trials.iter().filter(|trial| is(trial)).count();
        let right = count(|trial| trial.outcome() == Outcome::Right);
        let skipped = count(|trial| matches!(trial.outcome(), Outcome::Skipped(_)));
        let judged = right + count(Trial::is_wrong);
        format!(
            "{right} of {judged} right; {} wrong and certain of it; {} false alarms; {} late; {skipped} skipped; {} rows missing",
            count(Trial::is_surely_wrong),
            count(Trial::is_false_alarm),
            count(Trial::is_late),
            self.missing.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn trial(verdict: Verdict, line: Value) -> Trial {
        let test = Test::parse("http::n16_x::attach").unwrap();
        Trial { test, run: 1, verdict, line: Some(line) }
    }

    #[test]
    fn libtest_and_the_line_have_to_agree() {
        let right = || json!({"outcome": "right"});
        assert_eq!(trial(Verdict::Passed, right()).outcome(), Outcome::Right);
        assert!(trial(Verdict::Failed, right()).is_wrong());
        assert!(trial(Verdict::Lost, right()).is_wrong());
        assert!(Trial { line: None, ..trial(Verdict::Passed, right()) }.is_wrong());
        let skipped = trial(Verdict::Passed, json!({"outcome": "skipped", "why": "no root"}));
        assert_eq!(skipped.outcome(), Outcome::Skipped("no root".to_owned()));
        let left_out =
            trial(Verdict::Passed, json!({"outcome": "not-applicable", "why": "it ends"}));
        assert_eq!(left_out.outcome(), Outcome::NotApplicable("it ends".to_owned()));
    }

    #[test]
    fn counts_what_must_not_be() {
        let certain = json!({
            "outcome": "wrong", "why": "host", "expected": "http-silent", "culprit": "wrong", "seconds": 1.6,
            "given": {"code": "http-silent", "confidence": "certain"},
        });
        let alarm = json!({
            "outcome": "wrong", "why": "a stall", "expected": "nothing", "culprit": null,
            "given": {"code": "http-silent", "confidence": "likely"},
        });
        let trials = vec![
            trial(Verdict::Failed, certain),
            trial(Verdict::Failed, alarm),
            trial(
                Verdict::Passed,
                json!({"outcome": "right", "expected": "nothing", "given": {"code": null}}),
            ),
        ];
        let summary = Results { trials, missing: Vec::new() }.summary();
        let wanted = "1 of 3 right; 1 wrong and certain of it; 1 false alarms; 1 late; 0 skipped; 0 rows missing";
        assert_eq!(summary, wanted);
    }
}
