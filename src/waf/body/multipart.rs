//! `multipart/form-data`, read as ModSecurity 2 reads it, with every flag it raises.
