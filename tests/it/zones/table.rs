//! Who could speak to whom, and why not.

use std::fmt;

use keycell_client::Opened;
use keycell_client::https::{Agent, Error};
use keycell_protocol::Name;

use super::scene::why;

/// Who speaks and who hears in one zone.
pub(super) struct Ends {
    pub(super) sender: Agent,
    pub(super) receiver: Agent,
    pub(super) member: Agent,
}

/// One line for each pair of zones and kind of message.
#[derive(Default)]
pub(super) struct Table(Vec<Row>);

/// One kind of message between two zones.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) what: &'static str,
    /// `opened`, or why not.
    pub(super) verdict: String,
}

impl Table {
    /// Tries everything from one zone to another: to a party, its answer, and to a group.
    pub(super) async fn fill(
        &mut self,
        (from, source): (&Ends, &str),
        (to, zone): (&Ends, &str),
        group: &Name,
    ) {
        let mut note = |what, verdict: String| {
            self.0.push(Row { from: source.to_owned(), to: zone.to_owned(), what, verdict });
        };
        let body = format!("{source} {zone}");
        let sealed = from.sender.seal(to.receiver.name(), "party", body.as_bytes()).await;
        let opened = sealed.as_ref().ok().map(|message| to.receiver.open(message));
        note("party", verdict(&sealed, opened.as_ref(), &body));
        let reply = match &opened {
            Some(Ok(opened)) => {
                let asked = to.receiver.stats().requests;
                let reply = to.receiver.reply(opened, body.as_bytes()).map_err(Error::from);
                assert_eq!(to.receiver.stats().requests, asked, "an answer takes no lookup");
                let opened = reply.as_ref().ok().map(|reply| from.sender.open(reply));
                verdict(&reply, opened.as_ref(), &body)
            }
            _ => "nothing to answer".to_owned(),
        };
        note("reply", reply);
        let sealed = from.sender.seal(group, "group", body.as_bytes()).await;
        let opened = sealed.as_ref().ok().map(|message| to.member.open(message));
        note("group", verdict(&sealed, opened.as_ref(), &body));
    }

    pub(super) fn rows(&self) -> &[Row] {
        &self.0
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<8} {:<8} {:<8} what came of it", "from", "to", "what")?;
        let mut rows = self.0.iter();
        rows.try_for_each(|Row { from, to, what, verdict }| {
            writeln!(f, "{from:<8} {to:<8} {what:<8} {verdict}")
        })
    }
}

fn verdict<E: fmt::Debug>(
    sealed: &Result<Vec<u8>, Error>,
    opened: Option<&Result<Opened, E>>,
    body: &str,
) -> String {
    match (sealed, opened) {
        (Err(error), _) => match why(error) {
            Some(problem) => problem.urn().rsplit(':').next().unwrap().to_owned(),
            None => "unknown".to_owned(),
        },
        (Ok(_), Some(Ok(opened))) if opened.body == body.as_bytes() => "opened".to_owned(),
        (Ok(_), opened) => format!("{opened:?}"),
    }
}
