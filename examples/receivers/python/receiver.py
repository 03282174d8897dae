"""A klikit webhook receiver for Python 3.9 or newer, with the standard library only.

    KLIKIT_WEBHOOK_SECRET=... python3 receiver.py        HOST, PORT and RECEIVER_FILE are optional

The one rule: a delivery is on disk before it is answered with 2xx. Whatever goes wrong earlier is not answered 2xx,
so the sender comes again; whatever was answered is found again after a crash, so a repeat changes nothing.
"""
import base64, hashlib, hmac, json, os, signal, sys, threading, time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY_BYTES_MAX = 10 * 1024 * 1024
SECRET = os.fsencode(os.environ.get("KLIKIT_WEBHOOK_SECRET", ""))
HOST = os.environ.get("HOST", "127.0.0.1")
PORT = int(os.environ.get("PORT", "8787"))
FILE = os.environ.get("RECEIVER_FILE", "./receiver.ndjson")


def moment(text):
    """A record's time, or None where there is none that can be compared."""
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
    except (AttributeError, ValueError):
        return None


def read_orders(body):
    """The orders of an envelope; ValueError where it cannot be read."""
    try:
        orders = json.loads(body.decode("utf-8"))["orders"]
        if type(orders) is not list or not all(type(o["id"]) is int and type(o["status"]) is int for o in orders):
            raise ValueError("an order without id or status")
        return [{"id": o["id"], "status": o["status"], "updated_at": o.get("updated_at"),
                 "version": o["version"] if type(o.get("version")) is int else None} for o in orders]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(str(error)) from error


class Receiver:
    """What was accepted (a file, one line per delivery), and the order view that follows from it."""

    def __init__(self, path):
        self.lock, self.seen, self.view, kept = threading.Lock(), set(), {}, 0
        self.file = open(path, "a+b", buffering=0)
        self.file.seek(0)
        with open(path, "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break  # cut off by a crash and never acknowledged; any other damage stops the start
                entry = json.loads(line)
                self.seen.add(entry["event_id"])
                if entry["readable"]:
                    self.apply(read_orders(base64.b64decode(entry["body_base64"])))
                kept += len(line)
        self.file.truncate(kept)
        os.fsync(self.file.fileno())
        folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY)
        os.fsync(folder)  # the file's name must survive too
        os.close(folder)

    def apply(self, orders):
        """Deliveries may arrive late: the view keeps the newest state of an order, not the last one to come in."""
        for order in orders:
            known = self.view.get(order["id"])
            if known and order["version"] is not None and known["version"] is not None:
                is_older = order["version"] < known["version"]
            else:
                ours, theirs = moment(known and known["updated_at"]), moment(order["updated_at"])
                is_older = ours is not None and theirs is not None and theirs < ours
            if not is_older:
                self.view[order["id"]] = order

    def accept(self, event_id, event_type, body):
        sha256 = hashlib.sha256(body).hexdigest()
        event_id = event_id or "sha256:" + sha256  # genuine but without an id: the bytes themselves are the id
        try:
            orders, readable = read_orders(body), True
        except ValueError:
            orders, readable = [], False  # kept for a person to look at; refusing it would only make the sender repeat it
        entry = {"event_id": event_id, "event_type": event_type, "received_at": datetime.now(timezone.utc).isoformat(),
                 "sha256": sha256, "readable": readable, "orders": short(orders),
                 "body_base64": base64.b64encode(body).decode()}
        line = json.dumps(entry).encode() + b"\n"
        with self.lock:  # from the look to the fsync, so that two posts of the same id cannot both find it new
            if event_id in self.seen:
                return "duplicate-ignored"
            try:
                if self.file.write(line) != len(line):
                    raise OSError("the disk took only a part of the line")
                os.fsync(self.file.fileno())
            except OSError as error:
                print(f"cannot keep deliveries: {error}", file=sys.stderr, flush=True)
                os._exit(1)  # what is on disk now is unknown: start again from it
            self.seen.add(event_id)
            self.apply(orders)
            return "received"


def short(orders):
    return [{key: order[key] for key in ("id", "status", "version")} for order in orders]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 10  # for each wait on the socket

    def do_GET(self):
        if self.path.partition("?")[0] != "/orders":
            return self.answer(404, "not found")
        with receiver.lock:
            orders = short(receiver.view.values())
        self.answer(200, json.dumps(orders), "application/json")

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            return self.answer(411, "length required")
        if int(length) > BODY_BYTES_MAX:
            self.answer(413, "body too large")
            until = time.monotonic() + 5  # take in for a moment what is still coming, or the sender may not see the answer
            while time.monotonic() < until and self.rfile.read1(65536):
                pass
            return
        body = self.rfile.read(int(length))  # the bytes as they came: what was signed
        if len(body) < int(length):
            return self.answer(400, "half a body")
        if self.path.partition("?")[0] != "/webhooks/klikit":
            return self.answer(404, "not found")
        given = self.headers.get("x-klikit-signature", "").encode("utf-8", "replace")
        expected = hmac.new(SECRET, body, hashlib.sha256).hexdigest().encode()
        if not hmac.compare_digest(given, expected):
            return self.answer(403, "forbidden")
        status = receiver.accept(self.headers.get("x-klikit-event-id"), self.headers.get("x-klikit-event-type", ""), body)
        self.answer(200, json.dumps({"status": status}, separators=(",", ":")), "application/json")

    def answer(self, status, text, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Connection", "close")  # a thread for one request only: a stop need not wait for idle ones
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False  # at the end the posts that are under way get their answer


if __name__ == "__main__":
    if not SECRET:
        sys.exit("KLIKIT_WEBHOOK_SECRET is not set")
    receiver = Receiver(FILE)
    server = Server((HOST, PORT), Handler)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening on http://{HOST}:{server.server_port}", flush=True)
    server.serve_forever()
    server.server_close()
