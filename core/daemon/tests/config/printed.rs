//! Help, version, the effective values, and keys at odds with themselves.

use std::fs;

use plantd_daemon::config::{CommandLine, Settings, Shared, command_line, inconsistencies};
use serde::{Deserialize, Serialize};

use crate::sample::{Broker, PAPER, arguments, folder, loaded, samples};

#[test]
fn help_lists_every_key_with_its_default() {
    let CommandLine::Print(help) =
        command_line::<Broker>(&arguments(["--nope", "--help"])).unwrap()
    else {
        panic!("--help prints, whatever else is wrong");
    };
    for key in samples().into_keys() {
        let argument = format!("  --{} ", key.replace(['.', '_'], "-"));
        assert!(help.contains(&argument), "{argument} in {help}");
    }
    assert!(
        help.contains("[8MiB]") && help.contains("[2.5s]") && help.contains("[8081]"),
        "{help}"
    );
    assert!(help.contains("PLANTD_BROKER_"), "{help}");
}

#[test]
fn version_is_the_process_and_its_number() {
    let printed = command_line::<Broker>(&arguments(["--version"])).unwrap();
    assert!(matches!(printed, CommandLine::Print(text) if text == "plantd-broker 0.1.0\n"));
}

#[test]
fn the_printed_configuration_reads_back_as_itself() {
    let (folder, mut sources) = folder(
        "broker.yml",
        &format!("{PAPER}limits: {{outbox-bytes: 1KiB}}\n"),
    );
    sources.arguments = ["--allow-anonymous", "--print-config"]
        .map(str::to_owned)
        .into();
    let CommandLine::Print(printed) = command_line::<Broker>(&sources).unwrap() else {
        panic!("--print-config prints");
    };
    assert!(
        printed.contains("allow_anonymous: true  # --allow-anonymous\n"),
        "{printed}"
    );
    assert!(
        printed.contains("\nlimits:\n  outbox_bytes: \"1KiB\"  # "),
        "{printed}"
    );
    assert!(printed.contains("attempts: 3  # default\n"), "{printed}");

    let path = folder.path().join("printed.yml");
    fs::write(&path, &printed).unwrap();
    sources.arguments.pop();
    let again = loaded(&arguments(["--config", path.to_str().unwrap()]));
    assert_eq!(again.config, loaded(&sources).config);
}

#[test]
fn keys_that_contradict_each_other_are_found() {
    assert_eq!(inconsistencies::<Broker>(), Vec::<String>::new());

    #[derive(Default, Serialize, Deserialize)]
    struct Odd {
        undescribed: bool,
        version: u8,
        port: u16,
        log: Log,
        #[serde(flatten)]
        shared: Option<Shared>,
        log_file: String,
        log_file_file: String,
    }
    #[derive(Default, Serialize, Deserialize)]
    struct Log {
        file: String,
    }
    impl Settings for Odd {
        const NAME: &'static str = "odd";
        const ABOUT: &'static str = "";
        const HELP: &'static [(&'static str, &'static str)] = &[
            ("version", ""),
            ("port", ""),
            ("log.file", ""),
            ("log_file_file", ""),
            ("gone", ""),
            ("log_level", ""),
        ];
        fn shared(&self) -> &Shared {
            self.shared.as_ref().unwrap()
        }
    }
    let found = inconsistencies::<Odd>().join("\n");
    for expected in [
        "undescribed has no line in HELP",
        "version has a name that means something else",
        "port has a name that means something else",
        "log_file shares its variable with another key",
        "LOG_FILE_FILE is a key and the file of another",
        "HELP describes gone, which is not a key",
    ] {
        assert!(found.contains(expected), "{expected} in {found}");
    }
}
