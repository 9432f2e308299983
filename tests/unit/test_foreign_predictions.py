"""Somebody else's scores are put in the images' order, or refused in words before they are used."""

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from zoofuse.core import csv_files
from zoofuse.core.errors import FileError
from zoofuse.evaluation import foreign_predictions, leaderboard, predictions
from zoofuse.evaluation.foreign_predictions import PredictionsError

M = 40
IMAGES = predictions.Images(
    np.array([f"test/{i}.png" for i in range(M)]),
    np.repeat([1, 0], M // 2),
    np.repeat(["cat", "dog"], M // 2),
    np.arange(M) % 2 == 0,
)
SCORES = np.random.default_rng(1).normal(size=M) + IMAGES.labels


def written(folder, text, name="mine.csv"):
    path = folder / name
    path.write_text(text)
    return path


def table(scores=SCORES, names=IMAGES.names):
    return "image,score\n" + "".join(f"{name},{score!r}\n" for name, score in zip(names, scores.tolist(), strict=True))


def loaded(path):
    return foreign_predictions.matched(foreign_predictions.read(path), IMAGES.names.tolist(), path, "LIST")


def test_a_csv_is_put_in_the_images_order(tmp_path):
    turned = np.random.default_rng(2).permutation(M)
    path = written(tmp_path, table(SCORES[turned], IMAGES.names[turned]))
    assert np.array_equal(loaded(path), [SCORES])


def test_the_list_of_test_images_with_a_column_of_scores_will_do(tmp_path):
    names = np.array(["=1+1.png", *IMAGES.names[1:]])  # a name that the list writes with an apostrophe
    csv_files.write(tmp_path / "list.csv", pd.DataFrame({"image": names, "label": IMAGES.labels}))
    listed = pd.read_csv(tmp_path / "list.csv").assign(score=SCORES)
    listed.to_csv(tmp_path / "mine.csv", index=False)
    rows = foreign_predictions.read(tmp_path / "mine.csv")
    assert np.array_equal(foreign_predictions.matched(rows, names.tolist(), "mine.csv", "LIST"), [SCORES])


def test_a_byte_order_mark_empty_lines_and_constant_scores_do_no_harm(tmp_path):
    path = written(tmp_path, "\ufeff" + table(np.zeros(M)) + "\n\n")
    assert np.array_equal(loaded(path), np.zeros((1, M)))


def test_several_classifiers_by_a_column_model(tmp_path):
    lines = [f"{seed},{image},{seed * 10 + i}" for i, image in enumerate(IMAGES.names) for seed in (7, 3)]
    path = written(tmp_path, "model,image,score\n" + "\n".join(lines))
    assert np.array_equal(loaded(path), [np.arange(M) + 70, np.arange(M) + 30])
    lacking = written(tmp_path, "model,image,score\n" + "\n".join(lines[:-1]), "other.csv")
    with pytest.raises(PredictionsError, match=r"1 of 40 test images have no score of model 3: test/39\.png\. LIST"):
        loaded(lacking)


def test_hdf5_has_the_same_columns(tmp_path):
    path = tmp_path / "mine.h5"
    with h5py.File(path, "w") as handle:
        handle["image"], handle["score"] = IMAGES.names.astype(object), SCORES
    assert np.array_equal(loaded(path), [SCORES])
    with h5py.File(path, "w") as handle:
        handle["image"], handle["score"] = IMAGES.names.astype(object), SCORES[:-1]
    with pytest.raises(PredictionsError, match=r"must have one length, but are .*\(40,\).*\(39,\)"):
        loaded(path)
    with h5py.File(path, "w") as handle:
        handle["image"], handle["score"] = IMAGES.names.astype(object), h5py.ExternalLink("other.h5", "score")
    with pytest.raises(PredictionsError, match="score lies in another file"):
        loaded(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99))
    with pytest.raises(PredictionsError, match="truncated, corrupt or not HDF5"):
        loaded(path)


def test_a_predictions_file_of_zoofuse_is_one_too(tmp_path):
    path, unknown = tmp_path / "mine.h5", np.full(2, np.nan)
    both = np.stack([SCORES, -SCORES])
    of = predictions.zero_shot("distil", "own", IMAGES, scores=both, validation=unknown, threshold=unknown)
    predictions.write(path, IMAGES, [of])
    assert np.array_equal(loaded(path), both)
    predictions.write(path, IMAGES, [])
    with pytest.raises(PredictionsError, match="holds 0 sets of zero-shot predictions"):
        loaded(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(FileError, match="truncated, corrupt or not HDF5"):
        loaded(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,prob\na,1\n", "has no image and no score; it holds file, prob. Name the columns image and score"),
        ("image;score\na;1\n", "has no image and no score; it holds image;score"),
        ("", "has no image and no score; it holds nothing"),
        ("image,score,score\na,1,1\n", "has score twice"),
        ("image,score\n", "holds no scores"),
        ("image,score\na,1\nb,high\n", "line 3: score 'high' is not a number"),
        ("image,score\na,\n", "line 2: score '' is not a number"),
        ("image,score\na,nan\n", "line 2: score nan is not finite"),
        ("image,score\na,-inf\n", "line 2: score -inf is not finite"),
        ("image,score\na,1\na,2\n", r"line 3: a has a score already \(line 2\).*a column named model"),
        ("image,score\na\n", "line 2 has 1 values; the header has 2"),
        ('image,score\n"a,1\n', "line 2 is not CSV"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(tmp_path, text, message):
    (tmp_path / "black_cat").mkdir()
    path = written(tmp_path / "black_cat", text)
    with pytest.raises(PredictionsError, match=message) as error:
        foreign_predictions.find("black_cat", tmp_path)
    assert str(error.value).startswith(f"{path}: ")


def test_other_encodings_are_refused(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes("image,score\nkätzchen,1\n".encode("latin-1"))
    with pytest.raises(PredictionsError, match="not UTF-8"):
        foreign_predictions.read(path)


def test_images_that_are_missing_or_unknown_are_named(tmp_path):
    with pytest.raises(PredictionsError, match=r"3 of 40 test images have no score: test/37.*39\.png\. LIST"):
        loaded(written(tmp_path, table(SCORES[:-3], IMAGES.names[:-3])))
    other = np.array([*IMAGES.names[:-4], "a", "b", "c", "d"])
    with pytest.raises(PredictionsError, match=r"4 of its images are no test images: a, b, c and 1 more\. LIST lists"):
        loaded(written(tmp_path, table(SCORES, other)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("distil.csv", "distil is a method or baseline of zoofuse"),
        ("supervised.csv", "supervised is a method or baseline of zoofuse"),
        ("mine.tsv", r"predictions are read from \.csv and \.h5 files"),
        ("my classifier.csv", "may have letters, digits, - and _ only"),
    ],
)
def test_a_file_is_refused_by_its_name(tmp_path, name, message):
    (tmp_path / "black_cat").mkdir()
    written(tmp_path / "black_cat", table(), name)
    with pytest.raises(PredictionsError, match=message):
        foreign_predictions.find("black_cat", tmp_path)


def test_one_name_stands_for_one_file(tmp_path):
    folder = tmp_path / "black_cat"
    folder.mkdir()
    for name in (".DS_Store", "README.md"):
        written(folder, "x", name)
    assert foreign_predictions.find("black_cat", tmp_path) == {}
    assert foreign_predictions.find("other", tmp_path) == {}
    path = written(folder, table())
    assert foreign_predictions.find("black_cat", tmp_path) == {"mine": path}
    written(folder, "x", "mine.h5")
    with pytest.raises(PredictionsError, match=r"mine\.h5: mine\.csv has the same name"):
        foreign_predictions.find("black_cat", tmp_path)


class TestTables:
    def own(self, folder, method, strength, n=6):
        rng = np.random.default_rng(3)
        scores = strength * IMAGES.labels + rng.normal(size=(n, M))
        measures = {"validation": rng.random(n), "threshold": np.full(n, np.nan)}
        held = predictions.Predictions(
            method, "held_out", "kmeans", IMAGES, np.repeat(["-"], n), np.arange(n), scores > strength / 2,
            {"validation": rng.random(n)},
        )  # fmt: skip
        path = folder / f"{method}.h5"
        predictions.write(path, IMAGES, [held, predictions.zero_shot(method, "own", IMAGES, scores=scores, **measures)])
        return path

    def tables(self, folder, *scores):
        paths = [self.own(folder, "distil", 3.0), self.own(folder, "random", 0.0)]
        for i, given in enumerate(scores):
            paths.append(folder / f"foreign{i}.h5")
            sets = foreign_predictions.sets(f"mine{i}", np.atleast_2d(given), IMAGES)
            predictions.write(paths[-1], IMAGES, sets)
        return leaderboard.tables(paths, 1, 300)

    def test_its_row_has_its_auroc_and_interval_and_its_accuracy(self, tmp_path):
        found = self.tables(tmp_path, SCORES)
        row = found["zero_shot"].set_index("method").loc["mine0"]
        test = IMAGES.test
        assert row["test"] == pytest.approx(roc_auc_score(IMAGES.labels[test], SCORES[test]), abs=1e-6)
        assert row["test_low"] < row["test"] < row["test_high"]
        assert (row["n"], row["supervision"]) == (1, "unknown")
        board = found["leaderboard"].set_index("method").loc["mine0"]
        half = IMAGES.validation
        best = max(
            ((SCORES[half] >= cut) == IMAGES.truth[half]).mean() for cut in SCORES[half]
        )  # as many images of either class: accuracy is balanced
        assert board["validation"] == pytest.approx(best)
        assert board["test_low"] < board["test"] < board["test_high"]

    def test_it_is_compared_with_generated_cnns_and_baselines(self, tmp_path):
        found = self.tables(tmp_path, 9.0 * IMAGES.labels)["comparisons"]
        ours = found[found["method"] == "mine0"]
        assert set(zip(ours["protocol"], ours["clusterer"], ours["baseline"], strict=True)) == {
            (protocol, head, other)
            for protocol, head in (("held_out", "kmeans"), ("zero_shot", "own"))
            for other in ("distil", "random")
        }
        assert set(ours.loc[ours["baseline"] == "random", "verdict"]) == {"better"}
        assert set(ours["comparisons"]) == {2}
        assert not (found["baseline"] == "mine0").any()

    def test_it_changes_no_other_row(self, tmp_path):
        without, given = self.tables(tmp_path), self.tables(tmp_path, SCORES, np.zeros((2, M)))
        for name, frame in given.items():
            others = frame[~frame["method"].str.startswith("mine")].reset_index(drop=True)
            assert others.equals(without[name]), name

    def test_constant_scores_are_chance(self, tmp_path):
        row = self.tables(tmp_path, np.zeros(M))["zero_shot"].set_index("method").loc["mine0"]
        assert row["test"] == 0.5
        assert row["test_low"] < 0.5 < row["test_high"]
