"""The front matter of cards: hostile names are text in it, and what is not known is left out."""

import pytest
from huggingface_hub import ModelCard

from zoofuse.core import cards
from zoofuse.models.network import NETWORKS

NAMES = ["a: [b", "'\"}\n---\nlicense: gpl", "yes", "{{ 1 }}", "- x # y", "猫 \x85"]


@pytest.mark.parametrize("name", NAMES)
def test_names_from_outside_are_text(tmp_path, name):
    front = cards.origin([None]) | cards.model_index(name, (name, name), {"roc_auc": (name, 0.5, None, 1.0)})
    context = {"layout": "pytorch", "n": 1, "parameters": 1, "attributes": {"concept": "x"}, "first": 1, "last": 1}
    context |= {"shapes": {}, "example": 1, "example_epochs": 1, "features": 1, "has_linear": True, "degenerate": None}
    context |= {"network": NETWORKS["published"], "classes": None, "modules": {}, "nested": None, "quartiles": None}
    context |= {"opens_in_weightclip": None, "factors": [], "measure": "Balanced accuracy", "images": "validation"}
    context["attributes"] |= {"images": "ab" * 32}
    (tmp_path / "README.md").write_text(cards.render("zoofuse.zoo", "zoo_card.md", front, **context), encoding="utf-8")
    data = ModelCard.load(tmp_path / "README.md").data
    (result,) = data.eval_results
    assert (data.model_name, result.dataset_type, result.dataset_name) == (name, name, name)
    assert result.metric_name == f"{name} (- to 1.000)"
    assert data.license == "unknown"


def test_a_score_without_a_value_is_left_out():
    nothing = (None, None, None)
    assert cards.model_index("a", ("b", "c"), {"roc_auc": ("AUROC", *nothing)}) == {}


def test_one_set_of_images_that_is_not_synthetic_decides_the_licence():
    synthetic, folder = {"source": "synthetic", "dataset": None}, {"source": "folder", "dataset": None}
    pets = {"source": "torchvision", "dataset": "oxford_iiit_pet"}
    assert cards.origin([synthetic, synthetic]) == {"license": "mit"}
    assert cards.origin([synthetic, folder]) == cards.origin([synthetic, None]) == {"license": "unknown"}
    assert cards.origin([pets, pets]) == {"license": "unknown", "datasets": ["timm/oxford-iiit-pet"]}
