"""The gallery in a real browser: slider, number and keyboard move the threshold; phone, dark, without JavaScript."""

import base64

import numpy as np
import pytest
import torch
from PIL import Image

from zoofuse.data import synthetic
from zoofuse.export import models, predict
from zoofuse.models import cnn

PICTURES = 60


def exported(architecture: str, concepts: list[str]) -> models.Model:
    weights = cnn.initial_weights(cnn.ARCHITECTURES[architecture], 1, "predict", np.arange(1))
    weights = {name.replace("fc1", "heads"): values[0] for name, values in weights.items()}
    weights["heads.weight"] *= 30  # scores that differ
    for part in ("weight", "bias"):
        weights[f"heads.{part}"] = np.resize(
            weights[f"heads.{part}"], (len(concepts), *weights[f"heads.{part}"].shape[1:])
        )
    about = {"fusion": "black_cat", "method": "cyclegan", "domain": "A", "model": 12, "threshold": 0.3}
    config = models.configuration(weights, concepts, **about)
    return models.Model({name: torch.from_numpy(values) for name, values in weights.items()}, config)


@pytest.fixture(scope="module")
def model():
    return exported("published", ["black", "cat"])


@pytest.fixture(scope="module")
def made(tmp_path_factory, model):
    """The page's path and the scores, falling."""
    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(synthetic.draw(["cat", "non-cat"], PICTURES, 1, "gallery")[0]):
        Image.fromarray(picture).resize((40 + 2 * i, 60)).save(folder / f"a rather long name of an image {i:02d}.png")
    (folder / "bad.jpg").write_text("no image")
    found = predict.predict(model, folder, say=print)
    predict.page(folder / "page.html", found, model, folder)
    return folder / "page.html", found.scores["score"].to_numpy()


@pytest.fixture
def look(browser, made):
    """A function that opens the page and, at the end of the test, wants it to have kept quiet."""
    said, asked, contexts = [], [], []

    def look(path=made[0], **settings):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | settings)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
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


def pictures(folder) -> list[str]:
    """Files of every kind that browsers read. Chromium decodes them as Pillow does."""
    rows, columns = np.mgrid[:300, :400]
    large = np.stack([rows * 255 // 300, columns * 255 // 400, (rows * columns) % 256], 2).astype(np.uint8)
    small = synthetic.draw(["black cat"], 1, 1, "dropped")[0][0]
    picture = Image.fromarray(small).resize((90, 70))
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = picture.convert("RGBA")
    clear.putalpha(Image.fromarray((columns[:70, :90] * 2).astype(np.uint8)))
    saved = {
        "<img src=x onerror=alert(1)>.png": (Image.fromarray(large), {}),
        "flat.png": (Image.fromarray(large[:20]), {}),
        "same.png": (Image.fromarray(small), {}),
        "tiny.png": (Image.fromarray(large).resize((5, 3)), {}),
        "grey.png": (picture.convert("L"), {}),
        "clear.png": (clear, {}),
        "palette.gif": (picture, {}),
        "whole.webp": (picture, {"lossless": True}),
        "turned.jpg": (picture, {"exif": turned, "quality": 95}),
        "coarse.jpg": (picture.resize((333, 222)), {"quality": 60}),
    }
    for name, (image, options) in saved.items():
        image.save(folder / name, **options)
    return list(saved)


def test_dropped_images_get_zoofuses_scores(look, made, model, tmp_path):
    page, names = look(), pictures(tmp_path)
    page.set_input_files("#files", [tmp_path / name for name in names])
    page.wait_for_function("n => document.querySelectorAll('#dropped b').length === n", arg=len(names))
    found = page.eval_on_selector_all("#dropped li", """items => items.map(item => [
        item.querySelector("span").textContent, Number(item.dataset.score), item.className])""")  # fmt: skip
    assert {name for name, _, _ in found} == set(names)
    for name, score, marked in found:
        wanted = model.predict(tmp_path / name)[0]
        assert score == pytest.approx(wanted, abs=1e-4), name
        assert (marked == "yes") == (score >= 0.3)
    assert len({round(score, 3) for _, score, _ in found}) > 5
    probabilities = page.inner_text("#dropped li:has-text('same.png') span:last-child")
    black, cat = model.probabilities(tmp_path / "same.png")[0]
    assert probabilities == f"black {black:.4f}, cat {cat:.4f}"

    content = base64.b64encode((tmp_path / "same.png").read_bytes()).decode()
    data = page.evaluate_handle("""content => {
        const data = new DataTransfer(), bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
        data.items.add(new File([bytes], "again.png", {type: "image/png"}));
        data.items.add(new File(["no image"], "bad.jpg", {type: "image/jpeg"}));
        return data;
    }""", content)  # fmt: skip
    page.dispatch_event("body", "drop", {"dataTransfer": data})
    page.wait_for_selector("#dropped .gone")
    same = model.predict(tmp_path / "same.png")[0]
    score = page.eval_on_selector("#dropped li:has-text('again.png')", "item => Number(item.dataset.score)")
    assert score == pytest.approx(same, abs=1e-4)
    page.fill("#threshold", str(same + 0.01))
    assert page.eval_on_selector("#dropped li:has-text('again.png')", "item => item.className") == ""
    page.fill("#threshold", str(same - 0.01))
    assert page.eval_on_selector("#dropped li:has-text('again.png')", "item => item.className") == "yes"


def test_a_deeper_model_with_three_heads_scores_alike(look, made, tmp_path):
    model = exported("deep", ["small", "black", "cat"])
    picture = next(made[0].parent.glob("*.png"))
    (tmp_path / "images").mkdir()
    Image.open(picture).save(tmp_path / "images/one.png")
    predictions = predict.predict(model, tmp_path / "images", say=print)
    predict.page(tmp_path / "page.html", predictions, model, tmp_path / "images")
    page = look(tmp_path / "page.html")
    page.set_input_files("#files", picture)
    page.wait_for_selector("#dropped b")
    score = page.eval_on_selector("#dropped li", "item => Number(item.dataset.score)")
    assert score == pytest.approx(model.predict(picture)[0], abs=1e-4)
    assert 0.01 < score < 0.99


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
