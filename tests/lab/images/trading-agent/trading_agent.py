"""The app that a plan brings into the mesh: says who it is and, by the header that the
sidecar adds, as whom the mesh knows its caller."""

import json
import os
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = int(os.environ.get("PORT", "8080"))
NAME = os.environ.get("APP_NAME", "trading-agent")

stopping = threading.Event()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/":
            self.answer(200, {
                "name": NAME,
                "host": socket.gethostname(),
                "client_cert": self.headers.get("X-Forwarded-Client-Cert"),
            })
        elif self.path == "/healthz":
            self.answer(200, {"status": "ok"})
        elif self.path == "/readyz":
            # Unready first: the Service must stop sending before the server goes.
            ready = not stopping.is_set()
            self.answer(200 if ready else 503, {"status": "ready" if ready else "stopping"})
        else:
            self.answer(404, {"error": f"no such path: {self.path}"})

    def answer(self, status, body):
        data = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, form, *values):
        print(f"{self.address_string()} {form % values}", flush=True)


def main():
    server = ThreadingHTTPServer(("", PORT), Handler)
    server.daemon_threads = True

    # As PID 1 of a container Python would otherwise ignore SIGTERM.
    def stop(_signal, _frame):
        stopping.set()
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"{NAME} listens on {PORT}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
