"""The README's terminal sessions are what running them gives."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from modelfloat.tests.support.checkout import ROOT


@pytest.fixture(scope="module")
def screens() -> ModuleType:
    spec = importlib.util.spec_from_file_location("screens", ROOT / "docs" / "screens.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readme_and_the_pictures_are_as_the_program_is(
    screens: ModuleType, tmp_path: Path
) -> None:
    """`python docs/screens.py` writes them anew after a change that one can see."""
    texts = screens.play(tmp_path.resolve())
    readme = (ROOT / "README.md").read_text()
    assert screens.in_readme(readme, texts) == readme
    for name, text in texts.items():
        assert (ROOT / "docs/screens" / f"{name}.svg").read_text() == screens.svg(name, text)


def test_a_mask_is_no_number(screens: ModuleType) -> None:
    """What stands in the README for a measured number must not look like one."""
    assert [mask for _, mask in screens.CHANGING if any(c.isdigit() for c in mask)] == []
    assert not any(c.isdigit() for c in screens.MADE_UP)
