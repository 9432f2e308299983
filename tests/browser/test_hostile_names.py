"""Every page with hostile names in a real browser: nothing runs, nothing breaks, and names read as they are."""

import base64
import re
from pathlib import Path

import hostile
import numpy as np
import pandas as pd
import planted
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from zoofuse.core import csv_files, files
from zoofuse.data import synthetic
from zoofuse.export import models, predict
from zoofuse.models import cnn
from zoofuse.preflight import audit
from zoofuse.preflight.places import gather
from zoofuse.report import figures, pages, report

NAMES = hostile.NAMES
SHOWN = [pages.shown(name) for name in NAMES]
TOLD = [name for name in SHOWN if name != "NA"]  # in tables, as they can be written
DETECTOR = "window.hacked = () => { window.wasHacked = true; console.error('hacked'); };"
INJECTED = "<script>hacked()</script><img src=data:, onerror=hacked()><a id=link href=javascript:hacked()>a link</a>"


@pytest.fixture
def look(browser):
    """A function that opens a page and, at the end of the test, wants it to have kept quiet: no script but its own,
    no dialog, no request, no policy that had to step in."""
    said, asked, contexts, opened = [], [], [], []

    def look(path, quiet=True):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        contexts.append(context)
        context.add_init_script(DETECTOR)
        context.set_default_timeout(120_000)  # milliseconds; other tests keep the machine busy
        page = context.new_page()
        if quiet:
            opened.append(page)
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
            page.on("popup", lambda popup: said.append(popup.url))
            page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        return page

    yield look
    hacked = [page.evaluate("window.wasHacked === true") for page in opened]
    frames = [len(page.frames) for page in opened]
    for context in contexts:
        context.close()
    assert said == []
    assert not any(hacked)
    assert set(frames) <= {1}
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert sum(url.startswith("file:") for url in asked) == len(opened)


def named(rows: pd.Series, names: list[str] = TOLD) -> list[str]:
    return [names[i % len(names)] for i in range(int(rows.sum()))]


@pytest.fixture(scope="module")
def planted_report(tmp_path_factory):
    """A report with hostile names wherever names come from outside; some methods keep theirs, as roles go by them."""
    folder = tmp_path_factory.mktemp("hostile")
    arguments = planted.arguments(folder)
    fusion = arguments["fusions"][0]
    strange = folder / "results" / "javascript:hacked()#?&<img src=x onerror=hacked()>"
    strange.mkdir()
    for key, path in fusion["tables"].items():
        frame = pd.read_csv(path, dtype={"selected": str, "domain": str}).drop(columns="checksum", errors="ignore")
        for column in {"method", "group", "selected", "baseline"} & set(frame):
            rows = frame[column].eq("noise") if column == "method" else frame[column].notna()
            frame.loc[rows, column] = named(rows)
        if key == "zero_shot":
            frame["head"] = frame["head"].replace("probe", NAMES[5])
        fusion["tables"][key] = strange / f"{key}.csv"
        csv_files.write(fusion["tables"][key], frame)
    shown = files.read(fusion["shown"], "shown")
    embeddings = {key.split("/")[1]: value for key, value in shown.items() if key.startswith("embedding/")}
    predictions = {key.split("/")[1]: value for key, value in shown.items() if key.startswith("prediction/")}
    safe = [name.replace("\x00", "\x01").encode("utf-8", "replace").decode() for name in NAMES]  # what HDF5 can hold
    report.write_shown(
        folder / "shown.h5", images=shown["images"], labels=shown["labels"], validation=shown["validation"],
        groups=np.array([safe[i % len(safe)] for i in range(len(shown["labels"]))]), names=safe[:2],
        embeddings=embeddings, predictions=predictions,
    )  # fmt: skip
    fusion |= {"name": NAMES[3], "concepts": [NAMES[0], NAMES[10]], "shown": folder / "shown.h5"}
    fusion["verdicts"] = {NAMES[7]: NAMES[4]}
    netspace = [{"setting": key, "measure": name, "architecture": name, "decoded": 0.5, "n": 8}
                for key, name in zip(report.NETSPACE, NAMES, strict=False)]  # fmt: skip
    csv_files.write(folder / "results" / "summary.csv", pd.DataFrame(netspace))
    report.build(
        **arguments
        | {"title": NAMES[9], "images": [{"images of": name, NAMES[0]: 1} for name in NAMES], "image_notes": NAMES,
           "settings": dict.fromkeys(NAMES, ", ".join(NAMES)) | {"nested": {name: {name: name} for name in NAMES}},
           "environment": {name: name for name in NAMES}, "netspace": folder / "results" / "summary.csv",
           "sizes": pd.DataFrame({"folder": NAMES, "files": 1, "MB": 0.5})}
    )  # fmt: skip
    return arguments["path"]


def open_everything(page):
    for summary in page.locator("details > summary").all():
        summary.click()
    for box in page.locator(".table").all():
        box.scroll_into_view_if_needed()
        box.locator(".dt-container").wait_for()


def test_no_name_runs_in_a_table_filter_sort_or_search(look, planted_report):
    page = look(planted_report)
    page.wait_for_selector(".methods .main-svg")
    assert page.title() == " ".join(SHOWN[9].split())
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    open_everything(page)
    details = page.locator("#tables details", has_text="K-means, held out, one row per CNN").first
    assert details.locator("script").count() == 1  # the rows are packed, as there are more than 250
    chooser = details.get_by_role("combobox", name="method")
    labels = chooser.locator("option").evaluate_all("options => options.map(option => option.textContent)")
    found = 0
    column = details.locator("thead th").evaluate_all("heads => heads.map(th => th.dataset.name)").index("method")
    for i, label in enumerate(labels[1:], 1):
        chooser.select_option(index=i)
        texts = details.locator(f"tbody td:nth-child({column + 1})").evaluate_all(
            "all => all.map(td => td.textContent)"
        )
        assert len(texts) > 0
        assert len(set(texts)) == 1
        assert texts[0] == label or (len(texts[0]) > 4000 and len(label) < 110)
        found += texts[0] in SHOWN or texts[0].removeprefix("'") in SHOWN  # what spreadsheets take for a formula
    assert found == len(TOLD)
    chooser.select_option(index=0)
    search = details.get_by_label("Filter")
    for name in (SHOWN[0], SHOWN[3], SHOWN[13]):
        search.fill(f'"{name}"')
        expect(details.locator(".dt-info")).to_contain_text("(of ")
        assert details.locator("tbody tr").count() >= 1
    search.fill("")
    for head in details.locator("thead th [role=button]").all()[:4]:
        head.click()
        head.click()
    assert details.locator("tbody tr").count() == 25


def test_short_tables_choose_by_the_name_that_is_seen(look, planted_report):
    page = look(planted_report)
    box = page.locator("#tables .table", has_text="By group of images").first
    box.scroll_into_view_if_needed()
    box.locator(".dt-container").wait_for()
    assert "<img" in page.locator("#tables").inner_text()
    links = page.locator("#tables a").evaluate_all("all => all.map(a => [a.protocol, a.href])")
    assert {protocol for protocol, _ in links} == {"file:"}
    place = str(planted_report.parent)
    for _, href in links:
        assert Path(re.sub("%([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), href).removeprefix("file://")).is_file(), (
            place
        )


def test_no_name_runs_in_a_figure_its_tooltips_or_the_images(look, planted_report):
    page = look(planted_report)
    page.wait_for_selector(".methods .main-svg")
    figure, words = page.locator(".differences:visible"), []
    protocols = ["Zero-shot", "As published", "Held out"]
    for protocol in protocols:
        page.get_by_role("radio", name=protocol).check()
        page.wait_for_timeout(200)
    for clusterer in ("K-means", "DBSCAN", "one-class SVM"):
        page.locator(".fusion").get_by_role("radio", name=clusterer).check()
        for what in ("medians over CNNs", "the selected CNNs"):
            page.get_by_role("radio", name=what).check()
            page.wait_for_timeout(200)
            words += figure.locator(".ytick text").all_text_contents()
    for part in ("onerror=hacked()", "</script>", "<svg/onload", "$x_{$", "<b>bold</b>"):
        assert any(part in word for word in words), part  # as it is written, no element
    assert page.locator("svg a").count() == 0
    for plot in ("methods", "differences"):
        points = page.locator(f".{plot}:visible .scatterlayer .point")
        for i in range(0, points.count(), 2):
            points.nth(i).scroll_into_view_if_needed()
            place = points.nth(i).bounding_box()
            page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    box = page.locator(".test-images")
    box.scroll_into_view_if_needed()
    page.wait_for_selector(".embedding .scatterlayer .point", state="attached")
    page.locator(".embedding").focus()
    seen = set()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
        seen.add(page.locator(".card strong").text_content())
    assert len(seen) > 10
    assert any("onerror=hacked()" in name for name in seen)
    chooser = box.get_by_label("Group", exact=True)
    filters = box.locator(".choices").nth(1)
    filters.get_by_role("radio", name="all").check()
    filters.get_by_role("radio", name="both").check()
    for i in range(1, chooser.locator("option").count()):
        chooser.select_option(index=i)
        assert page.locator(".gallery li").count() > 0
    page.get_by_role("button", name="Dark").click()


def injected(path, folder, policy=True):
    html = path.read_text(encoding="utf-8").replace("</main>", f"{INJECTED}</main>", 1)
    if not policy:
        html = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html)
    (folder / f"injected{policy}.html").write_text(html, encoding="utf-8")
    return folder / f"injected{policy}.html"


@pytest.fixture(scope="module")
def planted_gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    place = folder / "photos '\"<img src=x onerror=hacked()> #1?"
    place.mkdir()
    for name, image in zip(NAMES, synthetic.draw(["cat", "non-cat"], len(NAMES), 1, "gallery")[0], strict=False):
        stem = name.replace("/", "|").replace("\x00", "")[:60]
        Image.fromarray(image).save((place / f"{stem}.png").open("wb"), "png")
    (place / "bad<script>hacked()<|script>.jpg").write_text("no image")
    weights = cnn.initial_weights(cnn.ARCHITECTURES["published"], 1, "predict", np.arange(1))
    weights = {name.replace("fc1", "heads"): values[0] for name, values in weights.items()}
    about = {"fusion": NAMES[3], "method": NAMES[0], "domain": NAMES[5], "model": 12, "threshold": 0.3}
    config = models.configuration(weights, [NAMES[7], NAMES[9]], **about)
    model = models.Model({name: torch.from_numpy(values) for name, values in weights.items()}, config)
    predict.page(folder / "page.html", predict.predict(model, place, say=lambda _: None), model, place)
    return folder / "page.html"


def test_the_gallery_shows_names_and_moves_its_threshold(look, planted_gallery):
    page = look(planted_gallery)
    assert page.locator("form").is_visible()
    names = page.locator("#images a").evaluate_all("all => all.map(a => [a.title, a.protocol])")
    assert len(names) == len(NAMES)
    assert {protocol for _, protocol in names} == {"file:"}
    assert any("onerror=hacked()" in name for name, _ in names)
    page.focus("#slider")
    page.keyboard.press("Home")
    assert page.locator("#images li.yes").count() == len(NAMES)
    page.hover("#images li:first-child a")


@pytest.fixture(scope="module")
def planted_check(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check")
    for side in ("cat", "dog<img src=x onerror=hacked()>"):
        (folder / side).mkdir()
        pictures = synthetic.draw(["orange cat"], len(NAMES), 1, side)[0]
        for name, image in zip(NAMES, pictures, strict=True):
            stem = name.replace("/", "|").replace("\x00", "")[:60]
            Image.fromarray(image).save((folder / side / f"{stem}.png").open("wb"), "png")
        (folder / side / "bad<img src=x onerror=hacked()>\x1b[2J.png").write_text("no image")
    source = {"source": "folder", "dataset": None, "positive": ["cat"], "negative": ["dog<img src=x onerror=hacked()>"]}
    place = gather("concepts.cat", source, folder, None, 1, 1)
    policy = {"unreadable": "refuse", "duplicates": "drop", "leaks": "refuse"}
    findings, named, strips = audit.check([place], {}, policy, "balanced", 1)
    figures.contact_sheet(strips["concepts.cat"], folder / "sheet.png")
    audit.write(folder, findings, named, {"concepts.cat": folder / "sheet.png"}, [place])
    return folder / "report.html", findings


def test_the_check_shows_names_and_its_terminal_lines_are_printable(look, planted_check):
    path, findings = planted_check
    page = look(path)
    assert "bad<img src=x onerror=hacked()>\\x1b[2J.png" in page.inner_text(".findings")
    for line in audit.lines(findings):
        assert line == pages.shown(line)
        assert "\x1b" not in line


@pytest.mark.parametrize("kind", ["planted_report", "planted_gallery", "planted_check"])
def test_the_policy_stops_what_got_into_a_page_and_nothing_else_would(look, kind, request, tmp_path):
    made = request.getfixturevalue(kind)
    path = made[0] if isinstance(made, tuple) else made
    for policy in (True, False):
        page = look(injected(path, tmp_path, policy), quiet=False)
        page.locator("#link").evaluate("link => link.click()")
        page.wait_for_timeout(100)
        assert page.evaluate("window.wasHacked === true") == (not policy)


def test_every_policy_names_no_script_but_by_its_hash(planted_report, planted_gallery, planted_check):
    for path in (planted_report, planted_gallery, planted_check[0]):
        policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', path.read_text("utf-8"))[1]
        directives = dict(part.split(" ", 1) for part in policy.split("; "))
        assert directives["default-src"] == directives["connect-src"] == directives["base-uri"] == "'none'"
        assert directives["form-action"] == "'none'"
        assert directives["img-src"] == "data:"
        for source in directives["script-src"].split():
            assert source == "'none'" or len(base64.b64decode(source.strip("'").removeprefix("sha256-"))) == 32
