"""Fills the guest book with its first entries, once and over the network."""

import os

import psycopg2

ENTRIES = [
    ("ada", "The engine weaves algebraic patterns."),
    ("grace", "A ship in port is safe; that is not what ships are for."),
    ("edsger", "Simplicity is a prerequisite for reliability."),
]

with psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=10) as connection:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO entries (author, said) VALUES (%s, %s)"
            " ON CONFLICT (author) DO NOTHING",
            ENTRIES,
        )
        cursor.execute("SELECT count(*) FROM entries")
        print(f"the guest book has {cursor.fetchone()[0]} entries")
