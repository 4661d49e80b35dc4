import argparse

from .server import Server
from .store import open_store


def main() -> None:
    parser = argparse.ArgumentParser(prog="shortener", description="A small link shortener.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--store", default="memory", help="memory, or sqlite:PATH")
    options = parser.parse_args()
    with Server((options.host, options.port), open_store(options.store), verbose=True) as server:
        print(f"http://{options.host}:{server.server_address[1]}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
