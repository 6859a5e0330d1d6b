//! Custom rules in a policy's text: checked before they are in force, with the place of every flaw.

use std::ops::Range;

use prunella_engine::catalogue;
use prunella_expr::{Expression, Flaw};
use prunella_model::policy::FleetPolicy;
use prunella_settings::{Located, Source, Spanned, nearest};
use serde::Deserialize;

/// The most custom rules of a policy. Each is evaluated on every target that it looks at.
pub const RULES_MAX: usize = 200;

/// The longest summary, in characters: it stands in one line of a table.
const SUMMARY_MAX: usize = 200;

/// Something about a custom rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// What, and where.
    pub located: Located,
    /// False when the rule can be used all the same.
    pub fatal: bool,
}

#[derive(Deserialize)]
struct Parts {
    #[serde(default)]
    rule: Vec<Part>,
}

/// What of a rule has a place of its own in messages.
#[derive(Deserialize)]
struct Part {
    name: Spanned<String>,
    when: Spanned<String>,
    #[serde(default)]
    summary: Option<Spanned<String>>,
    #[serde(default)]
    actions: Vec<Spanned<String>>,
}

/// Everything that is wrong with, or doubtful about, the custom rules of a policy's text, in the order of the text.
///
/// # Errors
/// [`Located`] when the text is no policy at all.
pub fn remarks(file: &str, text: &str) -> Result<Vec<Remark>, Located> {
    let source = Source::new(file, text);
    // Strictly first, so that what is no policy is said as such.
    source.read::<FleetPolicy>()?;
    let parts: Parts = source.read()?;
    let mut check = Check { source, text, remarks: Vec::new() };
    if let Some(first) = parts.rule.get(RULES_MAX) {
        check.fatal(first.name.span(), format!("is rule number {}; at most {RULES_MAX} are allowed", RULES_MAX + 1));
    }
    let mut names: Vec<&str> = Vec::new();
    for part in &parts.rule {
        check.name(&part.name, &names);
        names.push(part.name.get_ref());
        check.condition(&part.when);
        if let Some(summary) = part.summary.as_ref().filter(|it| it.get_ref().chars().count() > SUMMARY_MAX) {
            check.fatal(summary.span(), format!("is longer than {SUMMARY_MAX} characters; a summary is one line"));
        }
        part.actions.iter().for_each(|action| check.action(action));
    }
    Ok(check.remarks)
}

struct Check<'a> {
    source: Source<'a>,
    text: &'a str,
    remarks: Vec<Remark>,
}

impl Check<'_> {
    fn fatal(&mut self, span: Range<usize>, what: String) {
        let located = self.source.at(span, what);
        self.remarks.push(Remark { located, fatal: true });
    }

    fn name(&mut self, name: &Spanned<String>, before: &[&str]) {
        let text = name.get_ref();
        let shipped = catalogue::rules(&FleetPolicy::default());
        if before.contains(&text.as_str()) {
            self.fatal(name.span(), format!("{text:?} is the name of two rules"));
        } else if matches!(text.as_str(), "reported" | "requested" | "shared_cause")
            || shipped.iter().any(|rule| rule.name == text)
        {
            self.fatal(
                name.span(),
                format!("{text:?} is a shipped rule; change it in [rules.{text}], or choose another name"),
            );
        }
    }

    fn condition(&mut self, when: &Spanned<String>) {
        let flaws = match Expression::new(when.get_ref()) {
            Ok(expression) => expression.notes().to_vec(),
            Err(flaws) => flaws,
        };
        for flaw in flaws {
            let what = format!("{}\n{}", flaw.what, flaw.caret(when.get_ref()));
            let located = self.source.at(self.within(when, &flaw), what);
            self.remarks.push(Remark { located, fatal: flaw.fatal });
        }
    }

    /// Where a flaw of a condition lies in the file. A text with escapes is not what stands in the file; there the whole
    /// of it is named.
    fn within(&self, when: &Spanned<String>, flaw: &Flaw) -> Range<usize> {
        let literal = when.span();
        let value = when.get_ref();
        let raw = self.text.get(literal.clone()).unwrap_or_default();
        match raw.find(value.as_str()) {
            Some(offset) if !value.is_empty() => literal.start + offset + flaw.span.start..literal.end,
            Some(_) | None => literal,
        }
    }

    fn action(&mut self, action: &Spanned<String>) {
        let repairs = catalogue::repairs();
        let known: Vec<&str> = repairs.iter().map(|repair| repair.name).collect();
        let text = action.get_ref();
        if known.contains(&text.as_str()) {
            return;
        }
        let offer = match nearest(text, &known) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("there are: {}", known.join(", ")),
        };
        self.fatal(action.span(), format!("there is no repair {text:?}; {offer}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        let all = remarks("policy.toml", text).unwrap();
        all.iter().map(|it| format!("{}{}", if it.fatal { "" } else { "note: " }, it.located)).collect()
    }

    #[test]
    fn flaws_are_placed_in_the_file() {
        let text = "[[rule]]\nname = \"big\"\nwhen = \"target.kid == 'host'\"\nactions = [\"restart_servce\"]\n";
        assert_eq!(
            said(text),
            [
                "policy.toml:3:16: there is no \"kid\" here; did you mean \"kind\"? There are: critical, kind, labels, name, \
                 service\n  | target.kid == 'host'\n  |        ^^^",
                "policy.toml:4:12: there is no repair \"restart_servce\"; did you mean \"restart_service\"?",
            ]
        );
        let many = "[[rule]]\nname = \"a\"\nwhen = '''\n  target.critical &&\n  nothing'''\n";
        assert!(said(many)[0].starts_with("policy.toml:5:3: nothing is called \"nothing\""), "{:?}", said(many));
    }

    #[test]
    fn names_are_unique_and_not_those_of_shipped_rules() {
        let rule = |name: &str| format!("[[rule]]\nname = \"{name}\"\nwhen = \"target.critical\"\n");
        assert_eq!(said(&rule("mine")), Vec::<String>::new());
        assert!(said(&(rule("mine") + &rule("mine")))[0].contains("two rules"));
        assert!(said(&rule("process_down"))[0].contains("shipped"));
        assert!(said(&rule("reported"))[0].contains("shipped"));
    }
}
