//! The unification of the assessment model: regular assessments are brought to one model in place, teacher
//! assessments are brought into their collection, five indexes are made, and the result is validated.
//!
//! [`model`] is the table of fields, sources and defaults; [`mapping`] applies it to one document, [`unified`] makes of that
//! an update or a copy; neither knows a server, and both see values as [`values`] does.
//! [`regular`] and [`teacher`] are the two tasks of a run, taken through by the same journal and chunks as the
//! operations of a migration and captured alike; the second one is taken back with [`carry_back`], the first one
//! is undone like any update. [`survey`] finds out beforehand what there is to do, and so does [`look`] while the backup is
//! written; [`validate`] afterwards what there is, of which [`expected`] lets the server count what needs no reading.
//! [`copies`] knows which document is whose copy and [`ids`] under which `_id` a copy goes; [`constraints`] asks beforehand what the
//! server would refuse, and [`refusals`] keeps what it has refused.
//! [`old_tool`] rolls back what the old tool did, from the backup document that it left.

mod ahead;
pub(crate) mod base;
pub(crate) mod candidates;
pub(crate) mod carry_back;
pub mod constraints;
pub mod copies;
mod dates;
pub mod expected;
pub mod ids;
pub mod indexes;
pub mod look;
pub mod looked;
pub(crate) mod mapping;
pub(crate) mod model;
pub mod names;
pub mod old_tool;
pub mod references;
pub mod refusals;
mod regular;
pub mod report;
pub mod survey;
pub mod task;
pub mod teacher;
mod text_index;
pub mod undo_copies;
mod unified;
pub mod validate;
pub(crate) mod values;
