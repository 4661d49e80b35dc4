import unittest

from shortener import codes


class Codes(unittest.TestCase):
    def test_a_code_leads_back_to_its_number(self) -> None:
        for number in [0, 1, 61, 62, 63, 3843, 3844, 10**12]:
            self.assertEqual(codes.decode(codes.encode(number)), number)

    def test_codes_are_short(self) -> None:
        self.assertEqual(len(codes.encode(1_000_000)), 4)

    def test_what_is_no_code_is_refused(self) -> None:
        for text in ["", "a b", "ä", "../etc"]:
            with self.assertRaises(ValueError):
                codes.decode(text)

    def test_negative_numbers_have_no_code(self) -> None:
        with self.assertRaises(ValueError):
            codes.encode(-1)
