"""Serves the guest book: GET shows the entries, POST adds one.

`app.py --check` asks a running server whether it works: the healthcheck.
"""

import html
import os
import signal
import sys
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

PORT = 8080
PAGE = """<!doctype html>
<meta charset="utf-8">
<title>Guest book</title>
<h1>Guest book</h1>
<ul>
{entries}
</ul>
<form method="post"><input name="author"> <input name="said"> <button>Sign</button></form>
"""


def database():
    return psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=5)


class GuestBook(BaseHTTPRequestHandler):
    def do_GET(self):
        with database() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT author, said FROM entries ORDER BY id")
            entries = [
                f"<li><b>{html.escape(author)}</b>: {html.escape(said)}</li>"
                for author, said in cursor
            ]
        body = PAGE.format(entries="\n".join(entries)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        length = min(int(self.headers.get("Content-Length", 0)), 10_000)
        form = urllib.parse.parse_qs(self.rfile.read(length).decode(errors="replace"))
        author = form.get("author", ["somebody"])[0]
        said = form.get("said", [""])[0]
        with database() as connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO entries (author, said) VALUES (%s, %s)"
                " ON CONFLICT (author) DO UPDATE SET said = excluded.said",
                (author, said),
            )
        self.send_response(303)
        self.send_header("Location", "/")
        self.end_headers()


if sys.argv[1:] == ["--check"]:
    urllib.request.urlopen(f"http://127.0.0.1:{PORT}/", timeout=4).read()
else:
    # The first process of a container is asked to end and, unless it listens, is not.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"serving the guest book on port {PORT}")
    ThreadingHTTPServer(("", PORT), GuestBook).serve_forever()
