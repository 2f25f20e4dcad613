"""Machine files: parsing, presets, what a file lays over its preset, and every message."""

from __future__ import annotations

import pytest

from archsim import config
from archsim.errors import ConfigError


@pytest.fixture
def presets(tmp_path, monkeypatch):
    """An empty preset folder in place of the package's; `presets(name, text)` adds one."""
    folder = tmp_path / "presets"
    folder.mkdir()
    monkeypatch.setattr(config, "PRESETS", folder)

    def add(name, text):
        (folder / f"{name}.toml").write_text(text)

    return add


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Write a machine file and read it, under the name m.toml."""
    monkeypatch.chdir(tmp_path)

    def read(text):
        (tmp_path / "m.toml").write_text(text)
        return config.read_toml("m.toml")

    return read


BASE = """
name = "base"
[memory]
channels = 64
capacity = "8 GiB"
[memory.source]
channels = "data sheet, table 3"
capacity = "data sheet, table 1"
[core.costs]
V_ADD_VV = 7
V_EXP_V = 9
"""


def refusal(read, *arguments):
    with pytest.raises(ConfigError) as caught:
        read(*arguments)
    return str(caught.value)


def test_a_file_without_extends_is_what_it_says(machine):
    assert machine("a = 1\n[b]\nc = [1, 2]\n") == {"a": 1, "b": {"c": [1, 2]}}


def test_written_toml_reads_back(machine):
    table = {"a": 1, "b": {"c": [1, 2], "d": [{"e": "x"}, {"e": "y\n"}]}}
    assert machine(config.write_toml(table)) == table


def test_a_file_lays_its_keys_over_the_preset(presets, machine):
    presets("base", BASE)
    merged = machine('extends = "base"\nname = "mine"\n[core.costs]\nV_EXP_V = 1\n[noc]\nrows = 4\n')
    assert merged == {
        "name": "mine",
        "memory": {
            "channels": 64,
            "capacity": "8 GiB",
            "source": {"channels": "data sheet, table 3", "capacity": "data sheet, table 1"},
        },
        "core": {"costs": {"V_ADD_VV": 7, "V_EXP_V": 1}},
        "noc": {"rows": 4},
    }


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ("channels = 32", None),
        ("channels = 64", "data sheet, table 3"),
        ('channels = 32\nsource = {channels = "mine"}', "mine"),
        ('source = {channels = "better"}', "better"),
    ],
)
def test_a_changed_figure_loses_the_note_of_the_old_one(presets, machine, change, note):
    presets("base", BASE)
    source = machine(f'extends = "base"\n[memory]\n{change}\n')["memory"]["source"]
    assert source.get("channels") == note
    assert source["capacity"] == "data sheet, table 1"


def test_arrays_are_replaced_not_joined(presets, machine):
    presets("base", "ports = [1, 2, 3]")
    assert machine('extends = "base"\nports = [4]') == {"ports": [4]}


def test_presets_extend_presets(presets, machine):
    presets("base", "a = 1\nb = 1\nc = 1")
    presets("middle", 'extends = "base"\nb = 2\nc = 2')
    assert machine('extends = "middle"\nc = 3') == {"a": 1, "b": 2, "c": 3}
    assert config.read_preset("middle") == {"a": 1, "b": 2, "c": 2}


def test_preset_names_are_sorted(presets):
    presets("b", "")
    presets("a", "")
    assert config.preset_names() == ["a", "b"]


def test_unknown_presets(presets, machine):
    presets("dart-2048", "")
    presets("tiny", "")
    assert refusal(machine, 'extends = "dart-2049"') == (
        "m.toml: extends: 'dart-2049'; expected a preset; did you mean 'dart-2048'?"
    )
    assert refusal(config.read_preset, "gpu") == "machine: 'gpu'; expected a preset; one of dart-2048, tiny"
    assert refusal(machine, "extends = 3") == "m.toml: extends: 3; expected the name of a preset, as text"


def test_a_circle_of_presets(presets, machine):
    presets("a", 'extends = "b"')
    presets("b", 'extends = "a"')
    assert refusal(machine, 'extends = "a"') == (
        "b.toml: extends: 'a'; expected a preset that does not lead back to itself"
    )
    assert refusal(config.read_preset, "a") == (
        "b.toml: extends: 'a'; expected a preset that does not lead back to itself"
    )


def test_unreadable_files(machine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refusal(config.read_toml, "no.toml") == "no.toml: 'No such file or directory'; expected a readable file"
    text = refusal(machine, "a = = 1")
    assert text.startswith("m.toml: 'Invalid value (at line 1, column 5)'")
    assert text.endswith("; expected valid TOML")
    (tmp_path / "m.toml").write_bytes(b"a = '\xff'")
    assert refusal(config.read_toml, "m.toml").endswith("; expected valid TOML")
