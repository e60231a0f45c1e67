#!/usr/bin/env python3
"""An S3 server for the tests, that fails where it is told to.

Needs moto[server]. Prints the endpoint, and serves until its standard input ends:

    server.py | read endpoint

GET /_faults?method=M&path=P&status=S&times=N makes the next N requests with method M whose path and query
contain P fail with status S; N = 0 takes that back.
"""

import sys
import threading
from urllib.parse import parse_qs

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Response


class Faulty:
    """Moto, with faults in front."""

    def __init__(self, server):
        self.server, self.faults, self.lock = server, {}, threading.Lock()

    def __call__(self, environ, start_response):
        method, path, query = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", "")
        if path == "/_faults":
            told = {name: values[0] for name, values in parse_qs(query).items()}
            with self.lock:
                self.faults[told["method"], told["path"]] = [int(told["status"]), int(told["times"])]
            return Response("told")(environ, start_response)
        with self.lock:
            for (failing, part), fault in self.faults.items():
                if failing == method and part in f"{path}?{query}" and fault[1] > 0:
                    fault[1] -= 1
                    # What was sent must be read before an answer is.
                    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
                    return Response("<Error><Code>Planted</Code></Error>", fault[0])(environ, start_response)
        return self.server(environ, start_response)


def main():
    app = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("PUT", "/sabot")
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    print(f"http://127.0.0.1:{server.port}", flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
