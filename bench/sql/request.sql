-- What a request of a web application reads in its transaction.

CREATE TABLE customer (id integer PRIMARY KEY, name text NOT NULL, language text NOT NULL);
INSERT INTO customer SELECT n, 'customer ' || n, 'en_GB' FROM generate_series(1, 20000) AS n;

CREATE TABLE purchase (
    id integer PRIMARY KEY, customer_id integer NOT NULL, state text NOT NULL, total numeric NOT NULL, at timestamptz NOT NULL
);
INSERT INTO purchase
    SELECT n, n % 20000 + 1, CASE n % 5 WHEN 0 THEN 'open' ELSE 'done' END, (n % 997)::numeric / 7, now() - n * interval '1 s'
    FROM generate_series(1, 400000) AS n;
CREATE INDEX ON purchase (customer_id, at);
