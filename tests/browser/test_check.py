"""The check's page in a real browser: it fits a phone, asks no network and shows every contact sheet."""

import pytest
from PIL import Image

from zoofuse.data import synthetic
from zoofuse.preflight import audit
from zoofuse.preflight.places import gather
from zoofuse.report import figures


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    for name, words in (("cat", "orange cat"), ("dog", "black dog")):
        (folder / name).mkdir()
        for i, image in enumerate(synthetic.draw([words], 40, 1, name)[0]):
            Image.fromarray(image).save(folder / name / f"a_rather_long_name_of_a_photograph_{i:04d}.png")
    (folder / "cat/bad.png").write_text("no image")
    source = {"source": "folder", "dataset": None, "positive": ["cat"], "negative": ["dog"]}
    place = gather("concepts.cat", source, folder, None, 1, 1)
    policy = {"unreadable": "refuse", "duplicates": "drop", "leaks": "refuse"}
    findings, named, strips = audit.check([place], {}, policy, "balanced", 1)
    figures.contact_sheet(strips["concepts.cat"], folder / "sheet.png")
    audit.write(folder, findings, named, {"concepts.cat": folder / "sheet.png"}, [place])
    return folder / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_keeps_quiet(browser, page, scheme):
    said, asked = [], []
    context = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    shown = context.new_page()
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(page.as_uri())
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    assert shown.inner_text("h2.headline").startswith("1 error that stops the run and")
    assert "The run stops here" in shown.inner_text(".findings li:first-child")
    shown.locator("figure img").scroll_into_view_if_needed()
    assert shown.locator("figure img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 500
    paper, ink = shown.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (sum(eval(paper[3:])) > sum(eval(ink[3:]))) == (scheme == "light")
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
