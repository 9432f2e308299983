"""The digest of the code that decides a job's numbers."""

import shutil

import pytest

from zoofuse.core import code

FILES = {
    "core/__init__.py": "",
    "core/numbers.py": """
'''Numbers.'''
TABLE = {"a": says("what it is", 1)}
SPARE = 2

def used(x):
    return x + TABLE["a"]

def unused(x):
    return x
""",
    "methods/many.py": """
from pathlib import Path
from zoofuse.core import numbers

_SOURCE = Path(__file__).with_name("fast.cpp")

def one():
    from zoofuse.core.numbers import used
    return used(_helper())

def _helper():
    return _SOURCE

def other():
    return numbers.unused(3)
""",
    "methods/fast.cpp": '#include "simd.h"\nint f() { return 1; } // one\n',
    "methods/simd.h": "inline int g() { return 2; }\n",
    "script.py": """
'''A job.'''
from zoofuse.methods import many

print(many.one())
""",
}


def forget():
    """What another process would not know."""
    cached = (code._tree, code._bindings, code._definitions, code._text, code._links, code._state, code._states)
    for function in cached:
        function.cache_clear()


@pytest.fixture(autouse=True)
def process(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    forget()
    yield
    forget()


@pytest.fixture
def package(tmp_path, monkeypatch):
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(code, "PACKAGE", tmp_path)
    return tmp_path


def digest(package, functions=()):
    forget()
    return code.digest(package / "script.py", functions)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "many.one()", "many.one() + 1"),
        ("methods/many.py", "return _SOURCE", "return _SOURCE, 1"),
        ("core/numbers.py", "return x + TABLE", "return x - TABLE"),
        ("core/numbers.py", 'is", 1)', 'is", 2)'),
        ("methods/fast.cpp", "return 1", "return 3"),
        ("methods/simd.h", "return 2", "return 3"),
    ],
)
def test_what_a_script_reaches_changes_it(package, file, old, new):
    before = digest(package)
    (package / file).write_text((package / file).read_text().replace(old, new))
    assert digest(package) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("script.py", "'''A job.'''", "'''Another description.'''\n# a comment"),
        ("core/numbers.py", "'''Numbers.'''", ""),
        ("core/numbers.py", "what it is", "what a setting is"),
        ("core/numbers.py", "SPARE = 2", "SPARE = 3"),
        ("core/numbers.py", "    return x\n", "    return -x\n"),
        ("core/numbers.py", "def used(x):\n", 'def used(x):\n    """What it does."""\n\n'),
        ("methods/many.py", "numbers.unused(3)", "numbers.unused(4)"),
        ("methods/fast.cpp", "// one", "/* two */"),
    ],
)
def test_comments_docstrings_and_what_it_does_not_reach_change_nothing(package, file, old, new):
    before = digest(package)
    (package / file).write_text((package / file).read_text().replace(old, new))
    assert digest(package) == before


def test_a_function_that_is_called_by_its_registered_name_can_be_named(package):
    before = digest(package), digest(package, ["zoofuse.methods.many:other"])
    path = package / "methods/many.py"
    path.write_text(path.read_text().replace("numbers.unused(3)", "numbers.unused(4)"))
    assert digest(package) == before[0]
    assert digest(package, ["zoofuse.methods.many:other"]) != before[1]


@pytest.mark.parametrize("source", ["train.cpp", "blocks.cu", "block_layers.h"])
def test_the_trainer_s_c_plus_plus_is_part_of_training(root, tmp_path, monkeypatch, source):
    script = root / "workflow/scripts/train_zoo_shard.py"
    before = code.digest(script)
    copy = tmp_path / "zoofuse"
    shutil.copytree(code.PACKAGE, copy)
    monkeypatch.setattr(code, "PACKAGE", copy)
    assert code.digest(script) == before
    with (copy / "native" / source).open("a") as handle:
        handle.write("int further() { return 0; }\n")
    forget()
    assert code.digest(script) != before


def test_another_process_need_not_read_the_code_again(package, monkeypatch):
    before = digest(package)
    monkeypatch.setattr(code, "_digest", lambda *_: pytest.fail("the code was read again"))
    assert digest(package) == before


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"a": 1}', "null"])
def test_damaged_digests_are_found_again(package, tmp_path, damage):
    before = digest(package)
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_text(damage)
    assert digest(package) == before


def test_an_edit_while_the_code_is_read_is_not_taken_for_the_state_before_it(package, monkeypatch):
    path, find = package / "methods/many.py", code._digest
    text = path.read_text()

    def edited_meanwhile(*arguments):
        path.write_text(text.replace("return _SOURCE", "return _SOURCE, 1"))
        return find(*arguments)

    monkeypatch.setattr(code, "_digest", edited_meanwhile)
    of_the_edit = digest(package)
    path.write_text(text)
    monkeypatch.setattr(code, "_digest", find)
    assert digest(package) != of_the_edit
