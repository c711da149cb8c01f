"""Another process, with a connection of its own: runs a statement and prints its first value."""

import subprocess
import sys


def ask(database, statement, *values):
    """What the statement answers there, as text."""
    command = [sys.executable, __file__, database, statement, *values]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    import psycopg

    with psycopg.connect(dbname=sys.argv[1], autocommit=True) as connection:
        print(connection.execute(sys.argv[2], sys.argv[3:]).fetchone()[0])
