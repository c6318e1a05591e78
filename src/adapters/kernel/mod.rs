//! Lustre through the kernel of this node.

pub mod facts;
