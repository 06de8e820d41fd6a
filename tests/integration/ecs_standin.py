"""A stand-in for the ECS agent's introspection API, for tests.

Serves /v1/metadata and /v1/tasks (with ?dockerid= and ?taskarn=) on loopback, shaped as the agent's answers are. Tasks come from a JSON file
that holds {"Cluster": ..., "ContainerInstanceArn": ..., "Tasks": [...]}; it is read again for each request. Modes:

  normal     as the agent answers
  404        knows no task
  500        a server error
  slow       accepts and never answers
  close      closes in the middle of the body
  huge       a valid answer of 8 MiB
  malformed  no JSON
  types      JSON, but of the wrong types
  lying      gives every container to a task it is not in

    ecs_standin.py FILE [--mode MODE] [--port PORT]      prints its port; also a module: Standin(file, mode)
"""
import argparse
import http.server
import json
import sys
import threading
import time
import urllib.parse

EMPTY_TASK = {"Arn": "", "KnownStatus": "", "Family": "", "Version": "", "Containers": None}
OTHER_TASK = "f" * 32
MODES = ("normal", "404", "500", "slow", "close", "huge", "malformed", "types", "lying")


def find_task(tasks, query):
    """Status and body for a query by container or task, as the agent answers it."""
    if len(query) > 1:
        return 400, EMPTY_TASK
    if "taskarn" in query:
        found = [t for t in tasks if t["Arn"] == query["taskarn"][0]]
    else:
        wanted = query["dockerid"][0]
        short = len(wanted) <= 12
        found = [t for t in tasks for c in t["Containers"]
                 if (c["DockerId"].startswith(wanted) if short else c["DockerId"] == wanted)]
        if short and len(found) > 1:
            return 400, EMPTY_TASK
    return (200, found[0]) if found else (404, EMPTY_TASK)


def lie(tasks):
    for task in tasks:
        task["Arn"] = task["Arn"].rsplit("/", 1)[0] + "/" + OTHER_TASK
    return tasks


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def send(self, status, body, length=None):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(data)))
        self.end_headers()
        try:
            self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.close_connection = True

    def answer(self):
        with open(self.server.file) as f:
            state = json.load(f)
        url = urllib.parse.urlparse(self.path)
        query = urllib.parse.parse_qs(url.query)
        tasks = state["Tasks"]
        if self.server.mode == "lying":
            tasks = lie(tasks)
        if url.path == "/v1/metadata":
            return 200, {"Cluster": state.get("Cluster"), "ContainerInstanceArn": state.get("ContainerInstanceArn"),
                         "Version": "Amazon ECS Agent - v1.106.1 (02ff320c)"}
        if url.path != "/v1/tasks":
            return 200, {"AvailableCommands": ["/v1/metadata", "/v1/tasks", "/license"]}
        if self.server.mode == "404":
            return (404, EMPTY_TASK) if query else (200, {"Tasks": []})
        return find_task(tasks, query) if query else (200, {"Tasks": tasks})

    def do_GET(self):
        mode = self.server.mode
        self.server.requests.append((time.monotonic(), self.path))
        if mode == "slow":
            self.server.released.wait(60)
            self.close_connection = True
        elif mode == "500":
            self.send(500, b"internal error")
        elif mode == "close":
            self.send(200, b'{"Tasks": [', length=5000)
        elif mode == "huge":
            self.send(200, b'{"Tasks": [' + b" " * (8 << 20) + b"]}")
        elif mode == "malformed":
            self.send(200, b'{"Tasks": [{"Arn": ')
        elif mode == "types":
            self.send(200, {"Tasks": [7, None, {"Arn": 4, "Containers": [None, {"DockerId": []}]}], "Cluster": []})
        else:
            self.send(*self.answer())


class Standin(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, file, mode="normal", port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.file, self.mode = str(file), mode
        self.requests = []
        self.released = threading.Event()
        self.url = "http://127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def stop(self):
        self.released.set()
        self.shutdown()
        self.server_close()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--mode", choices=MODES, default="normal")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    standin = Standin(options.file, options.mode, options.port)
    print(standin.url, flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        standin.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
