//! The volume id: `{name}#{fs-name}#{mgs-ip}#{sub-dir}#{t or f}#{resource-group}`.
//!
//! PersistentVolumes keep their id for years and across a change of driver, so this form, and the older
//! ones with 3, 4 and 5 fields, are read as the Go driver wrote them. `DeleteVolume` learns from the id alone whether a file
//! system was made for the volume; a `#` inside a field would shift that flag, so no field with one is ever written.

use std::fmt;
use std::ops::Deref;

use super::problem::Problem;
use super::text::quote;

/// Separates the fields of an id.
pub(super) const SEPARATOR: char = '#';
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

/// The fields of a volume id; any may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumeIdFields {
    /// Name of the volume; for dynamic ones the name of the AMLFS file system.
    pub name: String,
    /// Lustre file system name, such as `lustrefs`; old ids of the Go driver may hold anything here.
    pub fs_name: String,
    /// Address of the MGS as it was when the id was written.
    pub mgs_address: String,
    /// Sub-directory template, or empty.
    pub sub_dir: String,
    /// Where the file system comes from.
    pub origin: Origin,
    /// Resource group of the file system; empty for static volumes and where unknown.
    pub resource_group: String,
}

/// A volume id: [`VolumeIdFields`] of which none holds a `#`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct VolumeId(VolumeIdFields);

impl VolumeId {
    /// Builds an id. Slashes round file system name and sub-directory are dropped, as they are when the id is read.
    ///
    /// # Errors
    /// If a field holds a `#`.
    pub fn new(mut fields: VolumeIdFields) -> Result<Self, Problem> {
        let texts = [
            ("volume name", &fields.name),
            ("fs-name", &fields.fs_name),
            ("mgs-ip-address", &fields.mgs_address),
            ("sub-dir", &fields.sub_dir),
            ("resource-group-name", &fields.resource_group),
        ];
        if let Some((field, value)) = texts.into_iter().find(|(_, value)| value.contains(SEPARATOR)) {
            let message = format!("{field} {} contains `#`, which separates the fields of the volume id", quote(value));
            return Err(Problem::of("volume id", message));
        }
        for field in [&mut fields.fs_name, &mut fields.sub_dir] {
            *field = field.trim_matches('/').to_owned();
        }
        Ok(Self(fields))
    }

    /// Reads an id of 3, 4, 5 or 6 fields; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split(SEPARATOR).collect();
        if !(3..=FIELDS_MAX).contains(&fields.len()) {
            return None;
        }
        let field = |index: usize| fields.get(index).copied().unwrap_or_default().to_owned();
        let id = Self::new(VolumeIdFields {
            name: field(0),
            fs_name: field(1),
            mgs_address: field(2),
            sub_dir: field(3),
            origin: if field(4) == "t" { Origin::Dynamic } else { Origin::Static },
            resource_group: field(5),
        });
        id.ok()
    }
}

impl Deref for VolumeId {
    type Target = VolumeIdFields;

    fn deref(&self) -> &VolumeIdFields {
        &self.0
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
        let VolumeIdFields { name, fs_name, mgs_address, sub_dir, origin, resource_group } = &self.0;
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
                (id.name.as_str(), id.fs_name.as_str(), id.mgs_address.as_str(), id.sub_dir.as_str()),
                ("vol", "lustrefs", "1.1.1.1", sub_dir)
            );
            assert_eq!((id.origin, id.resource_group.as_str()), (Origin::Static, ""));
        }
        let id = VolumeId::parse("vol#lustrefs#1.1.1.1#dir#t").unwrap();
        assert_eq!((id.origin, id.resource_group.as_str()), (Origin::Dynamic, ""));
        let id = VolumeId::parse("vol#lustrefs#1.1.1.1#dir#t#rg").unwrap();
        assert_eq!((id.origin, id.resource_group.as_str()), (Origin::Dynamic, "rg"));
    }

    #[test]
    fn handles_of_other_forms_are_recognised() {
        for text in ["", "vol", "a#b", "a#b#c#d#t#rg#more", "c2b7f4f7-9d94-4cd2-a9c2-8db9c8504ba9"] {
            assert!(VolumeId::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_separator_in_a_field_is_never_written() {
        let good = VolumeIdFields {
            name: "v".into(),
            fs_name: "lustrefs".into(),
            mgs_address: "1.1.1.1".into(),
            sub_dir: "a".into(),
            origin: Origin::Dynamic,
            resource_group: "rg".into(),
        };
        let id = VolumeId::new(good.clone()).unwrap();
        assert_eq!(id.to_string(), "v#lustrefs#1.1.1.1#a#t#rg");
        let slashes = VolumeIdFields { fs_name: "/lustrefs/".into(), sub_dir: "//a".into(), ..good.clone() };
        assert_eq!(VolumeId::new(slashes), Ok(id), "an id is as it will be read");
        for bad in [
            VolumeIdFields { name: "v#".into(), ..good.clone() },
            VolumeIdFields { fs_name: "#".into(), ..good.clone() },
            VolumeIdFields { mgs_address: "1#1".into(), ..good.clone() },
            VolumeIdFields { sub_dir: "x#t".into(), ..good.clone() },
            VolumeIdFields { resource_group: "r#g".into(), ..good },
        ] {
            assert!(VolumeId::new(bad).unwrap_err().to_string().contains("contains `#`"));
        }
    }
}
