//! The reference of settings, as it is committed in `CONFIG.md`.

use super::TABLE;

/// If you are here because this failed: the table of settings has changed. Run the test once with
/// `UPDATE_CONFIG_MD=1` and read the difference.
#[test]
fn the_reference_of_settings_is_that_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CONFIG.md");
    if std::env::var_os("UPDATE_CONFIG_MD").is_some() {
        std::fs::write(path, reference()).unwrap();
    }
    assert!(std::fs::read_to_string(path).unwrap() == reference(), "CONFIG.md differs");
}

fn reference() -> String {
    let mut text = INTRODUCTION.to_owned();
    for setting in &TABLE {
        let default = setting.default.map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
        text += &format!(
            "| `{}` | `{}` | {} | {default} | {} |\n",
            setting.name,
            setting.variable(),
            setting.form.takes(),
            setting.about,
        );
    }
    text
}

const INTRODUCTION: &str = "\
# Settings

Each setting is a key in the configuration file, a flag of `tresor serve` (two hyphens in front) and an
environment variable. The flag wins over the environment, that over the file, and that over the
default. An empty variable counts as none, and one of an unknown name is not noticed, since Kubernetes
sets such variables for a Service that is called `tresor`.

There is no default path for the file: `--config FILE` or `TRESOR_CONFIG` names it. It is TOML, flat;
what is unknown, of the wrong type, out of range or contradictory is refused with its line.
`tresor serve --check-config` does only that. SIGHUP reads the file again and applies `log` at once;
whatever else has changed is named in the log and waits for a restart.

The root key and the passphrase are no settings: they come from a file that is named here, from
`TRESOR_ROOT_KEY` or `TRESOR_PASSPHRASE`, from the systemd credential `tresor-root-key` or
`tresor-passphrase`, or from the terminal with `--passphrase`. Two of them in the same place are
refused.

| key | environment variable | takes | default | what it is |
|---|---|---|---|---|
";
