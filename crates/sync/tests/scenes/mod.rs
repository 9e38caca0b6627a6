//! What happens in the cluster, one file a subject.

pub(crate) mod adopt;
pub(crate) mod bindings;
pub(crate) mod brake;
pub(crate) mod lease;
pub(crate) mod merged;
pub(crate) mod rollback;
pub(crate) mod undelete;
