//! A store on a file system that takes no writes: it is not opened, and nothing there is changed. What
//! becomes of one that is open when its file system turns read-only is tried with the other faults of
//! disks, since the system does so by itself only when a disk fails.

use std::process::Command;

use super::*;
use crate::sled_engine::power_loss::disk::Image;
use crate::sled_engine::power_loss::skip;

/// A file system of its own.
struct Mounted(TempDir);

impl Mounted {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=64m", "tresor-test"];
        let mounted = Command::new("mount").args(mount).arg(dir.path()).output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(dir))
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let mut mount = Command::new("mount");
        mount.args(["-o", &options]).arg(self.0.path());
        // A thread of sled's own may have a file open for a moment after its tree was closed.
        let mounted = (0..200).any(|_| {
            thread::sleep(Duration::from_millis(20));
            mount.output().unwrap().status.success()
        });
        assert!(mounted, "cannot {options}");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Runs one test again where mounting is allowed: in name spaces of its own.
fn in_own_namespace(test: &str) {
    const INSIDE: &str = "TRESOR_TESTS_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        std::process::exit(77);
    }
    let mut unshare = Command::new("unshare");
    unshare.arg("-rm").arg(std::env::current_exe().unwrap());
    match unshare.args(["--exact", test]).env(INSIDE, "1").output() {
        Ok(output) if output.status.code() == Some(0) => {}
        Ok(output) if output.status.code() == Some(101) => {
            panic!("{}", String::from_utf8_lossy(&output.stdout))
        }
        _ => skip("a file system cannot be mounted here"),
    }
}

#[test]
fn a_read_only_file_system_is_told_by_its_path_and_nothing_on_it_is_changed() {
    let Some(disk) = Mounted::mount() else {
        let module = module_path!().split_once("::").unwrap().1;
        let test = "a_read_only_file_system_is_told_by_its_path_and_nothing_on_it_is_changed";
        return in_own_namespace(&format!("{module}::{test}"));
    };
    let home = disk.0.path().join("data");
    let dir = DataDir::create(&home).unwrap();
    SledEngine::create(&dir, STORE).unwrap();
    drop(dir);
    let engine = open(&home).unwrap();
    engine.commit(put("a", b"1")).unwrap();
    let killed = disk.0.path().join("killed");
    fs::create_dir(&killed).unwrap();
    copy_tree(&home, &killed);
    engine.close().unwrap();
    drop(engine);
    for home in [&home, &killed] {
        disk.remount("ro");
        let before = Image::read(disk.0.path());
        let Err(error) = open(home) else { panic!("it opened") };
        assert!(matches!(error, OpenError::ReadOnly { .. }), "{error}");
        let told = error.to_string();
        let named = told.contains(home.join("LOCK").to_str().unwrap());
        assert!(named && told.contains("read-only") && told.contains("remount,rw"), "{told}");
        let made = DataDir::create(&disk.0.path().join("new"));
        assert!(matches!(made, Err(OpenError::ReadOnly { .. })));
        // Who only looks is not in need of more.
        assert!(read_head(home).is_ok());
        assert!(Image::read(disk.0.path()) == before);
        disk.remount("rw");
        let engine = open(home).unwrap();
        assert_eq!(value(&engine, "a"), Some(b"1".to_vec()));
        engine.commit(put("b", b"2")).unwrap();
        engine.close().unwrap();
        drop(engine);
        assert_eq!(value(&open(home).unwrap(), "b"), Some(b"2".to_vec()));
    }
}
