//! What is sent and what is read, held against what ARM was recorded to answer.
