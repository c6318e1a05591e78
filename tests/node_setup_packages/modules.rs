//! Kernel modules from C that depmod, modinfo and modprobe accept, but no kernel.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::tools::run;

/// The running kernel of the tests.
pub(crate) const KERNEL: &str = "6.8.0-1046-azure";

/// The client's modules: name, symbols that it exports, and symbols that it uses, as in the real ones.
const CLIENT: [(&str, &str, &[&str]); 13] = [
    ("libcfs", "cfs_x", &[]),
    ("lnet", "lnet_x", &["cfs_x", "rpc_pton"]),
    ("ksocklnd", "ksock_x", &["lnet_x", "cfs_x"]),
    ("obdclass", "obd_x", &["lnet_x", "crc_t10dif"]),
    ("ptlrpc", "ptlrpc_x", &["obd_x", "lnet_x"]),
    ("fld", "fld_x", &["ptlrpc_x"]),
    ("fid", "fid_x", &["ptlrpc_x"]),
    ("mgc", "mgc_x", &["ptlrpc_x"]),
    ("osc", "osc_x", &["ptlrpc_x"]),
    ("lov", "lov_x", &["ptlrpc_x"]),
    ("lmv", "lmv_x", &["fid_x", "fld_x"]),
    ("mdc", "mdc_x", &["fid_x"]),
    ("lustre", "llite_x", &["lmv_x", "lov_x", "mdc_x"]),
];

/// Modules of the kernel that the client needs.
const IN_TREE: [(&str, &str, &str); 2] =
    [("net/sunrpc", "sunrpc", "rpc_pton"), ("crypto", "crct10dif_common", "crc_t10dif")];

/// Fields of modinfo(8) of a client's modules.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    pub(crate) kernel: String,
    pub(crate) version: String,
}

/// Compiles one module.
fn compile(file: &Path, info: &Info, name: &str, exports: &str, uses: &[&str], depends: &str) {
    let mut source = String::new();
    let fields = [
        ("license", "GPL"),
        ("name", name),
        ("version", &info.version),
        ("depends", depends),
        ("vermagic", &format!("{} SMP preempt mod_unload modversions", info.kernel)),
    ];
    for (at, (field, value)) in fields.iter().enumerate() {
        let attribute = "__attribute__((section(\".modinfo\"), used, aligned(1)))";
        writeln!(source, "static const char i{at}[] {attribute} = \"{field}={value}\";").unwrap();
    }
    let attribute = "__attribute__((section(\"__ksymtab_strings\"), used, aligned(1)))";
    writeln!(source, "static const char k[] {attribute} = \"{exports}\"; int {exports}(void) {{ return 0; }}").unwrap();
    for (at, symbol) in uses.iter().enumerate() {
        writeln!(source, "extern int {symbol}(void); int (*u{at})(void) = {symbol};").unwrap();
    }
    let code = file.with_extension("c");
    fs::write(&code, source).unwrap();
    let command = &mut Command::new("cc");
    run(command, ["-c".as_ref(), code.as_os_str(), "-o".as_ref(), file.as_os_str()]);
    fs::remove_file(code).unwrap();
}

/// Compiles the client's modules into a directory.
pub(crate) fn client(dir: &Path, info: &Info) {
    fs::create_dir_all(dir).unwrap();
    let exporter = |symbol: &str| {
        let own = CLIENT.iter().find(|(_, exports, _)| *exports == symbol).map(|(name, ..)| *name);
        own.or_else(|| IN_TREE.iter().find(|(_, _, exports)| *exports == symbol).map(|(_, name, _)| *name)).unwrap()
    };
    for (name, exports, uses) in CLIENT {
        let depends: Vec<_> = uses.iter().map(|symbol| exporter(symbol)).collect();
        compile(&dir.join(format!("{name}.ko")), info, name, exports, uses, &depends.join(","));
    }
}

/// Compiles the modules of the kernel into `lib/modules/K` below a root.
pub(crate) fn kernel(root: &Path) {
    let dir = root.join("lib/modules").join(KERNEL);
    let info = Info { kernel: KERNEL.to_owned(), version: "1".to_owned() };
    let mut order = String::new();
    for (folder, name, exports) in IN_TREE {
        let folder = Path::new("kernel").join(folder);
        fs::create_dir_all(dir.join(&folder)).unwrap();
        compile(&dir.join(&folder).join(format!("{name}.ko")), &info, name, exports, &[], "");
        writeln!(order, "{}/{name}.ko", folder.display()).unwrap();
    }
    fs::write(dir.join("modules.order"), order).unwrap();
    fs::write(dir.join("modules.builtin"), "kernel/lib/libcrc32c.ko\n").unwrap();
    fs::write(dir.join("modules.builtin.modinfo"), "libcrc32c.license=GPL\0").unwrap();
}
