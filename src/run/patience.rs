//! The old names of [`Retry`](crate::retry::Retry) and of its macro.

pub use crate::retry::Retry as Patience;
pub(crate) use crate::retry::retry as patiently;
