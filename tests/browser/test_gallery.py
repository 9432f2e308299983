"""The gallery in a real browser: slider, number and keyboard move the threshold; phone, dark, without JavaScript."""

import numpy as np
import pytest
import torch
from PIL import Image

from zoofuse.data import synthetic
from zoofuse.export import models, predict
from zoofuse.models import cnn

PICTURES = 60


@pytest.fixture(scope="module")
def model():
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "predict", np.arange(1))
    weights = {name.replace("fc1", "heads"): values[0] for name, values in weights.items()}
    weights["heads.weight"] *= 30  # scores that differ
    about = {"fusion": "black_cat", "method": "cyclegan", "domain": "A", "model": 12, "threshold": 0.3}
    config = models.configuration(weights, ["black", "cat"], **about)
    return models.Model({name: torch.from_numpy(values) for name, values in weights.items()}, config)


@pytest.fixture(scope="module")
def made(tmp_path_factory, model):
    """The page's path and the scores, falling."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, image in enumerate(synthetic.draw(["cat", "non-cat"], PICTURES, 1, "gallery")[0]):
        Image.fromarray(image).resize((40 + 2 * i, 60)).save(folder / f"a rather long name of an image {i:02d}.png")
    (folder / "bad.jpg").write_text("no image")
    found = predict.predict(model, folder, say=print)
    predict.page(folder / "page.html", found, model, folder)
    return folder / "page.html", found.scores["score"].to_numpy()


@pytest.fixture
def look(browser, made):
    """A function that opens the page and, at the end of the test, wants it to have kept quiet."""
    said, asked, contexts = [], [], []

    def look(**settings):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(made[0].as_uri())
        return page

    yield look
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    for context in contexts:
        context.close()


def marked(page) -> int:
    """How many images have a yes frame; they are the first ones, and the border lies behind them."""
    marks = page.eval_on_selector_all("#images li", "items => items.map(item => item.className)")
    yes = marks.index("border")
    assert marks == ["yes"] * yes + ["border"] + [""] * (len(marks) - yes - 1)
    return yes


def test_it_opens_at_the_models_own_threshold(look, made):
    page, yes = look(), int((made[1] >= np.float32(0.3)).sum())
    assert 0 < yes < PICTURES
    assert marked(page) == yes
    assert page.inner_text("output") == f"{yes} of {PICTURES} are predicted yes"
    assert page.input_value("#threshold") == "0.3"


def test_the_keyboard_moves_the_threshold_image_by_image(look, made):
    page, yes = look(), int((made[1] >= np.float32(0.3)).sum())
    page.focus("#slider")
    page.keyboard.press("ArrowRight")
    assert marked(page) == yes - 1
    assert float(page.input_value("#threshold")) == pytest.approx(made[1][yes - 2], rel=1e-3)
    assert page.get_attribute("#slider", "aria-valuetext").endswith(f": {yes - 1} of {PICTURES} are predicted yes")
    page.keyboard.press("Home")
    assert marked(page) == PICTURES
    page.keyboard.press("End")
    assert marked(page) == 0
    page.click("text=Model's threshold")
    assert marked(page) == yes


def test_a_threshold_can_be_typed_and_predictions_shown_apart(look, made):
    page = look()
    page.fill("#threshold", "0.5")
    yes = int((made[1] >= 0.5).sum())
    assert marked(page) == yes
    for show, count in (("yes", yes), ("no", PICTURES - yes), ("all", PICTURES)):
        page.select_option("#show", show)
        visible = "items => items.filter(item => getComputedStyle(item).display !== 'none').length"
        assert page.eval_on_selector_all("#images li:not(.border)", visible) == count
    page.click("text=Go to the threshold")
    assert page.evaluate("document.activeElement.className") == "border"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(look, scheme):
    page = look(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    paper, ink = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (sum(eval(paper[3:])) > sum(eval(ink[3:]))) == (scheme == "light")


def test_without_javascript_it_shows_the_models_predictions(look, made):
    page = look(java_script_enabled=False)
    yes = int((made[1] >= np.float32(0.3)).sum())
    assert page.locator("#images li.yes").count() == yes
    assert page.locator("noscript").inner_text().endswith(f"0.3: {yes} yes.")
    assert not page.locator("form").is_visible()
