//! The tables of docs/formal/README.md: what holds under which compromise, and which attack shows where a defence is taken away. They
//! are made from what is expected, and what is expected was found, so they say what the models say.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::expectations::{COMPROMISES, Model};
use crate::verdict::{How, Verdict};

/// Both tables as they must be.
pub(crate) fn both(models: &[Model]) -> [String; 2] {
    [compromises(models), attacks(models)]
}

fn attacks(models: &[Model]) -> String {
    let mut table = String::from("| § | the protocol weakened | what shows |\n|---|---|---|\n");
    for model in models {
        let weakened = model.cases.iter().filter_map(|case| Some((&case.name, case.weakened.as_ref()?)));
        weakened.for_each(|(name, attack)| {
            let _ = writeln!(table, "| {} | {name} | {attack} |", model.sections);
        });
    }
    table
}

fn compromises(models: &[Model]) -> String {
    let mut table = String::from("| § | property | nobody |");
    COMPROMISES.iter().for_each(|compromise| cell(&mut table, compromise));
    table.push_str("\n|---|---|---|");
    COMPROMISES.iter().for_each(|_| table.push_str("---|"));
    table.push('\n');
    models.iter().for_each(|model| rows(&mut table, model));
    table
}

/// Whether the README has them.
pub(crate) fn is_in_readme(folder: &Path, models: &[Model]) -> Result<bool, String> {
    let file = folder.join("README.md");
    let readme = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let is_in = are_in(&readme, models);
    if !is_in {
        println!("\ndocs/formal/README.md: DIFFERS: its tables are not what `tests/formal/run table` prints");
    }
    Ok(is_in)
}

/// Whole, with nothing before or after.
fn are_in(text: &str, models: &[Model]) -> bool {
    both(models).iter().all(|table| text.contains(&format!("\n\n{table}\n")))
}

fn rows(table: &mut String, model: &Model) {
    let mark = |verdict| match verdict {
        Verdict::Holds => HOLDS,
        Verdict::Falls(How::Repeated | How::Stale) => "again",
        Verdict::Falls(How::Learned | How::Forged) => "**falls**",
    };
    for query in &model.queries {
        let as_it_is = query.expected(None).map(mark);
        let nobody = as_it_is.filter(|_| model.compromise.is_none());
        let _ = write!(table, "| {} | {} | {} |", model.sections, query.property, nobody.unwrap_or(""));
        for compromise in COMPROMISES {
            let of = |of: &Option<String>| of.as_deref() == Some(compromise);
            let cases = model.cases.iter().filter(|case| of(&case.compromise));
            let verdicts = cases.filter_map(|case| {
                let mark = mark(query.expected(Some(case))?);
                Some(if mark == HOLDS && case.is_recorded() { RECORDED } else { mark })
            });
            // Of several cases of one compromise the worst counts.
            let worst = verdicts.chain(as_it_is.filter(|_| of(&model.compromise))).min_by_key(|mark| {
                ["**falls**", "again", RECORDED, HOLDS].iter().position(|known| known == mark)
            });
            cell(table, worst.unwrap_or(""));
        }
        table.push('\n');
    }
}

fn cell(table: &mut String, text: &str) {
    table.push(' ');
    table.push_str(text);
    table.push_str(" |");
}

const HOLDS: &str = "holds";
/// Holds where the attacker only listened, and has what is stolen afterwards.
const RECORDED: &str = "recorded";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expectations::tests::GOOD;

    #[test]
    fn each_query_is_a_row_and_each_compromise_a_column() {
        let read = |text: &str| [Model::parse("a", text).unwrap()];
        let rows =
            |text: &str| compromises(&read(text)).lines().skip(2).map(str::to_owned).collect::<Vec<_>>();
        let empty = "  |".repeat(COMPROMISES.len() - 1);
        let whole = [
            format!("| 7 | secret | holds | **falls** |{empty}"),
            format!("| 7 | true | holds | holds |{empty}"),
        ];
        assert_eq!(rows(GOOD), whole);
        let passive = GOOD.replace(r#"to = "b""#, r#"to = "attacker[passive]""#);
        assert_eq!(rows(&passive)[1], whole[1].replace("holds | holds", "holds | recorded"));
        // A compromise that the model has from the beginning leaves nobody's column empty.
        let bad = GOOD.replace("sections = ", "compromise = \"sender's key\"\nsections = ");
        assert_eq!(rows(&bad)[1], whole[1].replace("holds | holds", " | holds"));
    }

    #[test]
    fn a_table_with_more_than_there_is_is_another() {
        let models = [Model::parse("a", GOOD).unwrap()];
        let [compromises, attacks] = both(&models);
        let readme = |more: &str| format!("# Tables\n\n{compromises}{more}\nOther:\n\n{attacks}\nEnd.\n");
        assert!(are_in(&readme(""), &models));
        assert!(!are_in(&readme("| 8 | gone | holds |\n"), &models));
        assert!(!are_in(&readme("").replace("| 7 | true |", "| 7 | so |"), &models));
    }
}
