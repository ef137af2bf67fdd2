//! `windlass ps`: what runs, how it is, and where it is reached.

mod row;

use std::collections::BTreeMap;

use super::arguments::{Format, Ps};
use super::ui::Table;
use super::ui::words::age;
use super::{CommandError, Exit, Invocation, project};
use crate::conditions;
use crate::supervisor::{client, declared};
use row::Row;

/// Shows the stack's instances.
pub(super) async fn run(invocation: &Invocation, arguments: &Ps) -> Result<Exit, CommandError> {
    let world = project::world(invocation)?;
    let stack = project::name(invocation)?;
    let observed = world.observe(&stack).await?;
    let now = jiff::Timestamp::now().as_second();
    let declared = if client::process(&invocation.directories, &stack).is_some() {
        declared::read(&invocation.directories.stack(&stack))
    } else {
        // What a supervisor found that is no more says nothing about now.
        BTreeMap::new()
    };
    let wanted = |row: &Row| {
        (arguments.all || row.is_worth_showing())
            && (arguments.names.is_empty() || arguments.names.iter().any(|name| row.is(name)))
    };
    let rows: Vec<Row> = observed
        .instances
        .values()
        .map(|instance| {
            let conditions = conditions::of(&observed, instance, declared.get(&instance.id));
            Row::new(&stack, &observed, instance, conditions)
        })
        .filter(wanted)
        .collect();
    if arguments.quiet {
        for row in &rows {
            invocation.screen.data(&row.name)?;
        }
        return Ok(Exit::Done);
    }
    match arguments.format {
        Format::Json => {
            for row in &rows {
                invocation.screen.json_line(row)?;
            }
        }
        Format::Table if arguments.conditions => {
            invocation.screen.table(&conditions_table(&rows, now))?;
        }
        Format::Table => invocation.screen.table(&table(&rows, now))?,
    }
    explain_emulation(invocation, &rows);
    Ok(Exit::Done)
}

fn table(rows: &[Row], now: i64) -> Table {
    let mut table = Table::new(["NAME", "KIND", "IMAGE", "STATE", "ADDRESS", "PORTS", "SINCE"]);
    for row in rows {
        table.row([
            row.name.clone(),
            row.kind.to_string(),
            row.image.clone(),
            row.state_in_words(now),
            row.address_in_words(),
            row.ports_in_words(),
            row.age(now),
        ]);
    }
    table
}

fn conditions_table(rows: &[Row], now: i64) -> Table {
    let mut table = Table::new(["NAME", "CONDITION", "STATUS", "SINCE", "REASON"]);
    for row in rows {
        for condition in row.conditions() {
            let since = condition.since.map_or_else(|| "–".into(), |since| age(now - since));
            table.row([
                row.name.clone(),
                condition.name.to_string(),
                condition.status.to_string(),
                since,
                condition.reason.clone(),
            ]);
        }
    }
    table
}

/// Says on standard error which VMs are slow, and why.
fn explain_emulation(invocation: &Invocation, rows: &[Row]) {
    let emulated: Vec<&Row> = rows.iter().filter(|row| row.emulated.is_some()).collect();
    let Some(reason) = emulated.first().and_then(|row| row.emulated.as_deref()) else { return };
    let names: Vec<&str> = emulated.iter().map(|row| row.name.as_str()).collect();
    let verb = if names.len() == 1 { "runs" } else { "run" };
    invocation.screen.note(&format!(
        "{} {verb} emulated (TCG), about 20× slower: {reason}; see windlass doctor",
        names.join(", ")
    ));
}
