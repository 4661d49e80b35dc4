"""Calls a running shortener as a person would, and says what is wrong with it."""

import argparse
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def wait_for(address: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=1) as response:
                assert response.read() == b"ok\n"
                return
        except OSError as error:
            if time.monotonic() > deadline:
                sys.exit(f"{address} did not answer within {seconds} s: {error}")
            time.sleep(0.05)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--commit", help="the version that must answer")
    parser.add_argument("--seconds", type=float, default=10, help="how long it may take to start")
    options = parser.parse_args()
    address = options.address.rstrip("/")
    wait_for(address, options.seconds)
    if options.commit is not None:
        with urllib.request.urlopen(f"{address}/version", timeout=5) as response:
            version = response.read().decode().strip()
        if version != options.commit:
            sys.exit(f"{address} is version {version}, expected {options.commit}")
    target = "https://example.org/smoke"
    form = urllib.parse.urlencode({"url": target}).encode()
    with urllib.request.urlopen(address, form, timeout=5) as response:
        code = response.read().decode().split('href="/')[1].split('"')[0]
    try:
        urllib.request.build_opener(NoRedirect).open(f"{address}/{code}", timeout=5)
        sys.exit(f"/{code} does not redirect")
    except urllib.error.HTTPError as answer:
        if answer.code != 302 or answer.headers["Location"] != target:
            sys.exit(f"/{code} answers {answer.code} to {answer.headers['Location']}")
    print(f"{address}/{code} leads to {target}")


if __name__ == "__main__":
    main()
