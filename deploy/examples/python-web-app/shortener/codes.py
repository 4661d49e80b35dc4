"""Short codes for numbers: base 62, so that a million links need four characters."""

import string

ALPHABET = string.digits + string.ascii_lowercase + string.ascii_uppercase


def encode(number: int) -> str:
    if number < 0:
        raise ValueError(f"expected a number from 0, got {number}")
    digits = []
    while True:
        number, rest = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[rest])
        if number == 0:
            return "".join(reversed(digits))


def decode(code: str) -> int:
    if not code:
        raise ValueError("the code is empty")
    number = 0
    for character in code:
        place = ALPHABET.find(character)
        if place < 0:
            raise ValueError(f"{character!r} is not part of a code")
        number = number * len(ALPHABET) + place
    return number
