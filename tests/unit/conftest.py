"""What several unit tests share."""

import pytest

from zoofuse.native import build


@pytest.fixture(scope="module")
def any_width(tmp_path_factory):
    """The C++ for further vector widths, "lanes4" and "lanes16": compilers split vectors wider than the processor's."""
    own = " ".join(flag for flag in build._SETS[build.instruction_set()].split() if flag.startswith("-m"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setitem(build._SETS, "lanes4", f"{own} -DLANES=4 -DBLOCK=3")
        patch.setitem(build._SETS, "lanes16", f"{own} -DLANES=16 -DBLOCK=6")
        yield
