#!/usr/bin/env bash
# Builds dist/ and tags the version that zoofuse.__version__ names. Uploads and pushes nothing, but says how.
# Needs a clean tree, a version without a tag, and its section in CHANGELOG.md.
set -euo pipefail
cd "$(dirname "$0")"
python=$(command -v "${PYTHON:-python3}")
source=workflow/src/zoofuse/__init__.py

refuse() {
  echo "release: $1" >&2
  exit 1
}

version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' $source)
[[ $version =~ ^[0-9]+(\.[0-9]+){2}$ ]] ||
  refuse "__version__ in $source is '$version'. Write three numbers, such as 1.2.0."
changes=$(git status --porcelain)
[[ -z $changes ]] ||
  refuse "the working tree has changes. Commit or remove them:"$'\n'"$changes"
! git rev-parse -q --verify "refs/tags/v$version" >/dev/null ||
  refuse "v$version is tagged already. Raise __version__ in $source."
grep -qE "^## \[$version\] - [0-9]{4}-[0-9]{2}-[0-9]{2}$" CHANGELOG.md ||
  refuse "CHANGELOG.md has no line '## [$version] - $(date +%F)'. Write it below '## [Unreleased]'."

# The sdist holds committed files only, and the wheel is built from the sdist.
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
git archive HEAD | tar -x -C "$place"
(cd "$place" && "$python" -c 'from setuptools import build_meta; build_meta.build_sdist("dist")')
tar -x -C "$place" -f "$place/dist/zoofuse-$version.tar.gz"
(cd "$place/zoofuse-$version" && "$python" -c 'from setuptools import build_meta; build_meta.build_wheel("../dist")')
rm -rf dist
cp -r "$place/dist" dist
git tag -a "v$version" -m "zoofuse $version"
echo "dist: $(ls dist | xargs). To publish it: git push origin v$version && $python -m twine upload dist/*"
