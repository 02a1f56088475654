-- Generations of the routing world. SQLite and PostgreSQL read this same text.

-- One row: which generation is in force (none in a new store), and the number of the next one.
CREATE TABLE store (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    head BIGINT,
    next BIGINT NOT NULL
);
INSERT INTO store (one, head, next) VALUES (1, NULL, 1);

-- A whole routing world. `state` is `staged` until it is committed, then `kept`; nothing else of a
-- generation ever changes. Moments are seconds since 1970.
CREATE TABLE generation (
    id BIGINT PRIMARY KEY,
    parent BIGINT,
    restores BIGINT,
    state TEXT NOT NULL CHECK (state IN ('staged', 'kept')),
    author TEXT NOT NULL,
    comment TEXT NOT NULL,
    staged_at BIGINT NOT NULL,
    kept_at BIGINT
);

-- Its trunks, gateways, routes, …: each a table of the configuration, as TOML. The keys before the
-- first table are the object of kind ''.
CREATE TABLE object (
    generation BIGINT NOT NULL REFERENCES generation (id),
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (generation, position)
);

-- What is in decks and lists, each once for all generations that have it: by its SHA-256 in hex.
CREATE TABLE content (
    hash TEXT PRIMARY KEY,
    bytes BIGINT NOT NULL
);

-- A content is a row of chunks, cut so that contents that differ little share most of them.
CREATE TABLE chunk (
    hash TEXT PRIMARY KEY,
    body BYTEA NOT NULL
);
CREATE TABLE content_chunk (
    content TEXT NOT NULL REFERENCES content (hash),
    position BIGINT NOT NULL,
    chunk TEXT NOT NULL REFERENCES chunk (hash),
    PRIMARY KEY (content, position)
);
CREATE INDEX content_chunk_chunk ON content_chunk (chunk);

-- The files that a generation's objects name.
CREATE TABLE file (
    generation BIGINT NOT NULL REFERENCES generation (id),
    path TEXT NOT NULL,
    content TEXT NOT NULL REFERENCES content (hash),
    PRIMARY KEY (generation, path)
);
CREATE INDEX file_content ON file (content);
