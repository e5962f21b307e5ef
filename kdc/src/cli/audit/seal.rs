//! `keycell audit seal`

use std::io;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::fields;
use super::AUDIT;
use crate::api::AuditSeal;

pub(super) async fn run(admin: &Admin, output: &Output) -> Outcome {
    let seal: AuditSeal = admin.get(format!("{AUDIT}/seal")).read().await?;
    Ok(output.print(&seal, |out| write(out, &seal))?)
}

pub(super) fn write(out: &mut dyn io::Write, seal: &AuditSeal) -> io::Result<()> {
    fields(
        out,
        [
            ("record", format!("{}:{}", seal.seq, seal.hash)),
            ("at", time(seal.at)),
            ("signature", seal.signature.clone()),
            ("audit key", seal.public_key.clone()),
        ],
    )
}
