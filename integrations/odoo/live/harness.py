"""A real Odoo on a real database, and browsers that log in to it.

scripts/test-odoo.sh sets the environment: SESSION_TIMEOUT_ODOO (the program), SESSION_TIMEOUT_DIRECTORY (a scratch
directory with a PostgreSQL server in pg/, which has a database `base` with Odoo in it, but not the addon), and
SESSION_TIMEOUT_BINDIR (PostgreSQL's programs, of an installation with the extension).
"""

import base64
import contextlib
import hmac
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import psycopg2
import requests
import websocket

ODOO = os.environ["SESSION_TIMEOUT_ODOO"]
DIRECTORY = pathlib.Path(os.environ["SESSION_TIMEOUT_DIRECTORY"])
BINDIR = pathlib.Path(os.environ["SESSION_TIMEOUT_BINDIR"])
DATA = DIRECTORY / "data"
ADDON = "inactive_session_timeout_pg"
PASSWORD = "correct horse"
SERVER = ("--http-interface", "127.0.0.1", "--max-cron-threads", "0", "--no-database-list")


def eventually(question, seconds=20):
    """The first true answer; fails where there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {seconds} s: {question}")
        time.sleep(0.05)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def as_server(*command, **options):
    """PostgreSQL refuses to run as root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    subprocess.run(
        [*prefix, *map(str, command)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, **options
    )


class Cluster:
    """A PostgreSQL server on a unix socket in its own directory."""

    def __init__(self, directory, bindir=BINDIR):
        self.directory, self.bindir = pathlib.Path(directory), pathlib.Path(bindir)

    @classmethod
    def create(cls, name, bindir=BINDIR, **settings):
        cluster = cls(DIRECTORY / name, bindir)
        cluster.directory.mkdir()
        if os.getuid() == 0:
            shutil.chown(cluster.directory, "postgres")
        as_server(
            cluster.bindir / "initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C",
            "--no-sync", cwd=cluster.directory,
        )
        cluster.start(**settings)
        cluster.query("CREATE ROLE odoo LOGIN CREATEDB", user="postgres", database="postgres")
        return cluster

    def start(self, **settings):
        options = {"listen_addresses": "", "unix_socket_directories": self.directory, "fsync": "off", **settings}
        as_server(
            self.bindir / "pg_ctl", "-D", "data", "-l", "log", "-w", "start", "-o",
            " ".join(f"-c {name}='{value}'" for name, value in options.items()), cwd=self.directory,
        )

    def stop(self):
        as_server(self.bindir / "pg_ctl", "-D", "data", "-m", "immediate", "-w", "stop", cwd=self.directory)

    def connect(self, database, user="odoo"):
        connection = psycopg2.connect(host=str(self.directory), dbname=database, user=user)
        connection.autocommit = True
        return connection

    def query(self, statement, *values, database, user="odoo"):
        with contextlib.closing(self.connect(database, user)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else None

    def copy(self, database, template="base"):
        self.query(f'CREATE DATABASE "{database}" TEMPLATE "{template}"', database="postgres")
        shutil.copytree(DATA / "filestore" / template, DATA / "filestore" / database)
        return Database(self, database)

    def copy_from(self, cluster, database, template="base", user="odoo"):
        """The same, from another server's database, by a dump which this role restores."""
        self.query(f'CREATE DATABASE "{database}"', database="postgres")
        dump = subprocess.run(
            [cluster.bindir / "pg_dump", "-h", cluster.directory, "-U", "odoo", template], check=True, capture_output=True
        )
        subprocess.run(
            [cluster.bindir / "psql", "-X", "-q", "-h", self.directory, "-U", user, "-d", database, "-v", "ON_ERROR_STOP=1"],
            check=True, input=dump.stdout, stdout=subprocess.DEVNULL,
        )
        shutil.copytree(DATA / "filestore" / template, DATA / "filestore" / database)
        return Database(self, database)


MAIN = Cluster(DIRECTORY / "pg")


class Database:
    def __init__(self, cluster, name):
        self.cluster, self.name = cluster, name

    def query(self, statement, *values):
        return self.cluster.query(statement, *values, database=self.name)

    def value(self, statement, *values):
        rows = self.query(statement, *values)
        return rows[0][0] if rows else None

    def odoo(self, *options, fails=False):
        """Run Odoo to its end; its log."""
        done = subprocess.run(
            [ODOO, "server", *self.options(), *SERVER, "--stop-after-init", *options], capture_output=True, text=True, check=False
        )
        log = done.stdout + done.stderr
        failed = done.returncode != 0 or re.search(r" (ERROR|CRITICAL) ", log) is not None
        if failed != fails:
            raise AssertionError(f"Odoo {'failed' if failed else 'did not fail'}:\n{log[-6000:]}")
        return log

    def options(self):
        return ["-d", self.name, "--db_host", str(self.cluster.directory), "--db_user", "odoo"]

    def shell(self, code, environment=None):
        done = subprocess.run(
            [ODOO, "shell", *self.options()], input=code, capture_output=True, text=True, check=False,
            env={**os.environ, **(environment or {})},
        )
        if done.returncode or "Traceback" in done.stderr + done.stdout:
            raise AssertionError(done.stderr[-4000:] + done.stdout[-4000:])
        return done.stdout + done.stderr

    def push(self, payload):
        """Send something to everybody who has a websocket."""
        channel = json.dumps([self.name, "broadcast"], separators=(",", ":"))
        self.query(
            "INSERT INTO bus_bus (channel, message, create_date) VALUES (%s, %s, now() AT TIME ZONE 'UTC')",
            channel, json.dumps({"type": "test", "payload": payload}),
        )
        # Odoo listens in the server's first database.
        self.cluster.query("SELECT pg_notify('imbus', %s)", f"[{channel}]", database="postgres")

    # ---- The extension ----

    def set_param(self, name, value):
        self.query("SELECT session_timeout.set_param(%s, %s)", f"inactive_session_time_out_{name}", str(value))

    def idle(self, seconds, user=None):
        """Let sessions have been idle for so long."""
        self.query(
            "UPDATE session_timeout.session SET last_activity = clock_timestamp() - make_interval(secs => %s) "
            "WHERE %s IS NULL OR user_name = %s",
            seconds, user, user,
        )

    def status(self, identifier):
        return self.value("SELECT status FROM session_timeout.peek_session(%s)", identifier)

    def last_activity(self, identifier):
        return self.value("SELECT last_activity FROM session_timeout.peek_session(%s)", identifier)

    def events(self, identifier):
        return [row[0] for row in self.query(
            "SELECT kind FROM session_timeout.session_event WHERE digest = session_timeout.session_digest(%s) ORDER BY id",
            identifier)]


class Odoo:
    """A running Odoo."""

    def __init__(self, database, *options, environment=None):
        self.database, self.port = database, free_port()
        self.log_path = DIRECTORY / f"{database.name}-{self.port}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [ODOO, "server", *database.options(), *SERVER, "--http-port", str(self.port), *options],
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, **(environment or {})},
            )
        self.url = f"http://127.0.0.1:{self.port}"
        try:
            eventually(self._answers, 60)
        except AssertionError:
            raise AssertionError(self.log()[-4000:]) from None

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError("Odoo ended:\n" + self.log()[-4000:])
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/web/health", timeout=5).ok

    def log(self):
        return self.log_path.read_text()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class Browser:
    """What a browser does: it keeps the cookie. Without a login, it is anonymous."""

    def __init__(self, odoo, login=None):
        self.odoo, self.http, self.logged_in_as = odoo, requests.Session(), None
        if login:
            self.log_in(login)

    def log_in(self, login, password=None):
        return self._submit("/web/login", login=login, password=password or ("admin" if login == "admin" else PASSWORD))

    def second_factor(self, secret):
        """What an app for one-time passwords shows now, for a secret in base 32."""
        counter = int(time.time() // 30).to_bytes(8, "big")
        digest = hmac.digest(base64.b32decode(secret), counter, "sha1")
        offset = digest[-1] & 15
        token = (int.from_bytes(digest[offset:offset + 4], "big") & 0x7FFFFFFF) % 10**6
        return self._submit("/web/login/totp", totp_token=f"{token:06}")

    def _submit(self, path, **data):
        page = self.http.get(self.odoo.url + path, timeout=60)
        token = re.search(r'name="csrf_token" value="([^"]+)"', page.text)[1]
        answer = self.http.post(
            self.odoo.url + path, data={**data, "csrf_token": token}, allow_redirects=False, timeout=60
        )
        assert answer.status_code == 303, answer.text
        self.logged_in_as = self.sid
        return answer

    @property
    def sid(self):
        return self.http.cookies["session_id"]

    @property
    def identifier(self):
        """Of the session that was logged in, also after its end, with which the cookie changes."""
        return (self.logged_in_as or self.sid)[:42]

    def page(self, path="/odoo", **options):
        return self.http.get(self.odoo.url + path, allow_redirects=False, timeout=60, **options)

    def call(self, path, **params):
        """JSON-RPC: the whole answer."""
        return self.http.post(self.odoo.url + path, json={"jsonrpc": "2.0", "id": 1, "params": params}, timeout=60).json()

    def kw(self, model, method, *args, **kwargs):
        return self.call(f"/web/dataset/call_kw/{model}/{method}", model=model, method=method, args=args, kwargs=kwargs)

    def is_logged_in(self):
        return "error" not in self.call("/web/session/check")

    def why_ended(self, path="/odoo"):
        """What the login page says, to which a page of an ended session leads."""
        shown = re.search(r'<p class="o_session_ended[^>]*>(.*?)</p>', self.http.get(self.odoo.url + path, timeout=60).text, re.S)
        return shown and shown[1].strip()

    def outlook(self):
        return self.call(f"/{ADDON}/outlook").get("result", {"valid": False})

    def websocket(self):
        """An open websocket on which the broadcasts of the database arrive."""
        connection = websocket.create_connection(
            f"ws://127.0.0.1:{self.odoo.port}/websocket", cookie=f"session_id={self.sid}", timeout=20,
            header={"User-Agent": ""}, origin=self.odoo.url,
        )
        subscribe(connection)
        self.odoo.database.push("subscribed")
        while "subscribed" not in str(answer := receive(connection)):
            assert isinstance(answer, str), answer
        return connection

    def file(self):
        """The session's file, or None."""
        path = DATA / "sessions" / self.sid[:2] / self.sid
        return path if path.exists() else None

    def files(self):
        return list((DATA / "sessions").glob(f"{self.identifier[:2]}/{self.identifier}*"))

    def content(self):
        return json.loads(self.file().read_text())


def subscribe(connection):
    connection.send(json.dumps({"event_name": "subscribe", "data": {"channels": [], "last": 0}}))


def receive(connection):
    """What the server sends next: a text, or the code with which it closes; None if it sends nothing for long."""
    try:
        opcode, data = connection.recv_data()
    except (websocket.WebSocketTimeoutException, TimeoutError):
        return None
    return int.from_bytes(data[:2], "big") if opcode == websocket.ABNF.OPCODE_CLOSE else data.decode()


def in_parallel(number, work):
    """What each of so many threads, let go at once, gave back."""
    barrier, results = threading.Barrier(number), [None] * number

    def run(index):
        barrier.wait()
        results[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


USERS = """
import datetime, pathlib
for login in ("anna", "bert"):
    env["res.users"].create({"name": login, "login": login, "password": %r, "group_ids": [(4, env.ref("base.group_user").id)]})
key = env["res.users.apikeys"].with_user(env.ref("base.user_admin"))._generate(
    None, "test", datetime.datetime.now() + datetime.timedelta(days=30))
pathlib.Path(%r).write_text(key)
env.cr.commit()
""" % (PASSWORD, str(DIRECTORY / "key"))


def api_key():
    """An administrator's key to any database made from the template."""
    return (DIRECTORY / "key").read_text()


def installed():
    """The template with the addon in it and its users, made once."""
    with contextlib.suppress(psycopg2.Error):
        MAIN.query("SELECT 1", database="installed")
        return Database(MAIN, "installed")
    database = MAIN.copy("installed")
    database.odoo("-i", ADDON)
    database.shell(USERS)
    return database


class LiveCase(unittest.TestCase):
    """A class of tests has a database with the addon, and an Odoo that runs on it."""

    options = ()

    @classmethod
    def setUpClass(cls):
        installed()
        cls.database = MAIN.copy(f"live_{cls.__name__.lower()}", "installed")
        cls.odoo = Odoo(cls.database, *cls.options)
        cls.addClassCleanup(cls.odoo.stop)

    def setUp(self):
        for name, value in (("delay", "7200"), ("ignored_url", "/websocket,/poll/*"), ("purge_interval", "60")):
            self.database.set_param(name, value)

    def assert_expired(self, answer):
        """The answer to a JSON-RPC request: error 100, at which the web client goes to the login page."""
        self.assertEqual(answer.get("error", {}).get("code"), 100, answer)
