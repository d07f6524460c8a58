"""Names of served models in any script."""

import pytest

from export.errors import ExportError
from export.triton.model_name import alias_note, served_name


@pytest.mark.parametrize("name", ["my_model", "v2.1+x-y", "_a", "PP-YOLOE_plus_SOD-S"])
def test_names_that_triton_takes_stay(name):
    assert served_name(name) == name
    assert alias_note(name) == ""


@pytest.mark.parametrize(
    ("name", "alias"),
    [
        ("我的模型", "model_"),
        ("modèle", "modele_"),
        ("v2 我的", "v2_"),
        ("модель-1", "1_"),
        ("../я", "model_"),
        ("\udcff", "model_"),
    ],
)
def test_other_scripts_get_an_alias(name, alias):
    served = served_name(name)
    assert served.isascii()
    assert served.startswith(alias[:6])
    assert served_name(served) == served
    assert alias_note(name) == f"the model {name} is served as {served}: names in Triton are ASCII"


def test_two_names_do_not_share_an_alias():
    assert len({served_name(name) for name in ("模型一", "模型二", "modèle", "modéle")}) == 4
    assert served_name("mod\u00e8le") == served_name("mode\u0300le")


@pytest.mark.parametrize("name", ["", "my model", "a/b", "../up", "-x", "a\nb"])
def test_ascii_names_with_other_characters_are_refused(name):
    with pytest.raises(ExportError, match="is not valid: choose one of letters, digits"):
        served_name(name)
