"""Models and shared zoos as repositories of a model hub, through huggingface_hub (the extra `hub`)."""

import contextlib
import os
import re
from pathlib import Path

import zoofuse
from zoofuse.core import sums, text
from zoofuse.export import model_files
from zoofuse.export.model_files import CARD, CONFIG, ONNX, WEIGHTS, ModelError

_REPO = re.compile(r"(\w[\w.-]*/\w[\w.-]*)(?:@([\w./-]+))?", re.ASCII)
_READ = [CONFIG, WEIGHTS, CARD]
_MAX_FILE = 4 * model_files.MAX_PARAMETERS + model_files.MAX_HEADER  # bytes


def fetched(name: str | os.PathLike, revision: str | None = None, **download) -> str | os.PathLike:
    """A model's folder on this machine; what is only on the hub is downloaded, or found in the cache of downloads.

    Args:
        name: a folder or file, or a repository, "user/repo" or "user/repo@revision". What exists here wins, and a Path
            is never a repository.
        revision: of a repository: a commit, tag or branch.
        download: further arguments of huggingface_hub.snapshot_download.

    Returns:
        `name` itself if it is no repository, else the folder of the downloaded files; nothing in them is checked yet.

    Raises:
        ModelError: there is no such repository or revision, it can't be reached, it has no model or too large files,
            huggingface_hub is not installed, or a folder is asked for a revision.
    """
    match = _REPO.fullmatch(name) if isinstance(name, str) else None
    repo, pinned = match.groups() if match else (name, None)
    if match is None or os.path.lexists(name) or os.path.lexists(repo):
        if pinned or revision is not None:
            raise ModelError(f"'{text.printable(repo)}' is a folder or file on this machine, which has no revisions. "
                             "Leave the revision out, or write the name of a repository, user/repo.")  # fmt: skip
        return name
    if pinned and revision not in (None, pinned):
        raise ModelError(f"'{name}': the revision is given twice, as {pinned} and as {revision}. Write one of them.")
    library = _library(f"'{name}': there is no such folder here. To fetch it from a model hub")
    wanted = {"repo_id": repo, "revision": revision or pinned, "allow_patterns": _READ, "library_name": "zoofuse"}
    wanted |= {"library_version": zoofuse.__version__, **download}
    try:
        with contextlib.suppress(library.errors.DryRunError):  # without a network the cache is used
            sizes = {file.filename: file.file_size for file in library.snapshot_download(dry_run=True, **wanted)}
            _check_sizes(name, sizes)
        return library.snapshot_download(**wanted)
    except ModelError:
        raise
    except Exception as error:  # of many types: no network, no such repository, no permission
        raise ModelError(f"'{name}': there is no such folder here, and it can't be fetched ({_first_line(error)}). "
                         "Check the name and the revision. If the repository is private, log in: hf auth login."
                         ) from None  # fmt: skip


def _check_sizes(name: str, sizes: dict[str, int]) -> None:
    for file in (CONFIG, WEIGHTS):
        if file not in sizes:
            raise ModelError(f"'{name}': no model in this repository ({file} is missing). Name a repository that "
                             "`zoofuse push` wrote from a model's folder.")  # fmt: skip
    for file, size in sizes.items():
        if size > _MAX_FILE:
            raise ModelError(f"'{name}': {file} has {size:,} bytes; a model's files have at most {_MAX_FILE:,}.")


def push(
    folder: str | os.PathLike, repo: str, *, private: bool | None = None, message: str = "Upload by zoofuse"
) -> str:
    """Upload a model's folder or a shared zoo to a model hub, in one commit, after checking its digests.

    Log in first: `hf auth login`, or the environment variable HF_TOKEN.

    Args:
        folder: results/models/{fusion}/{method}, results/pytorch/{concept} or results/trials/{concept}.
        repo: "user/repo"; created if there is none.
        private: whether a created repository is private; None: as the account's settings say.
        message: of the commit.

    Returns:
        The commit, which pins what was uploaded: zoofuse.load(repo, revision=commit).

    Raises:
        ModelError: the folder is neither, or corrupt; the hub refuses it or can't be reached.
    """
    folder = Path(folder)
    names = _checked(folder)
    if not (match := _REPO.fullmatch(repo)) or match[2]:
        raise ModelError(f"'{text.printable(repo)}': not the name of a repository. Write user/repo.")
    library = _library("To upload to a model hub")
    api = library.HfApi(library_name="zoofuse", library_version=zoofuse.__version__)
    operations = [library.CommitOperationAdd(name, folder / name) for name in names]
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        return api.create_commit(repo, operations, commit_message=message).oid
    except Exception as error:  # of many types: no network, no permission, refused front matter
        raise ModelError(f"{text.printable(folder)}: can't be uploaded to {repo} ({_first_line(error)}). Log in with a "
                         "token that may write: hf auth login.") from None  # fmt: skip


def _checked(folder: Path) -> list[str]:
    """The names of the files of a model or a shared zoo, whose digests hold."""
    if (folder / sums.NAME).exists():
        try:
            return sums.check(folder)
        except ValueError as error:
            raise ModelError(str(error)) from None
    model_files.read(folder)
    names = [WEIGHTS, CONFIG, ONNX, CARD]
    for name in names:
        if not (folder / name).is_file():
            raise ModelError(f"{text.printable(folder)}: {name} is missing. Push a folder that `snakemake models` "
                             "wrote.")  # fmt: skip
    return names


def _library(purpose: str):
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError:
        raise ModelError(f'{purpose}, huggingface_hub is needed: pip install "zoofuse[hub]".') from None
    return huggingface_hub


def _first_line(error: Exception) -> str:
    lines = text.visible(str(error)).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__
