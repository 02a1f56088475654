//! What is under `deploy/` is what it says: the unit is valid and the node speaks its protocol, the
//! settings exist, the scripts run, as far as a machine without such hardware allows.

#![allow(clippy::unwrap_used)] // a test that cannot go on says where

mod harness;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use harness::{Gateway, PATIENCE, Scene, tables, wait_for};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text_of(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a program that `scripts/setup.sh` installs.
fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}; scripts/setup.sh installs it"))
}

/// Runs a script in network and mount namespaces of its own, where it may do as it likes.
fn run_alone(script: &str) -> Output {
    run("unshare", &["-n", "-m", "bash", "-c", script])
}

#[test]
fn the_unit_is_valid() {
    let scene = Scene::new();
    let unit = fs::read_to_string(root().join("deploy/systemd/trunkline.service")).unwrap();
    // The program is not installed here: the one that was built stands for it.
    let unit = unit.replace("/usr/bin/trunkline", env!("CARGO_BIN_EXE_trunkline"));
    let unit: String = unit
        .lines()
        .filter(|line| !line.starts_with("Documentation="))
        .map(|line| format!("{line}\n"))
        .collect();
    let file = scene.path("trunkline.service");
    fs::write(&file, unit).unwrap();
    let drop_in = scene.path("trunkline.service.d");
    fs::create_dir(&drop_in).unwrap();
    let host = root().join("deploy/systemd/trunkline.service.d/host.conf");
    fs::copy(host, drop_in.join("host.conf")).unwrap();
    let output = run(
        "systemd-analyze",
        &["verify", "--man=no", file.to_str().unwrap()],
    );
    let said = text_of(&output);
    let ours: Vec<&str> = (said.lines())
        .filter(|line| line.contains("trunkline.service"))
        .collect();
    assert!(ours.is_empty(), "{said}");
    assert!(output.status.success(), "{said}");
}

/// Receives until a datagram holds `words`; all that came before is in the answer.
fn hear(socket: &UnixDatagram, words: &str) -> Vec<String> {
    let mut heard = Vec::new();
    wait_for(words, PATIENCE, || {
        let mut bytes = [0; 4_096];
        let length = socket.recv(&mut bytes).ok()?;
        heard.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        heard.last()?.contains(words).then_some(())
    });
    heard
}

#[test]
fn the_service_manager_is_told() {
    let scene = Scene::new();
    let socket = UnixDatagram::bind(scene.path("notify.sock")).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let [customer, at, vendor] = [(); 3].map(|()| scene.address());
    let config = format!(
        "{}{}",
        scene.head(&[at]),
        tables(customer.ip(), &[Gateway::udp("first", vendor)], "")
    );
    let file = scene.path("trunkline.toml");
    fs::write(&file, &config).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_trunkline"))
        .args(["run", "--config"])
        .arg(&file)
        .env("NOTIFY_SOCKET", scene.path("notify.sock"))
        .env("WATCHDOG_USEC", "600000")
        .stderr(fs::File::create(scene.path("router.log")).unwrap())
        .spawn()
        .unwrap();
    let ready = hear(&socket, "READY=1");
    assert!(ready.last().unwrap().contains(&at.to_string()), "{ready:?}");
    hear(&socket, "WATCHDOG=1");
    hear(&socket, "WATCHDOG=1");

    harness::signal(&child, "HUP");
    let reloading = hear(&socket, "RELOADING=1");
    assert!(reloading.last().unwrap().contains("MONOTONIC_USEC="));
    hear(&socket, "READY=1");

    fs::write(&file, config.replace("[[route]]", "[[rout]]")).unwrap();
    harness::signal(&child, "HUP");
    hear(&socket, "RELOADING=1");
    let refused = hear(&socket, "READY=1");
    assert!(refused.last().unwrap().contains("refused"), "{refused:?}");

    harness::signal(&child, "TERM");
    let stopping = hear(&socket, "STOPPING=1");
    assert!(stopping.last().unwrap().contains("EXTEND_TIMEOUT_USEC="));
    let status = wait_for("the end", PATIENCE, || child.try_wait().unwrap());
    assert!(status.success());
}

#[test]
fn the_kernel_settings_exist() {
    let file = root().join("deploy/sysctl/90-trunkline.conf");
    let text = fs::read_to_string(file).unwrap();
    let mut settings = 0;
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (key, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
        let path = Path::new("/proc/sys").join(key.replace('.', "/"));
        let now = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{key}: {error}"));
        let numbers = |text: &str| -> Vec<u64> {
            text.split_whitespace()
                .map(|number| number.parse().unwrap_or_else(|_| panic!("{key}: {number}")))
                .collect()
        };
        assert_eq!(numbers(value).len(), numbers(&now).len(), "{key}");
        settings += 1;
    }
    assert!(settings > 10, "{settings} settings");
}

#[test]
fn the_packet_filter_loads() {
    let file = root().join("deploy/nftables/trunkline.nft");
    let script = format!(
        "nft -f {0} && nft -f {0} && nft list table inet trunkline",
        file.display()
    );
    let output = run_alone(&script);
    let said = text_of(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("notrack"), "{said}");
}

#[test]
fn the_scripts_are_clean() {
    let scripts = [
        "deploy/nic/trunkline-nic",
        "scripts/setup.sh",
        "scripts/release.sh",
        "scripts/load.sh",
        "scripts/sipp.sh",
        ".ci/run",
    ];
    for script in scripts {
        let file = root().join(script);
        // What a script sources is read with it, from the project's root.
        let from = format!("--source-path={}", root().display());
        let arguments = ["--external-sources", &from, "--severity=warning"];
        let output = run(
            "shellcheck",
            &[&arguments[..], &[file.to_str().unwrap()]].concat(),
        );
        assert!(output.status.success(), "{script}: {}", text_of(&output));
    }
}

/// A card of four queues, as far as the kernel has one without hardware.
#[test]
fn the_card_script_sets_what_there_is() {
    let script = root().join("deploy/nic/trunkline-nic");
    let output = run_alone(&format!(
        "set -e; mount -t sysfs sysfs /sys; \
         ip link add card numrxqueues 4 numtxqueues 4 type veth peer name wire; \
         {0} --interface card --cpus 0-1; echo ----; {0} --interface card --cpus 0-1; \
         echo ----; {0} --interface card --show",
        script.display()
    ));
    let said = text_of(&output);
    assert!(output.status.success(), "{said}");
    let parts: Vec<&str> = said.split("----\n").collect();
    let [first, second, shown] = parts[..] else {
        panic!("{said}");
    };
    let line = |text: &str, words: &[&str]| {
        text.lines().any(|line| {
            line.split_whitespace()
                .collect::<Vec<_>>()
                .starts_with(words)
        })
    };
    assert!(line(first, &["set", "XPS", "tx-0", "1"]), "{first}");
    assert!(line(first, &["set", "XPS", "tx-1", "2"]), "{first}");
    assert!(line(first, &["absent", "interrupts"]), "{first}");
    assert!(line(second, &["kept", "XPS", "tx-0", "1"]), "{second}");
    assert!(!second.contains("refused"), "{second}");
    assert!(line(shown, &["is", "XPS", "tx-1", "2"]), "{shown}");
}

/// Interrupts, RPS and the masks of many cores, in a tree that looks like the kernel's.
#[test]
fn the_card_script_pins_interrupts() {
    let scene = Scene::new();
    let device = scene.path("sys/class/net/card");
    for (queue, file) in [
        ("rx-0", "rps_cpus"),
        ("tx-0", "xps_cpus"),
        ("tx-1", "xps_cpus"),
    ] {
        fs::create_dir_all(device.join("queues").join(queue)).unwrap();
        fs::write(device.join("queues").join(queue).join(file), "0\n").unwrap();
    }
    fs::create_dir_all(device.join("device/msi_irqs")).unwrap();
    fs::write(device.join("device/numa_node"), "-1\n").unwrap();
    let mut table = String::from("           CPU0       CPU1\n");
    for (irq, name) in [
        (40, "card-control"),
        (41, "card-rx-0"),
        (42, "card-rx-1"),
        (9, "acpi"),
    ] {
        table.push_str(&format!(
            " {irq:>3}:          0          0   PCI-MSI {irq} {name}\n"
        ));
        let folder = scene.path(&format!("proc/irq/{irq}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("smp_affinity_list"), "0-1\n").unwrap();
        if irq > 40 {
            fs::write(device.join(format!("device/msi_irqs/{irq}")), "msix\n").unwrap();
        }
    }
    fs::write(scene.path("proc/interrupts"), table).unwrap();
    let script = root().join("deploy/nic/trunkline-nic");
    let run_with = |cpus: &str, extra: &[&str]| {
        let (sys, proc) = (scene.path("sys"), scene.path("proc"));
        let mut arguments = vec!["--interface", "card", "--cpus", cpus];
        arguments.extend([
            "--sys",
            sys.to_str().unwrap(),
            "--proc",
            proc.to_str().unwrap(),
        ]);
        arguments.extend(extra);
        text_of(&run(script.to_str().unwrap(), &arguments))
    };
    let affinity = |irq: u32| {
        fs::read_to_string(scene.path(&format!("proc/irq/{irq}/smp_affinity_list"))).unwrap()
    };
    let dry = run_with("4,36", &["--dry-run"]);
    assert!(dry.contains("would"), "{dry}");
    assert_eq!(affinity(41).trim(), "0-1", "a dry run changes nothing");
    let said = run_with("4,36", &[]);
    assert_eq!(
        (affinity(41).trim(), affinity(42).trim()),
        ("4", "36"),
        "{said}"
    );
    assert_eq!(affinity(9).trim(), "0-1", "another device's: {said}");
    let of_queue = |queue: &str, file: &str| {
        fs::read_to_string(device.join("queues").join(queue).join(file)).unwrap()
    };
    assert_eq!(of_queue("rx-0", "rps_cpus"), "10,00000010", "{said}");
    assert_eq!(of_queue("tx-0", "xps_cpus"), "10", "{said}");
    assert_eq!(of_queue("tx-1", "xps_cpus"), "10,00000000", "{said}");
    let wrong = run_with("4-", &[]);
    assert!(wrong.contains("is no list of cores"), "{wrong}");
}
