//! The volume id: `{name}#{fs-name}#{mgs-ip}#{sub-dir}#{t or f}#{resource-group}`.
//!
//! PersistentVolumes keep their id for years and across a change of driver, so this form, and the older
//! ones with 3, 4 and 5 fields, are read as the Go driver wrote them. `DeleteVolume` learns from the id alone whether a file
//! system was made for the volume; a `#` inside a field would shift that flag, so no field with one is ever written.

use std::fmt;

use super::error::quote;

const SEPARATOR: char = '#';
/// Most fields that any form of the id has.
pub const FIELDS_MAX: usize = 6;

/// Where the volume's file system comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `t`: created by dynamic provisioning; deleting the volume deletes the file system.
    Dynamic,
    /// `f` or anything else: existed before; deleting the volume touches nothing.
    Static,
}

/// The fields of a volume id. All may be empty but none holds a `#`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumeId {
    name: String,
    fs_name: String,
    mgs_address: String,
    sub_dir: String,
    origin: Origin,
    resource_group: String,
}

/// Why a text is not a volume id of this driver, or cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VolumeIdError {
    /// Not 3 to 6 fields.
    #[error("{id} is not a volume id of this driver: it has {fields} fields between `#`, not 3 to 6")]
    Fields {
        /// The id.
        id: String,
        /// How many fields it has.
        fields: usize,
    },
    /// A field to be written holds the separator.
    #[error("{field} {value} contains `#`, which separates the fields of the volume id")]
    Separator {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
}

/// The fields to write into a volume id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeIdFields<'a> {
    /// Name of the volume; for dynamic ones the name of the AMLFS file system.
    pub name: &'a str,
    /// Lustre file system name, such as `lustrefs`.
    pub fs_name: &'a str,
    /// Address of the MGS.
    pub mgs_address: &'a str,
    /// Sub-directory template, or empty.
    pub sub_dir: &'a str,
    /// Where the file system comes from.
    pub origin: Origin,
    /// Resource group of the file system; empty for static volumes.
    pub resource_group: &'a str,
}

impl VolumeId {
    /// Builds an id; a `#` in any field is refused. Slashes round file system name and sub-directory are dropped, as they
    /// are when the id is read.
    pub fn new(fields: VolumeIdFields<'_>) -> Result<Self, VolumeIdError> {
        let VolumeIdFields { name, fs_name, mgs_address, sub_dir, origin, resource_group } = fields;
        let texts = [
            ("volume name", name),
            ("fs-name", fs_name),
            ("mgs-ip-address", mgs_address),
            ("sub-dir", sub_dir),
            ("resource-group-name", resource_group),
        ];
        if let Some((field, value)) = texts.into_iter().find(|(_, value)| value.contains(SEPARATOR)) {
            return Err(VolumeIdError::Separator { field, value: quote(value) });
        }
        Ok(Self {
            name: name.to_owned(),
            fs_name: fs_name.trim_matches('/').to_owned(),
            mgs_address: mgs_address.to_owned(),
            sub_dir: sub_dir.trim_matches('/').to_owned(),
            origin,
            resource_group: resource_group.to_owned(),
        })
    }

    /// Reads an id of 3, 4, 5 or 6 fields. Slashes round file system name and sub-directory are dropped.
    pub fn parse(text: &str) -> Result<Self, VolumeIdError> {
        let fields: Vec<&str> = text.split(SEPARATOR).collect();
        if !(3..=FIELDS_MAX).contains(&fields.len()) {
            return Err(VolumeIdError::Fields { id: quote(text), fields: fields.len() });
        }
        let field = |index: usize| fields.get(index).copied().unwrap_or_default();
        Ok(Self {
            name: field(0).to_owned(),
            fs_name: field(1).trim_matches('/').to_owned(),
            mgs_address: field(2).to_owned(),
            sub_dir: field(3).trim_matches('/').to_owned(),
            origin: if field(4) == "t" { Origin::Dynamic } else { Origin::Static },
            resource_group: field(5).to_owned(),
        })
    }

    /// Name of the volume, which for dynamic volumes is that of the file system.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lustre file system name; old ids of the Go driver may hold anything here.
    pub fn fs_name(&self) -> &str {
        &self.fs_name
    }

    /// Address of the MGS as it was when the id was written.
    pub fn mgs_address(&self) -> &str {
        &self.mgs_address
    }

    /// Sub-directory template, or empty.
    pub fn sub_dir(&self) -> &str {
        &self.sub_dir
    }

    /// Where the file system comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Resource group of the file system; empty where unknown.
    pub fn resource_group(&self) -> &str {
        &self.resource_group
    }
}

impl Origin {
    /// `t` or `f`, as volume id and context hold it.
    pub fn flag(self) -> &'static str {
        match self {
            Self::Dynamic => "t",
            Self::Static => "f",
        }
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, fs_name, mgs_address, sub_dir, origin, resource_group } = self;
        write!(f, "{name}#{fs_name}#{mgs_address}#{sub_dir}#{}#{resource_group}", origin.flag())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_forms_are_read() {
        for (text, sub_dir) in [
            ("vol#lustrefs#1.1.1.1", ""),
            ("vol#lustrefs#1.1.1.1#", ""),
            ("vol#/lustrefs/#1.1.1.1#/a/b/", "a/b"),
            ("vol#lustrefs#1.1.1.1##", ""),
        ] {
            let id = VolumeId::parse(text).unwrap();
            assert_eq!(
                (id.name(), id.fs_name(), id.mgs_address(), id.sub_dir()),
                ("vol", "lustrefs", "1.1.1.1", sub_dir)
            );
            assert_eq!((id.origin(), id.resource_group()), (Origin::Static, ""));
        }
        let id = VolumeId::parse("vol#lustrefs#1.1.1.1#dir#t").unwrap();
        assert_eq!((id.origin(), id.resource_group()), (Origin::Dynamic, ""));
        let id = VolumeId::parse("vol#lustrefs#1.1.1.1#dir#t#rg").unwrap();
        assert_eq!((id.origin(), id.resource_group()), (Origin::Dynamic, "rg"));
    }

    #[test]
    fn handles_of_other_forms_are_recognised() {
        for text in ["", "vol", "a#b", "a#b#c#d#t#rg#more", "c2b7f4f7-9d94-4cd2-a9c2-8db9c8504ba9"] {
            assert!(VolumeId::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_separator_in_a_field_is_never_written() {
        let good = VolumeIdFields {
            name: "v",
            fs_name: "lustrefs",
            mgs_address: "1.1.1.1",
            sub_dir: "a",
            origin: Origin::Dynamic,
            resource_group: "rg",
        };
        assert_eq!(VolumeId::new(good).unwrap().to_string(), "v#lustrefs#1.1.1.1#a#t#rg");
        let slashes = VolumeIdFields { fs_name: "/lustrefs/", sub_dir: "//a", ..good };
        assert_eq!(VolumeId::new(slashes), VolumeId::new(good), "an id is as it will be read");
        for bad in [
            VolumeIdFields { name: "v#", ..good },
            VolumeIdFields { fs_name: "#", ..good },
            VolumeIdFields { mgs_address: "1#1", ..good },
            VolumeIdFields { sub_dir: "x#t", ..good },
            VolumeIdFields { resource_group: "r#g", ..good },
        ] {
            assert!(VolumeId::new(bad).unwrap_err().to_string().contains("contains `#`"));
        }
    }
}
