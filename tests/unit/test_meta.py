"""What is told about the project elsewhere: citation, workflow catalog, documentation."""

import datetime
import re
import subprocess
import sys

import pytest
import yaml

import zoofuse


def test_the_citation_names_what_the_project_rests_on(root):
    """The fields that Citation File Format 1.2.0 wants; nobody else's validator is light."""
    cff = yaml.safe_load((root / "CITATION.cff").read_text())
    assert cff["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type", "license"} <= set(cff)
    types = {"article", "book", "conference-paper", "report", "software", "thesis", "generic"}
    for reference in cff["references"]:
        assert {"type", "title", "authors", "year"} <= set(reference)
        assert reference["type"] in types
        assert all({"family-names", "given-names"} == set(author) for author in reference["authors"])
        assert 1950 < reference["year"] <= datetime.date.today().year
        if "doi" in reference:
            assert re.fullmatch(r"10\.\d{4,9}/\S+", reference["doi"])
    titles = " ".join(reference["title"] for reference in cff["references"]).lower()
    for name in (
        "generating machine learning models",
        "cycle-consistent",
        "space of deep models",
        "git re-basin",
        "umap",
    ):
        assert name in titles
    families = {author["family-names"] for reference in cff["references"] for author in reference["authors"]}
    assert {"Patel", "Jain", "Zhu", "Berardi", "Hinton", "Ainsworth", "McInnes"} <= families


def test_the_workflow_catalog_is_told_what_is_there(root):
    reported = yaml.safe_load((root / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(reported) == {"mandatory-flags", "software-stack-deployment", "report"}
    conda = "conda:" in (root / "workflow/rules/zoo.smk").read_text()
    assert reported["software-stack-deployment"]["conda"] == conda
    assert reported["report"] == ("report:" in (root / "Snakefile").read_text())


def test_the_changelog_and_the_pages_tell_of_this_version(root):
    assert re.search(
        rf"^## (\[Unreleased\]|\[?{re.escape(zoofuse.__version__)})", (root / "CHANGELOG.md").read_text(), re.M
    )


def test_a_link_that_leads_nowhere_fails_the_documentation(root, tmp_path):
    pytest.importorskip("furo")
    pages = tmp_path / "docs"
    (pages / "_static").mkdir(parents=True)
    (pages / "conf.py").write_text((root / "docs/conf.py").read_text())
    (tmp_path / "workflow/src/zoofuse").mkdir(parents=True)
    (tmp_path / "workflow/src/zoofuse/__init__.py").write_text((root / "workflow/src/zoofuse/__init__.py").read_text())
    build = [sys.executable, "-m", "sphinx", "-q", "-W", str(pages), str(tmp_path / "made")]
    (pages / "index.md").write_text("# Pages\n\n## Part\n\n[here](#part)\n")
    assert subprocess.run(build).returncode == 0
    for link in ("[there](nowhere.md)", "[part](#nowhere)"):
        (pages / "index.md").write_text(f"# Pages\n\n{link}\n")
        run = subprocess.run(build, stderr=subprocess.PIPE, text=True)
        assert run.returncode != 0
        assert "nowhere" in run.stderr
