import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from msgkit.testing.brokers.cache import cache
from msgkit.testing.brokers.install import distributions, images
from msgkit.testing.brokers.install.base import mirror_in, proxies, tarball
from msgkit.testing.brokers.install.engine import connected, trouble
from msgkit.testing.brokers.install.recipes import BASE, NEWER, RECIPES, Recipe, candidates, recipe
from msgkit.testing.brokers.trouble import Trouble
from tests.brokers import toys

FOLDER = Path(__file__).parent.parent / "images"
NAMES = ("rabbitmq", "kafka", "rocketmq")
EVERY = [each for recipes in RECIPES.values() for each in recipes]


def lineage(one: Recipe | None) -> Iterator[Recipe]:
    while one is not None:
        yield one
        one = one.parent


@pytest.fixture(autouse=True)
def _no_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(f"MSGKIT_TEST_{name.upper()}_IMAGE", raising=False)


# -- which image


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("rabbitmq", None, ("rabbitmq:4-management", "msgkit/rabbitmq:4.0")),
        ("rabbitmq", "4", ("rabbitmq:4-management", "msgkit/rabbitmq:4.0")),
        ("rabbitmq", "4.3", ("rabbitmq:4.3-management", "msgkit/rabbitmq:4.3")),
        ("rabbitmq", "3.13", ("rabbitmq:3.13-management",)),
        ("kafka", None, ("apache/kafka:4.1.0", "msgkit/kafka:4.1")),
        ("kafka", "4.1", ("apache/kafka:4.1.0", "msgkit/kafka:4.1")),
        ("kafka", "4.3.1", ("apache/kafka:4.3.1", "msgkit/kafka:4.3")),
        ("kafka", "3.9.0", ("apache/kafka:3.9.0",)),
        ("rocketmq", None, ("apache/rocketmq:5.3.3", "msgkit/rocketmq:5.3")),
        ("rocketmq", "5.5", ("apache/rocketmq:5.5.0", "msgkit/rocketmq:5.5")),
    ],
)
def test_the_official_image_is_tried_first_and_then_the_one_made_here(
    name: str, version: str | None, found: tuple[str, ...]
) -> None:
    assert candidates(name, version) == found


@pytest.mark.parametrize("name", NAMES)
def test_an_image_that_the_environment_names_is_the_only_one(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MSGKIT_TEST_{name.upper()}_IMAGE", "mirror.example/one:5")
    assert candidates(name) == ("mirror.example/one:5",)
    # Of the version that is named it may not be.
    assert candidates(name, NEWER[name])[-1].startswith(f"msgkit/{name}:")


@pytest.mark.parametrize("name", NAMES)
def test_there_is_a_recipe_for_the_newer_version_too(name: str) -> None:
    usual, newer = recipe(name), recipe(name, NEWER[name])
    assert usual is not None
    assert newer is not None
    assert newer.version > usual.version


# -- recipes


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.tag)
def test_a_recipe_builds_on_the_image_that_it_is_said_to(one: Recipe) -> None:
    *made, base = lineage(one)
    assert base is BASE
    assert (FOLDER / BASE.folder / "make").is_file()
    for each in made:
        assert each.parent is not None
        assert f"\nFROM {each.parent.tag}\n" in (FOLDER / each.folder / "Dockerfile").read_text()


def test_no_recipe_names_a_mirror() -> None:
    assert [path for path in FOLDER.rglob("*") if path.is_file() and "://" in path.read_text()] == []


def test_what_an_image_is_made_of_can_be_told_from_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toys.lay_out(tmp_path)
    toys.use(tmp_path, monkeypatch)
    for folder in ("parent", "child"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Dockerfile").write_text("FROM scratch\n")
    parent = Recipe(tag="msgkit/parent:1", folder="parent")
    child = Recipe(tag="msgkit/child:1", folder="child", parent=parent, jars=("toy", "1.0.0"))
    seen = {child.digest(tmp_path)}
    assert child.digest(tmp_path) in seen

    (tmp_path / "child" / "Dockerfile").write_text("FROM scratch\nUSER nobody\n")
    seen.add(child.digest(tmp_path))
    (tmp_path / "parent" / "config").write_text("")
    seen.add(child.digest(tmp_path))
    seen.add(replace(child, arguments={"VERSION": "2"}).digest(tmp_path))
    toys.pin(tmp_path, {"toy-1.0.0.jar": b"another"})
    distributions.pins.cache_clear()
    seen.add(child.digest(tmp_path))
    assert len(seen) == 5


# -- the base


@pytest.mark.parametrize(
    ("targets", "mirror"),
    [
        (["Debian main bookworm http://mirror.example/debian/"], "http://mirror.example/debian/"),
        (
            [
                "Example main bookworm http://packages.example/",
                "Debian main bookworm-updates http://one.example/",
                "Debian main bookworm-security http://two.example/",
                "Debian contrib bookworm http://three.example/",
                "Debian main bookworm http://four.example/",
            ],
            "http://four.example/",
        ),
        (["Ubuntu main noble http://mirror.example/ubuntu/"], None),
        (["$(ORIGIN) main $(CODENAME) http://mirror.example/debian/"], None),
        ([], None),
    ],
)
def test_the_mirror_is_the_one_of_the_machine_for_debian_itself(targets: list[str], mirror: str | None) -> None:
    assert mirror_in(targets) == mirror


def test_a_list_of_mirrors_stands_for_the_first(tmp_path: Path) -> None:
    mirrors = tmp_path / "mirrors.list"
    mirrors.write_text("# near\nhttp://near.example/debian/ priority:1\nhttp://far.example/debian/\n")
    assert mirror_in([f"Debian main trixie mirror+file:{mirrors}"]) == "http://near.example/debian/"


def test_a_base_is_made_once_for_all_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MSGKIT_TEST_CACHE", str(tmp_path))
    said: list[str] = []
    made = cache() / "images"
    made.mkdir()
    digest = BASE.digest(FOLDER)
    monkeypatch.setattr("platform.machine", lambda: "abacus")
    (made / f"base-abacus-{digest[:16]}.tar.gz").write_bytes(b"a base")
    assert tarball(FOLDER, digest, said.append).read_bytes() == b"a base"
    assert said == ["base of images: in the cache"]


@pytest.mark.parametrize("env", [{"http_proxy": "http://proxy.example:3128", "no_proxy": "localhost"}])
def test_the_proxies_of_the_environment_are_handed_on(env: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert proxies() == env


# -- making images


def test_without_an_engine_no_image_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    assert not images.present("msgkit/base:trixie")
    with pytest.raises(Trouble, match="does not answer"):
        images.pull("msgkit/base:trixie")


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the recipe of the toy stands, which needs nothing; its images are gone afterwards."""
    if (lacking := trouble()) is not None:
        pytest.skip(str(lacking))
    toys.lay_out(tmp_path)
    toys.use(tmp_path, monkeypatch)
    (tmp_path / "toy").mkdir()
    tag = f"msgkit/toy:{secrets.token_hex(4)}"
    # With no layer that another test's has, too: an engine takes them away under the hands of whoever builds on them.
    (tmp_path / "toy" / "Dockerfile").write_text(f"FROM scratch\nLABEL tag={tag}\nCOPY jars/ /lib/\n")
    one = Recipe(tag=tag, folder="toy", jars=("toy", "1.0.0"))
    monkeypatch.setitem(RECIPES, "toy", (one,))
    yield tmp_path
    with connected() as engine:
        if images.present(one.tag):
            engine.images.remove(one.tag, force=True)


def id_of(reference: str) -> str:
    with connected() as engine:
        return str(engine.images.get(reference).id)


@pytest.mark.broker
def test_an_image_that_cannot_be_pulled_is_made_and_made_anew_only_when_its_recipe_changed(kitchen: Path) -> None:
    said: list[str] = []
    tag = images.ensure("toy", None, kitchen, said.append)
    assert tag == RECIPES["toy"][0].tag
    assert any(line.startswith("apache/toy:1.0.0 cannot be pulled: ") for line in said)
    assert f"{tag}: building ..." in said
    first = id_of(tag)

    said.clear()
    assert images.ensure("toy", None, kitchen, said.append) == tag
    assert said == [f"{tag}: is there, made by the same recipe"]
    assert id_of(tag) == first

    recipe_of_toy = kitchen / "toy" / "Dockerfile"
    recipe_of_toy.write_text(f"{recipe_of_toy.read_text()}COPY Dockerfile /\n")
    assert images.ensure("toy", None, kitchen, said.append) == tag
    assert id_of(tag) != first
    assert not images.present(first)


@pytest.mark.broker
def test_an_image_that_is_there_is_enough_for_those_who_have_no_recipes(kitchen: Path) -> None:
    with pytest.raises(Trouble, match=r"apache/toy:1.0.0 cannot be pulled") as raised:
        images.ensure("toy", None, None, lambda _: None)
    assert raised.value.mend == "docker pull apache/toy:1.0.0"
    tag = images.ensure("toy", None, kitchen, lambda _: None)
    assert images.ensure("toy", None, None, lambda _: None) == tag


@pytest.mark.broker
def test_the_end_of_what_the_engine_said_is_told_when_a_recipe_fails(kitchen: Path) -> None:
    (kitchen / "toy" / "Dockerfile").write_text("FROM scratch\nCOPY nothing /lib/\n")
    with pytest.raises(Trouble, match=r"cannot be made:\n(.*\n)*.*COPY failed.* nothing") as raised:
        images.ensure("toy", None, kitchen, lambda _: None)
    assert raised.value.mend == f"look at {kitchen / 'toy'}"
