# zoofuse with all it needs; docs/cluster.md says how to build and run it.
FROM python:3.11-slim

# The compiler of the C++ trainer; without it PyTorch trains the CNNs, several times slower.
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/zoofuse
COPY pyproject.toml setup.py MANIFEST.in requirements.lock README.md LICENSE Snakefile ./
COPY config config
COPY resources resources
COPY workflow workflow
RUN pip install --no-cache-dir -c requirements.lock ".[hub]"

# Any user may run it (docker run --user), and most have no home directory in here.
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["zoofuse"]
