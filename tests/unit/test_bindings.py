"""Structures shared with C++: any difference between the two sides is found when a library is loaded."""

import ctypes
import itertools

import pytest

from zoofuse.models.network import NETWORKS
from zoofuse.native import bindings, build, cyclegan_steps, layout, network_trainer, trainer

SHARED = {"trainer": trainer._Job, "cyclegan_steps": cyclegan_steps._Step, "layout": layout._Set}
SHARED |= {"network_trainer": network_trainer._Job}
MODULES = {"trainer": trainer, "cyclegan_steps": cyclegan_steps, "layout": layout, "network_trainer": network_trainer}
NETWORK = NETWORKS["small_cnn_zoo"]
MACROS = {"network_trainer": network_trainer._defines(NETWORK)}
HEADERS = {
    "trainer": {"fields.h", "lanes.h", "published.h", "simd.h"},
    "cyclegan_steps": {"fields.h", "functions.h", "simd.h"},
    "layout": {"fields.h", "simd.h"},
    "network_trainer": {"fields.h", "functions.h", "lanes.h", "layers.h", "simd.h", "sparse.h"},
}
needs_compiler = pytest.mark.skipif(not trainer.available()[0], reason=f"no C++: {trainer.available()[1]}")


def changed(structure, fields):
    return type(structure.__name__, (ctypes.Structure,), {"_fields_": fields})


def load(name, structure):
    return bindings.library(MODULES[name]._SOURCE, build.instruction_set(), structure, MACROS.get(name, ()))


def refused(name, fields, field):
    structure = changed(SHARED[name], fields)
    with pytest.raises(TypeError, match=rf"{structure.__name__[1:]} of \w+\.cpp and .* differ at field '{field}':"):
        load(name, structure)


@needs_compiler
@pytest.mark.parametrize("name", SHARED)
def test_the_structures_are_those_of_the_libraries(name):
    load(name, SHARED[name])
    load(name, changed(SHARED[name], list(SHARED[name]._fields_)))


@needs_compiler
@pytest.mark.parametrize("name", SHARED)
def test_any_two_fields_that_are_swapped_are_named(name):
    for i, j in itertools.combinations(range(len(SHARED[name]._fields_)), 2):
        fields = list(SHARED[name]._fields_)
        fields[i], fields[j] = fields[j], fields[i]
        refused(name, fields, fields[i][0])


@needs_compiler
@pytest.mark.parametrize("name", SHARED)
def test_a_field_of_another_type_of_the_same_size_is_named(name):
    fields = list(SHARED[name]._fields_)
    for at, (field, kind) in enumerate(fields):
        pointers = [bindings.pointer(pointed) for pointed in ("float32", "float64", "int32", "int64", "uint8")]
        others = [ctypes.c_double, ctypes.c_int64, ctypes.c_uint64, ctypes.c_void_p, *pointers]
        if issubclass(kind, ctypes.Array):
            others = [other * 2 for other in others]
        others = [other for other in others if bindings._kind(other) != bindings._kind(kind)]
        assert len(others) == 8
        for other in others:
            assert ctypes.sizeof(other) == ctypes.sizeof(kind)
            refused(name, [*fields[:at], (field, other), *fields[at + 1 :]], field)


@needs_compiler
@pytest.mark.parametrize("name", SHARED)
def test_a_missing_field_is_named(name):
    fields = list(SHARED[name]._fields_)
    for at, (field, _) in enumerate(fields):
        after = fields[at + 1 :]  # the first that is at the missing one's place, if any
        refused(name, fields[:at] + after, after[0][0] if after else field)


@needs_compiler
@pytest.mark.parametrize("name", SHARED)
def test_a_field_too_many_or_of_another_size_is_named(name):
    fields = list(SHARED[name]._fields_)
    refused(name, [*fields, ("more", ctypes.c_int64)], "more")
    refused(name, [(fields[0][0], ctypes.c_int32), *fields[1:]], fields[0][0])


@needs_compiler
@pytest.mark.parametrize("name", SHARED)
def test_nothing_computes_with_a_structure_that_differs(name, monkeypatch):
    """Not taken for a missing compiler, which would train on in PyTorch without a word."""
    structure, fields = SHARED[name], list(SHARED[name]._fields_)
    monkeypatch.setattr(MODULES[name], f"_{structure.__name__[1:]}", changed(structure, fields[1::-1] + fields[2:]))
    with pytest.raises(TypeError, match=f"at field '{fields[1][0]}'"):
        MODULES[name].available(*([NETWORK] if name in MACROS else []))


def test_padding_at_the_end_is_found_too():
    structure = changed(trainer._Job, [("x", ctypes.c_int64)])
    bindings.check("Job 8\nx 0 8 int64\n", structure, "train.cpp")
    with pytest.raises(TypeError, match=r"has 16 bytes, .* has 8"):
        bindings.check("Job 16\nx 0 8 int64\n", structure, "train.cpp")


@needs_compiler
def test_a_field_swapped_in_the_source_is_named(tmp_path, monkeypatch):
    """The source of another version of the package, in a library of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("fields.h", "simd.h"):
        (tmp_path / name).write_text(layout._SOURCE.with_name(name).read_text())
    text = layout._SOURCE.read_text()
    a, b = "FIELD(int64_t, edges)", "FIELD(int64_t, epochs)"
    assert text.count(a) == text.count(b) == 1
    source = tmp_path / "layout.cpp"
    source.write_text(text.replace(a, "@").replace(b, a).replace("@", b))
    with pytest.raises(TypeError, match=r"Set of layout\.cpp and .*\._Set differ at field 'edges'"):
        bindings.library(source, build.instruction_set(), layout._Set)


# -- the cache


@needs_compiler
def test_a_library_changes_with_the_headers_it_includes(tmp_path):
    """Also with those that a header includes; nothing else in the folder matters."""
    source = tmp_path / "small.cpp"
    source.write_text('#include "one.h"\n')
    (tmp_path / "one.h").write_text('#pragma once\n  # include "two.h"\n#include <vector>\n')
    (tmp_path / "two.h").write_text('#include "one.h"  // a circle\n')
    (tmp_path / "other.h").write_text("")
    kind, names = build.instruction_set(), set()
    for path in (None, source, tmp_path / "one.h", tmp_path / "two.h"):
        if path:
            path.write_text(path.read_text() + "// changed\n")
        names.add(build._recipe(source, kind)[0])
    assert len(names) == 4
    (tmp_path / "other.h").write_text("// changed\n")
    assert build._recipe(source, kind)[0] in names


@pytest.mark.parametrize("name", SHARED)
def test_every_header_counts_for_the_libraries_of_this_package(name):
    source = MODULES[name]._SOURCE
    texts = build.texts(source)
    assert len(texts) == 1 + len(HEADERS[name])
    assert {*texts[1:]} == {source.with_name(header).read_text() for header in HEADERS[name]}
