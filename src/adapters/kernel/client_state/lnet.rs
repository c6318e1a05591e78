//! LNet NIDs of this node and their status, from debugfs `lnet/nis`.
//!
//! The file (`lnet/lnet/lnet_debugfs.c`) is a header and a row for each NID and CPU partition. Only root may read it, and a
//! kernel in lockdown refuses it to everybody, so the NIDs may be unknown.

use super::read::{ClientStatePaths, Observed};

/// The table of local NIDs.
pub(in crate::adapters::kernel) const NIS: &str = "/sys/kernel/debug/lnet/nis";

/// One address of this node.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalNid {
    /// Such as `10.0.0.7@tcp`.
    pub nid: String,
    /// As the kernel says it: `up` or `down`.
    pub status: String,
}

impl LocalNid {
    /// Whether LNet may use it.
    pub fn is_up(&self) -> bool {
        self.status == "up"
    }

    /// Whether it lies in a network over TCP, as those of AMLFS do.
    pub fn is_tcp(&self) -> bool {
        self.nid.rsplit_once('@').is_some_and(|(_, network)| network.starts_with("tcp"))
    }
}

/// This node's NIDs without the loopback.
pub fn read(paths: &ClientStatePaths) -> Observed<Vec<LocalNid>> {
    paths.observe(NIS).and_then(|text| parse(&text))
}

/// Reads the table by its header, so that columns may come and go. A NID has a row for each CPU partition; it is up if
/// one of them says so. A text without the two columns is unknown, one without rows is a network without NIDs.
pub(super) fn parse(text: &str) -> Observed<Vec<LocalNid>> {
    let mut lines = text.lines();
    let column = |header: &str, name: &str| header.split_whitespace().position(|word| word == name);
    let columns = lines.find_map(|line| column(line, "nid").zip(column(line, "status")));
    let Some((nid_column, status_column)) = columns else {
        return Observed::Unknown(format!("{NIS} has no columns `nid` and `status`; a newer Lustre?"));
    };
    let mut nids: Vec<LocalNid> = Vec::new();
    for line in lines {
        let word = |column: usize| line.split_whitespace().nth(column);
        let Some((nid, status)) = word(nid_column).zip(word(status_column)) else { continue };
        if !nid.contains('@') || nid.ends_with("@lo") {
            continue;
        }
        match nids.iter_mut().find(|known| known.nid == nid) {
            Some(known) if !known.is_up() => status.clone_into(&mut known.status),
            Some(_) => {}
            None => nids.push(LocalNid { nid: nid.to_owned(), status: status.to_owned() }),
        }
    }
    Observed::Known(nids)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str = "nid                      status alive refs peer  rtr   max    tx   min\n";

    fn shown(text: &str) -> Vec<String> {
        let Observed::Known(nids) = parse(text) else { panic!("not understood: {text}") };
        nids.into_iter().map(|nid| format!("{} {}", nid.nid, nid.status)).collect()
    }

    #[test]
    fn nids_are_read_without_the_loopback_and_once_each() {
        let text = format!(
            "{HEADER}0@lo                         up     0    2    0    0     0     0     0\n\
             10.99.0.2@tcp              down    -1    1    8    0   256   256   253\n\
             10.99.0.2@tcp                up    -1    1    8    0   256   256   253\n\
             10.99.0.2@tcp              down    -1    1    8    0   256   256   253\n\
             10.98.0.2@o2ib1            down    -1    1    8    0   256   256   253\n"
        );
        assert_eq!(shown(&text), ["10.99.0.2@tcp up", "10.98.0.2@o2ib1 down"]);
        assert!(shown(HEADER).is_empty());
        let nid = |nid: &str| LocalNid { nid: nid.to_owned(), status: "up".to_owned() };
        assert!(nid("10.0.0.1@tcp1").is_tcp() && !nid("10.0.0.1@o2ib").is_tcp() && !nid("tcp").is_tcp());
    }

    #[test]
    fn columns_may_move_and_odd_lines_are_passed_over() {
        let text = "LNet 3\nhealth status extra nid\n9 up x 10.0.0.7@tcp\n\n8 up\nodd line of words\n";
        assert_eq!(shown(text), ["10.0.0.7@tcp up"]);
        for odd in ["", "net:\n  - nid: 10.0.0.7@tcp\n", "nid\n10.0.0.7@tcp\n"] {
            assert!(parse(odd).unknown().is_some(), "{odd}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_is_too_odd(text in any::<String>()) {
            let _ = parse(&text);
            let Observed::Known(nids) = parse(&format!("{HEADER}{text}")) else { panic!("the header stands") };
            prop_assert!(nids.iter().all(|nid| nid.nid.contains('@') && !nid.nid.ends_with("@lo")));
        }

        #[test]
        fn what_the_kernel_writes_is_read_back(
            rows in proptest::collection::vec((any::<std::net::Ipv4Addr>(), any::<bool>()), 0..20),
            noise in "[ a-z0-9]{0,30}",
        ) {
            let status = |up: bool| if up { "up" } else { "down" };
            let lines = rows.iter().map(|(ip, up)| format!("{:24} {:>6} -1 1 8 0 256 256 253 {noise}\n", format!("{ip}@tcp"), status(*up)));
            let Observed::Known(nids) = parse(&format!("{HEADER}{}", lines.collect::<String>())) else { panic!("the header stands") };
            for (ip, _) in &rows {
                let up = rows.iter().any(|(other, up)| other == ip && *up);
                let found = nids.iter().filter(|nid| nid.nid == format!("{ip}@tcp")).collect::<Vec<_>>();
                prop_assert_eq!(found.len(), 1);
                prop_assert_eq!(found[0].is_up(), up);
            }
        }
    }
}
