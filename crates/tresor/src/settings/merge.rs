//! Where settings come from, and which place wins: flag, then environment, then file, then default.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Setting, Settings, TABLE, file};
use crate::failure::Failure;

/// The places that a command was pointed to. They are kept, so that the file can be read again.
pub(crate) struct Sources {
    pub(crate) flags: BTreeMap<&'static str, String>,
    /// The configuration file, where one was named.
    pub(crate) file: Option<PathBuf>,
}

/// The settings, and where each that was given comes from.
#[derive(Clone, Default)]
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    given: BTreeMap<&'static str, Given>,
}

/// A setting as it was given.
#[derive(Clone)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// The place where a setting was given; a later one wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// FILE:LINE.
    File(String),
    Environment,
    Flag,
}

impl Sources {
    /// The flags that were given, and the file that `--config` or TRESOR_CONFIG names.
    pub(crate) fn new(flags: BTreeMap<&'static str, String>, config: Option<PathBuf>) -> Self {
        let named = || std::env::var_os("TRESOR_CONFIG").filter(|name| !name.is_empty());
        Self { flags, file: config.or_else(|| named().map(PathBuf::from)) }
    }

    /// Reads everything.
    ///
    /// # Errors
    /// The first setting that is wrong: where it stands and what would be right.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        let from_file = match &self.file {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    let shown = path.display();
                    Failure::usage(format!(
                        "the configuration file {shown} cannot be read: {error}"
                    ))
                })?;
                file::parse(path, &text).map_err(Failure::usage)?
            }
            None => BTreeMap::new(),
        };
        merge(&self.flags, |name| std::env::var_os(name), from_file).map_err(Failure::usage)
    }
}

impl Loaded {
    /// The data directory, which has no default.
    ///
    /// # Errors
    /// When none is named.
    pub(crate) fn data_dir(&self) -> Result<&Path, Failure> {
        self.settings.data_dir.as_deref().ok_or_else(|| {
            Failure::usage(
                "name the data directory with --data-dir, or try Tresor out: tresor serve --dev",
            )
        })
    }

    /// Where a setting was given; nothing when it has its default.
    pub(crate) fn origin(&self, name: &str) -> Option<&Origin> {
        Some(&self.given.get(name)?.origin)
    }

    /// The settings that differ between the two.
    pub(crate) fn changed(&self, other: &Self) -> Vec<&'static Setting> {
        let effective = |loaded: &Self, setting: &Setting| {
            let given = loaded.given.get(setting.name).map(|given| given.text.clone());
            given.or_else(|| setting.default.map(str::to_owned))
        };
        let differs = |setting: &&Setting| effective(self, setting) != effective(other, setting);
        TABLE.iter().filter(differs).collect()
    }
}

impl Origin {
    /// How an error about the setting begins.
    pub(crate) fn of(&self, setting: &Setting) -> String {
        match self {
            Self::File(line) => format!("{line}: {}", setting.name),
            Self::Environment => setting.variable(),
            Self::Flag => format!("--{}", setting.name),
        }
    }
}

/// What was given is checked in each place, also where another place wins. An empty variable counts
/// as none, as in a manifest that leaves it open.
pub(super) fn merge(
    flags: &BTreeMap<&'static str, String>,
    environment: impl Fn(&str) -> Option<OsString>,
    mut from_file: BTreeMap<&'static str, Given>,
) -> Result<Loaded, String> {
    let mut loaded = Loaded::default();
    for setting in &TABLE {
        let variable = setting.variable();
        let text = environment(&variable).filter(|text| !text.is_empty());
        let text = text.map(OsString::into_string).transpose();
        let text = text.map_err(|_| format!("{variable}: this is no UTF-8"))?;
        let places = [
            from_file.remove(setting.name),
            text.map(|text| Given { text, origin: Origin::Environment }),
            flags.get(setting.name).map(|text| Given { text: text.clone(), origin: Origin::Flag }),
        ];
        for given in places.into_iter().flatten() {
            if !setting.store(&mut loaded.settings, &given.text) {
                let place = given.origin.of(setting);
                return Err(format!("{place}: this does not fit; {}", setting.takes()));
            }
            loaded.given.insert(setting.name, given);
        }
    }
    check_together(&loaded)?;
    Ok(loaded)
}

/// What is right by itself, and not beside something else.
fn check_together(loaded: &Loaded) -> Result<(), String> {
    let Settings { listen, metrics_listen, kubeconfig, in_cluster, .. } = &loaded.settings;
    if *in_cluster && kubeconfig.is_some() {
        return Err(loaded.both("in-cluster", "kubeconfig", "they name two clusters: keep one"));
    }
    if *metrics_listen == Some(*listen) && listen.port() != 0 {
        return Err(loaded.both("metrics-listen", "listen", "it needs an address of its own"));
    }
    Ok(())
}

impl Loaded {
    fn both(&self, one: &'static str, other: &'static str, why: &str) -> String {
        let place = |name| {
            let named = Setting::named(name).zip(self.origin(name));
            named.map_or_else(|| format!("the default of {name}"), |(row, at)| at.of(row))
        };
        format!("{}: this contradicts {}: {why}", place(one), place(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from_file(text: &str) -> Result<Loaded, String> {
        let given = file::parse(Path::new("t.toml"), text)?;
        merge(&BTreeMap::new(), |_| None, given)
    }

    fn in_file(setting: &Setting, text: &str) -> String {
        match setting.form {
            super::super::Form::Flag | super::super::Form::Number(..) => {
                format!("{} = {text}\n", setting.name)
            }
            _ => format!("{} = \"{text}\"\n", setting.name),
        }
    }

    /// Each setting is understood in all three places alike, and sets a field of its own.
    #[test]
    fn every_setting_has_a_flag_a_variable_and_a_key() {
        let mut seen = vec![Settings::default()];
        for setting in &TABLE {
            let example = setting.example;
            let flags = BTreeMap::from([(setting.name, example.to_owned())]);
            let by_flag = merge(&flags, |_| None, BTreeMap::new()).unwrap().settings;
            let variable = |name: &str| (name == setting.variable()).then(|| example.into());
            let by_variable = merge(&BTreeMap::new(), variable, BTreeMap::new()).unwrap().settings;
            let by_file = from_file(&in_file(setting, example)).unwrap().settings;
            assert!(by_flag == by_variable && by_flag == by_file, "{}", setting.name);
            assert!(!seen.contains(&by_flag), "{} sets nothing of its own", setting.name);
            seen.push(by_flag);
        }
    }

    #[test]
    fn every_default_is_one_that_could_be_given() {
        for setting in &TABLE {
            let Some(default) = setting.default else { continue };
            let given = from_file(&in_file(setting, default)).unwrap();
            assert_eq!(given.settings, Settings::default(), "{}", setting.name);
            assert!(given.changed(&Loaded::default()).is_empty(), "{}", setting.name);
        }
    }

    #[test]
    fn a_number_is_taken_up_to_its_ends_and_no_further() {
        let mut numbers = 0;
        for setting in &TABLE {
            let super::super::Form::Number(least, most) = setting.form else { continue };
            numbers += 1;
            let fits = |number: i64| from_file(&in_file(setting, &number.to_string())).is_ok();
            let (least, most) = (i64::from(least), i64::from(most));
            assert!(fits(least) && fits(most), "{}", setting.name);
            assert!(!fits(least - 1) && !fits(most + 1), "{}", setting.name);
        }
        assert!(numbers > 5);
    }

    #[test]
    fn numbers_are_read_as_toml_writes_them() {
        let loaded = from_file("max-connections = 4_096").unwrap();
        assert_eq!(loaded.settings.max_connections, 4096);
    }

    #[test]
    fn the_flag_wins_over_the_environment_and_that_over_the_file() {
        let file = || file::parse(Path::new("t.toml"), "keep-versions = 1\n").unwrap();
        let flags = BTreeMap::from([("keep-versions", "3".to_owned())]);
        let variable = |name: &str| (name == "TRESOR_KEEP_VERSIONS").then(|| "2".into());
        let kept = |loaded: Loaded| loaded.settings.keep_versions;
        assert_eq!(kept(merge(&BTreeMap::new(), |_| None, BTreeMap::new()).unwrap()), 10);
        assert_eq!(kept(merge(&BTreeMap::new(), |_| None, file()).unwrap()), 1);
        assert_eq!(kept(merge(&BTreeMap::new(), |_| Some("".into()), file()).unwrap()), 1);
        assert_eq!(kept(merge(&BTreeMap::new(), variable, file()).unwrap()), 2);
        assert_eq!(kept(merge(&flags, variable, file()).unwrap()), 3);
        let out_of_range = file::parse(Path::new("t.toml"), "keep-versions = 0\n").unwrap();
        let error = merge(&flags, variable, out_of_range).err().unwrap();
        assert!(error.starts_with("t.toml:1: keep-versions: "), "also where another wins: {error}");
    }

    fn check(text: &str, expected: &str) {
        let error = from_file(text).err().unwrap_or_else(|| panic!("{text:?} is accepted"));
        assert!(error.starts_with(expected), "{text:?}: {error}");
    }

    #[test]
    fn each_fault_has_its_line_its_key_and_its_fix() {
        check(
            "\nkeep-versions = 0",
            "t.toml:2: keep-versions: this does not fit; it takes a number",
        );
        check(
            "keep-versions = \"9\"",
            "t.toml:1: keep-versions: this is of type string; it takes a num",
        );
        check("keep-versions = 9.0", "t.toml:1: keep-versions: this is of type float");
        check("listen = 80", "t.toml:1: listen: this is of type integer; it takes an IP address");
        check("listen = \"localhost:80\"", "t.toml:1: listen: this does not fit; it takes an IP");
        check(
            "in-cluster = \"true\"",
            "t.toml:1: in-cluster: this is of type string; it takes true",
        );
        check("log = \"lots\"", "t.toml:1: log: this does not fit; it takes log levels");
        check("lease = \"sync\"", "t.toml:1: lease: this does not fit; it takes NAMESPACE/NAME");
        check("data-dir = \"\"", "t.toml:1: data-dir: this does not fit; it takes a path");
        check("# a\n\nkeep-version = 1", "t.toml:3: keep-version: there is no such setting");
        check(
            "keep_versions = 1",
            "t.toml:1: keep_versions: keys are written with hyphens: keep-v",
        );
        check("[server]\nlisten = \"x\"", "t.toml:1: server: there is no such setting");
        check("a\nlisten = \"x\"", "t.toml:1: this is no TOML");
        check("log = \"info\"\nlog = \"warn\"", "t.toml:2: this key stands here a second time");
        check("root-key = \"abc\"", "t.toml:1: root-key: a secret does not belong in this file");
        check("passphrase = \"abc\"", "t.toml:1: passphrase: a secret does not belong");
        let both = "kubeconfig = \"k\"\nin-cluster = true";
        check(both, "t.toml:2: in-cluster: this contradicts t.toml:1: kubeconfig: ");
        let same = "metrics-listen = \"127.0.0.1:8220\"";
        check(same, "t.toml:1: metrics-listen: this contradicts the default of listen: ");
    }

    proptest! {
        /// Whatever stands in a value, and in a key that is no mistyped name, is never repeated.
        #[test]
        fn no_fault_repeats_a_value(row in 0..TABLE.len(), tail in "[A-Za-z0-9]{0,20}") {
            let marked = format!("M4RK3R{tail}");
            let name = TABLE[row].name;
            for text in [
                format!("{name} = \"{marked}\""),
                format!("{name} = {marked}"),
                format!("{name} = [\"{marked}\"]"),
                format!("{marked} = 1"),
                format!("{name} = \"{marked}"),
                marked.clone(),
                format!("root-key = \"{marked}\""),
                format!("{name} = \"{marked}\"\n{name} = \"{marked}\""),
            ] {
                if let Err(error) = from_file(&text) {
                    prop_assert!(!error.contains("M4RK3R"), "{}", error);
                }
            }
        }

        #[test]
        fn no_file_makes_the_reader_panic(text in "[ -~\n\"=\\[\\]{}#é]{0,80}") {
            let _ = from_file(&text);
        }
    }
}
