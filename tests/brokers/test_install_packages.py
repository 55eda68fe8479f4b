import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from msgkit.testing.brokers.install.packages import (
    install,
    installing,
    missing,
    obstacle,
    require,
    services_left_alone,
    update,
)
from msgkit.testing.brokers.trouble import Trouble

PACKAGES = "msgkit.testing.brokers.install.packages"

# Notes what it is asked, says whether a service might start, and brings a program of the package's.
APT = """\
#!/bin/sh
echo "$(basename $0) $* | $DEBIAN_FRONTEND" >> "$HOME/asked"
case $1 in
  install)
    "$HOME/policy" iptables start; echo "policy $?" >> "$HOME/asked"
    if [ -e "$HOME/broken" ]; then echo "E: unmet dependencies"; exit 100; fi
    ln -sf /bin/true "$HOME/bin/iptables";;
  update) if [ -e "$HOME/offline" ]; then echo "E: no mirror"; exit 100; fi;;
esac
"""


def unheard(line: str) -> None:
    del line


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Debian of its own, for root, with nothing on it."""
    (tmp_path / "bin").mkdir()
    for name in ("apt-get", "dpkg"):
        (tmp_path / "bin" / name).write_text(APT)
        (tmp_path / "bin" / name).chmod(0o755)
    for name in ("basename", "ln", "sh"):
        (tmp_path / "bin" / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("MSGKIT_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(f"{PACKAGES}.POLICY", tmp_path / "policy")
    monkeypatch.setattr("msgkit.testing.brokers.install.running._SYSTEM", ())
    update.cache_clear()
    return tmp_path


def asked(home: Path) -> list[str]:
    file = home / "asked"
    return file.read_text().splitlines() if file.exists() else []


# -- what is missing, and what to do about it


def test_a_package_is_missing_when_its_program_is_whoever_installed_it(home: Path) -> None:
    assert missing(["docker.io", "iptables", "maven"]) == ("docker.io", "iptables", "maven")
    (home / "bin" / "mvn").symlink_to("/bin/true")
    assert missing(["docker.io", "iptables", "maven"]) == ("docker.io", "iptables")


def test_root_on_debian_may_install(home: Path) -> None:
    assert obstacle() is None
    assert asked(home) == []


def test_those_who_may_not_are_told_the_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Trouble) as raised:
        require(["docker.io", "iptables"], unheard)
    assert raised.value.why == "missing: docker.io, iptables; only root can install packages"
    assert raised.value.mend == "sudo apt-get install --no-install-recommends docker.io iptables"
    assert asked(home) == []


def test_those_without_apt_are_told_what_is_needed(home: Path) -> None:
    (home / "bin" / "apt-get").unlink()
    assert obstacle() == "there is no apt-get on this machine"
    assert installing(["docker.io", "default-jre-headless"]) == "install dockerd, java, so that the PATH leads there"


# -- installing


def test_only_what_is_missing_is_installed_and_no_question_is_asked(home: Path) -> None:
    (home / "bin" / "mvn").symlink_to("/bin/true")
    require(["maven", "iptables"], unheard)
    healing, update_, policy_last = asked(home)[0], asked(home)[1], asked(home)[-2:]
    assert healing.startswith("dpkg --configure -a")
    assert update_.startswith("apt-get update")
    words = policy_last[0].split()
    assert words[:3] == ["apt-get", "install", "--no-install-recommends"]
    assert words[-3:] == ["iptables", "|", "noninteractive"]
    assert {"-y", "DPkg::Lock::Timeout=300", "Dpkg::Options::=--force-confold"} <= set(words)
    assert "maven" not in words


def test_nothing_is_asked_of_apt_when_nothing_is_missing(home: Path) -> None:
    (home / "bin" / "iptables").symlink_to("/bin/true")
    require(["iptables"], unheard)
    assert asked(home) == []


def test_what_failed_is_told_with_what_apt_said_also_before(home: Path) -> None:
    (home / "broken").touch()
    (home / "offline").touch()
    with pytest.raises(Trouble, match=r"apt-get ended with 100:\n    E: unmet dep[^$]*E: no mirror") as raised:
        require(["iptables"], unheard)
    assert raised.value.mend == "sudo apt-get install --no-install-recommends iptables"
    assert not (home / "policy").exists()


def test_old_lists_may_do(home: Path) -> None:
    (home / "offline").touch()
    require(["iptables"], unheard)
    assert missing(["iptables"]) == ()


def test_what_apt_brought_and_is_no_use_is_told(home: Path) -> None:
    # This apt brings no more than iptables.
    with pytest.raises(Trouble, match="debootstrap was installed, but is not what is needed"):
        require(["debootstrap"], unheard)
    assert asked(home)[-2].endswith("debootstrap | noninteractive")


# -- services


def test_no_service_is_started_while_packages_are_installed(home: Path) -> None:
    install(["iptables"], unheard)
    assert asked(home)[-1] == "policy 101"
    assert not (home / "policy").exists()


def allowed(policy: Path) -> bool:
    """Ask a policy as a package does that is about to start its service."""
    return subprocess.run([policy, "iptables", "start"], check=False).returncode == 0


def test_services_may_start_again_after_a_failure(tmp_path: Path) -> None:
    policy = tmp_path / "policy"

    def fail() -> None:
        with services_left_alone(policy):
            assert not allowed(policy)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not policy.exists()


@pytest.mark.parametrize(("status", "may"), [(101, False), (0, True)])
def test_a_policy_that_somebody_else_has_set_stays_as_it_is(status: int, *, may: bool, tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.write_text(f"#!/bin/sh\nexit {status}\n")
    policy.chmod(0o755)
    with services_left_alone(policy):
        assert allowed(policy) is may
    assert policy.read_text() == f"#!/bin/sh\nexit {status}\n"


@pytest.fixture
def orphan(tmp_path: Path) -> Path:
    """The policy of a process that was killed."""
    policy = tmp_path / "policy"
    program = (
        "import os, sys, pathlib; from msgkit.testing.brokers.install.packages import services_left_alone\n"
        "with services_left_alone(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    env: Mapping[str, str] = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    killed = subprocess.run([sys.executable, "-c", program, policy], check=False, env=env)
    assert killed.returncode == -9
    assert policy.exists()
    return policy


def test_the_policy_of_a_process_that_was_killed_forbids_nothing_and_goes(orphan: Path) -> None:
    assert allowed(orphan)
    assert not orphan.exists()


def test_the_policy_of_a_process_that_was_killed_is_no_policy_of_somebody_else(orphan: Path) -> None:
    with services_left_alone(orphan):
        assert not allowed(orphan)
    assert not orphan.exists()
