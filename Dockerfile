# The official image of PostgreSQL with the extension in it, preloaded in clusters that the image makes:
#
#   docker build -t postgres-session-timeout .
#   docker build --build-arg PG=16 -t postgres-session-timeout:16 .
#   docker run --rm -e POSTGRES_PASSWORD=… postgres-session-timeout
#
# Then, in each database that wants it: CREATE EXTENSION inactive_session_timeout;
#
# A data directory that another image made has a postgresql.conf of its own: add to it the line that is added here below.

ARG PG=17

FROM rust:1.95-bookworm AS rust

# Built on the image that it is for, so that server, headers and C library are the same.
FROM postgres:${PG}-bookworm AS build
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
# The headers of the very release of the server. The other packages may be as new as there are.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates gcc libc6-dev libclang-dev make "postgresql-server-dev-$PG_MAJOR=$PG_VERSION" \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make install PG="$PG_MAJOR" DESTDIR=/out

FROM postgres:${PG}-bookworm
COPY --from=build /out/usr /usr
# initdb begins postgresql.conf from this file.
RUN echo "shared_preload_libraries = 'inactive_session_timeout'" >>/usr/share/postgresql/postgresql.conf.sample
