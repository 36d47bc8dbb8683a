# Two images: "service" (the last stage, so the default) is an orchestrator, an agent or a client, whichever
# command it is given; "postgres" is a database for machines that cannot pull the standard image.
#
# BASE_IMAGE may be any Debian with Python 3.11 or newer. Where the folder wheelhouse/ holds wheels
# (see tools/testbed.sh) the build takes those and needs no network.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS postgres
RUN ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 \
 || (apt-get update && apt-get install -y --no-install-recommends postgresql \
     && rm -rf /var/lib/apt/lists/*)
COPY deploy/postgres.sh /usr/local/bin/postgres.sh
RUN install -d -o postgres -g postgres /var/lib/postgresql/data
USER postgres
EXPOSE 5432
ENTRYPOINT ["postgres.sh"]

FROM ${BASE_IMAGE} AS build
RUN python3 -m venv /opt/braid
COPY deploy/requirements.lock wheelhouse* /wheelhouse/
RUN if ls /wheelhouse/*.whl >/dev/null 2>&1; then \
      printf '[global]\nno-index = true\nfind-links = /wheelhouse\n' > /etc/pip.conf; \
    fi
RUN /opt/braid/bin/pip install --no-cache-dir --require-hashes -r /wheelhouse/requirements.lock
COPY . /source
RUN /opt/braid/bin/pip install --no-cache-dir --no-deps /source/braid /source

FROM ${BASE_IMAGE} AS service
RUN useradd --uid 10001 --home-dir /var/lib/braid --create-home braid
COPY --from=build /opt/braid /opt/braid
ENV PATH=/opt/braid/bin:$PATH PYTHONUNBUFFERED=1
USER braid
WORKDIR /var/lib/braid
ENTRYPOINT ["braid"]
